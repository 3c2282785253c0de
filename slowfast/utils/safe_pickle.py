"""Read the arrays of a pickle without running anything that it asks for.

A pickle is a program. This unpickler admits plain containers and numpy arrays and scalars of plain numbers, which it
rebuilds from their bytes itself; whatever else a file names is refused, and said. Caffe2 wrote its models as pickles
of Python 2, so text is read as latin1.
"""

import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from slowfast.errors import UserError

# What reading a damaged or foreign file can raise.
READ_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
)
DAMAGED = (
    "it is damaged, cut short or of another format. Fetch or copy it again; if it is the last one of an OUTPUT_DIR, "
    "remove it, and training resumes from the one before"
)
PLAIN_DTYPE = re.compile(r"[?biufc]\d{0,2}|[SU]\d+")


class RefusedPickle(pickle.UnpicklingError):
    """The file names something that is neither a number nor a container."""


def load_pickle(path: str | Path):
    """The object that a pickle holds. Raises UserError naming the file and what in it was refused or broken."""
    try:
        with open(path, "rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except RefusedPickle as error:
        raise UserError(f"{path} was not loaded: {error}. Nothing of it was run.") from error
    except READ_ERRORS as error:
        raise UserError(f"{path} is not a readable checkpoint ({error or 'it ends too early'}): {DAMAGED}") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        module = re.sub(r"^numpy\._core\b", "numpy.core", module)
        module = {"__builtin__": "builtins"}.get(module, module)
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise RefusedPickle(
                f"it asks for {module}.{name}, and only numbers, text, numpy arrays and plain containers are admitted"
            ) from None


class _Dtype:
    """Stands for numpy.dtype: a code such as 'f4', completed by its byte order."""

    def __init__(self, code: str, *_) -> None:
        if not PLAIN_DTYPE.fullmatch(code):
            raise RefusedPickle(f"it holds an array of type {code!r}, and only plain numbers and text are admitted")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        order = state[1]
        self.value = self.value.newbyteorder(order if order in ("<", ">") else "=")


class _Array:
    """Stands for numpy.ndarray while a pickle is read; `value` is the array."""

    value = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran_order, data = state
        self.value = _array(data, dtype, shape, "F" if fortran_order else "C")


def _array(data, dtype: _Dtype, shape: tuple, order: str = "C") -> np.ndarray:
    data = data.encode("latin1") if isinstance(data, str) else data
    array = np.frombuffer(data, dtype=dtype.value).reshape(shape, order=order)
    return array.astype(dtype.value.newbyteorder("="))  # a copy that may be written to


def _frombuffer(data, dtype: _Dtype, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.value = _array(data, dtype, shape, order)
    return array


def _scalar(dtype: _Dtype, data) -> np.generic:
    return _array(data, dtype, ())[()]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Bytes, as Python 3 writes them in pickles that Python 2 can read."""
    return text.encode("latin1")


class _Admitted:
    """A function that a pickle may call, and not change (a pickle can set attributes on what it names)."""

    __slots__ = ("function",)

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *arguments):
        return self.function(*arguments)

    def __setstate__(self, state) -> None:
        raise RefusedPickle("it tries to change the program that reads it")


ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _Admitted(lambda *_: _Array()),
    ("numpy.core.multiarray", "scalar"): _Admitted(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _Admitted(_frombuffer),
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Admitted(_encode),
    ("builtins", "bytes"): _Admitted(lambda: b""),
    ("collections", "OrderedDict"): dict,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
}


def arrays_of(content: dict) -> dict[str, np.ndarray]:
    """The arrays by name in a mapping that `load_pickle` returned; entries of other kinds are dropped."""
    return {name: item.value for name, item in content.items() if isinstance(item, _Array) and item.value is not None}
