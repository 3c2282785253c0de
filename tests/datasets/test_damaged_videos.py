"""The corpus of tests/damaged_videos.py at a reduced size."""

from itertools import islice

import numpy as np
import pytest

from tests.damaged_videos import damaged_files, examine_all, mutations, parsers

PARSERS = ["file_size", "nal h264", "nal hevc", "configuration", "sps"]


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_are_read_right_or_refused(tmp_path, seed):
    outcomes, wrong = examine_all(damaged_files(tmp_path, 100, seed))
    assert not wrong
    assert min(outcomes["read"], outcomes["refused"], outcomes["concealed"]) > 10


def test_the_same_seed_makes_the_same_files(tmp_path):
    first, second, other = ([file.path.read_bytes() for file in damaged_files(tmp_path, 20, s)] for s in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.fixture(scope="module")
def known_parsers(tmp_path_factory):
    return parsers(tmp_path_factory.mktemp("parsers"))


@pytest.mark.parametrize("name", PARSERS)
def test_parsers_survive_mutations_of_their_input(name, known_parsers):
    assert set(known_parsers) == set(PARSERS)
    parse, inputs = known_parsers[name]
    assert inputs
    for data in islice(mutations(inputs, np.random.default_rng(0)), 300):
        parse(data)
