import pickle

import numpy as np
import pytest

from slowfast.datasets.packed_strings import PackedStrings
from slowfast.datasets.targets import ClassNumbers, ClassSets, check_range


def test_packed_strings_read_like_a_list():
    words = ["a", "", "été", "x" * 1000, "bad\udcff"]
    packed = pickle.loads(pickle.dumps(PackedStrings(words)))
    assert list(packed) == words
    assert packed[-1] == words[-1]
    with pytest.raises(IndexError):
        packed[5]


def test_class_numbers_are_int64():
    targets = ClassNumbers([2, 0])
    assert targets.of(0).dtype == np.int64
    assert targets.of(0, 3, 9) == 2
    assert targets.all().tolist() == [2, 0]


def test_sets_of_classes_are_float_vectors_of_zero_and_one():
    targets = ClassSets.of_videos([[2, 0], [], [1, 1]], 3)
    assert targets.of(0).dtype == np.float32
    assert targets.all().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_an_interval_counts_when_it_touches_the_span():
    targets = ClassSets([0, 2], [0, 1], 2, begin=[0, 10.5], end=[10, 20])
    assert targets.of(0, 10, 10).tolist() == [1, 0]
    assert targets.of(0, 11, 12).tolist() == [0, 1]
    assert targets.of(0, 10, 11).tolist() == [1, 1]
    assert targets.of(0, 21, 30).tolist() == [0, 0]


def test_a_label_out_of_range_names_the_fix():
    with pytest.raises(ValueError, match="x.csv, line 3: label 5 .* MODEL.NUM_CLASSES to at least 6"):
        check_range(5, 5, "x.csv, line 3")
