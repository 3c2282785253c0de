"""Pickles of arrays are read; pickles that would run code are refused."""

import os
import pickle
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

from slowfast.utils.safe_pickle import arrays_of, load_pickle

# What Python 2 writes for {"blobs": {"w": np.array([1.5, -2], "f4"), "lr": 0.1}}, protocol 0 and 2.
PYTHON2_TEXT = (
    b"(dp0\nS'blobs'\np1\n(dp2\nS'lr'\np3\nF0.1\nsS'w'\np4\ncnumpy.core.multiarray\n_reconstruct\np5\n"
    b"(cnumpy\nndarray\np6\n(I0\ntp7\nS'b'\np8\ntp9\nRp10\n(I1\n(I2\ntp11\ncnumpy\ndtype\np12\n"
    b"(S'f4'\np13\nI0\nI1\ntp14\nRp15\n(I3\nS'<'\np16\nNNNI-1\nI-1\nI0\ntp17\nbI00\n"
    b"S'\\x00\\x00\\xc0?\\x00\\x00\\x00\\xc0'\np18\ntp19\nbss."
)
PYTHON2_BINARY = (
    b"\x80\x02}q\x00U\x05blobsq\x01}q\x02U\x01wq\x03cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05"
    b"K\x00\x85q\x06U\x01bq\x07\x87q\x08Rq\x09(K\x01K\x02\x85q\x0acnumpy\ndtype\nq\x0bU\x02f4q\x0cK\x00K\x01\x87q\x0d"
    b"Rq\x0e(K\x03U\x01<q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x10b\x89"
    b"U\x08\x00\x00\xc0?\x00\x00\x00\xc0q\x11tq\x12bss."
)


def load(tmp_path, data):
    path = tmp_path / "weights.pkl"
    path.write_bytes(data)
    return load_pickle(path)


@pytest.mark.parametrize("data", [PYTHON2_TEXT, PYTHON2_BINARY], ids=["protocol0", "protocol2"])
def test_a_pickle_of_python_2_gives_its_arrays(tmp_path, data):
    arrays = arrays_of(load(tmp_path, data)["blobs"])
    assert {name: array.tolist() for name, array in arrays.items()} == {"w": [1.5, -2.0]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(4, dtype=">i8"),
        np.zeros((0, 3), np.float16),
        np.array(7.5),
        np.array([True, False]),
        np.array([b"ab", b"c"]),
    ],
    ids=["float32", "fortran", "big-endian", "empty", "no dimensions", "bool", "text"],
)
def test_arrays_are_read_unchanged(tmp_path, protocol, array):
    read = arrays_of(load(tmp_path, pickle.dumps({"a": array}, protocol=protocol)))["a"]
    assert read.shape == array.shape
    assert read.dtype.isnative
    assert read.tolist() == array.tolist()
    assert read.flags.writeable


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_scalars_and_plain_containers_are_admitted(tmp_path, protocol):
    content = {"a": np.float64(2.5), "b": [1, (2, None)], "c": {3}, "d": OrderedDict(x="ä"), "e": b"\x00\xff", "f": b""}
    assert load(tmp_path, pickle.dumps(content, protocol=protocol)) == content


class Hostile:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile_calls(flag):
    return {
        "os.system": Hostile(os.system, f"touch {flag}"),
        "builtins.eval": Hostile(eval, f"open({str(flag)!r}, 'w')"),
        "builtins.exec": Hostile(exec, f"open({str(flag)!r}, 'w')"),
        "builtins.getattr": Hostile(getattr, os, "system"),
        "io.open": Hostile(open, str(flag), "w"),
        "collections.defaultdict": defaultdict(list),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "builtins.exec", "io.open", "collections.defaultdict"])
def test_a_hostile_pickle_is_refused_by_name_and_not_run(tmp_path, name, protocol):
    flag = tmp_path / "was-run"
    data = pickle.dumps({"blobs": {"w": hostile_calls(flag)[name]}}, protocol=protocol)
    with pytest.raises(ValueError, match=rf"weights\.pkl was not loaded: it asks for .*{name.split('.')[1]}"):
        load(tmp_path, data)
    assert not flag.exists()


@pytest.mark.parametrize(
    "name", ["numpy\nload", "numpy\nndarray.__new__", "numpy.core.multiarray\nfromfile", "numpy.f2py\ncompile"]
)
def test_nothing_else_of_numpy_is_admitted(tmp_path, name):
    with pytest.raises(ValueError, match="it asks for numpy"):
        load(tmp_path, f"c{name}\n(S'/etc/passwd'\ntR.".encode())


def test_an_array_of_objects_is_refused(tmp_path):
    with pytest.raises(ValueError, match="an array of type 'O8'"):
        load(tmp_path, pickle.dumps({"a": np.array([{}], dtype=object)}))


def test_a_pickle_cannot_change_its_reader(tmp_path):
    data = b"cnumpy.core.multiarray\nscalar\n(N(dS'function'\nI1\nstb."
    with pytest.raises(ValueError, match="it tries to change the program"):
        load(tmp_path, data)


@pytest.mark.parametrize("data", [b"", b"not a pickle", PYTHON2_TEXT[:200], PYTHON2_BINARY[:-9]])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, data):
    with pytest.raises(ValueError, match=r"weights\.pkl is not a readable checkpoint"):
        load(tmp_path, data)
