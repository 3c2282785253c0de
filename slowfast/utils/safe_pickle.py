"""Read arrays from a pickle without running code from it.

A pickle is a program. This unpickler admits plain containers, and numpy arrays and scalars of plain numbers, which it
builds from their bytes. Everything else is refused with an error. Caffe2 wrote its models as pickles of Python 2, so
text is decoded as latin1.
"""

import pickle
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from slowfast.errors import UserError
from slowfast.utils.pickle_scan import check_structure

# Exceptions that reading a damaged file, or one of another format, can raise.
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
    RecursionError,
)
DAMAGED = (
    "it is damaged, cut short or of another format. Download or copy it again, or remove it; a training resumes "
    "from the checkpoint before"
)
PLAIN_DTYPE = re.compile(r"[?biufc]\d{0,2}|[SU]\d+")


class DamagedFile(UserError):
    """A checkpoint that cannot be used: damaged, cut short or with a content that no training writes."""


class RefusedPickle(pickle.UnpicklingError):
    """The file asks for something that is neither a number nor a container."""


def load_pickle(path: str | Path) -> Any:
    """Return the object in a pickle. Raises UserError that names the file and what was refused or damaged."""
    try:
        with open(path, "rb") as file:
            check_structure(file)
            file.seek(0)
            return _Unpickler(file, encoding="latin1").load()
    except RefusedPickle as error:
        raise UserError(f"{path} was not loaded: {error}. Nothing of it was run.") from error
    except READ_ERRORS as error:
        raise DamagedFile(f"{path} is not a readable checkpoint ({error or 'it ends too early'}): {DAMAGED}") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = re.sub(r"^numpy\._core\b", "numpy.core", module)
        module = {"__builtin__": "builtins"}.get(module, module)
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise RefusedPickle(
                f"it asks for {module}.{name}, and only numbers, text, numpy arrays and plain containers are admitted"
            ) from None


class _Dtype:
    """Takes the place of numpy.dtype: a code such as 'f4', and later its byte order."""

    def __init__(self, code: str, *_) -> None:
        if not PLAIN_DTYPE.fullmatch(code):
            raise RefusedPickle(f"it holds an array of type {code!r}, and only plain numbers and text are admitted")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        order = state[1]
        self.value = self.value.newbyteorder(order if order in ("<", ">") else "=")


class _Array:
    """Takes the place of numpy.ndarray while a pickle is read; `value` is the array."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran_order, data = state
        self.value = _array(data, dtype, shape, "F" if fortran_order else "C")


def _array(data: bytes | str, dtype: _Dtype, shape: tuple, order: Literal["C", "F"] = "C") -> np.ndarray:
    data = data.encode("latin1") if isinstance(data, str) else data
    array = np.frombuffer(data, dtype=dtype.value).reshape(shape, order=order)
    return array.astype(dtype.value.newbyteorder("="))  # a copy that may be written to


def _frombuffer(data: bytes, dtype: _Dtype, shape: tuple, order: Literal["C", "F"]) -> _Array:
    array = _Array()
    array.value = _array(data, dtype, shape, order)
    return array


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    return _array(data, dtype, ())[()]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Return bytes from the text that Python 3 writes for them in pickles for Python 2."""
    return text.encode("latin1")


class _Admitted:
    """A function that a pickle may call but not change. A pickle can set attributes of objects that it names."""

    __slots__ = ("function",)

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __setstate__(self, state: object) -> None:
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


def arrays_of(content: Mapping) -> dict[str, np.ndarray]:
    """Return the arrays in a mapping from `load_pickle`, without the entries of other kinds."""
    return {name: item.value for name, item in content.items() if isinstance(item, _Array) and item.value is not None}
