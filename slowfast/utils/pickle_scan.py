"""Check the structure of a pickle without loading it.

Keys of mappings are hashed, and hashing a nested tuple visits all that it holds, once for each path to it: a few
hundred bytes can take years, and a deep nesting ends the program. Neither is in a checkpoint.
"""

import pickle
import pickletools
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
MOST_DEPTH = 100
MOST_PARTS = 10**6
NESTING = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ"}
TEXT = {"STRING", "UNICODE"}
MEMO_WRITES, MEMO_READS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}


class Size(NamedTuple):
    """How deep a value is nested, and how many parts hashing it visits."""

    depth: int = 0
    parts: int = 1


def check_structure(file: IO[bytes]) -> None:
    """Read one pickle from `file`. Raise UnpicklingError if it nests tuples too deeply or too often."""
    stack: list[Size | None] = []  # None: a mark
    memo: dict[object, Size] = {}
    for opcode, argument in _instructions(file):
        if opcode.name in MEMO_WRITES or opcode.name == "MEMOIZE":
            memo[len(memo) if argument is None else argument] = stack[-1] or Size()
        elif opcode.name in MEMO_READS:
            stack.append(memo[argument])
        elif opcode.name == "DUP":
            stack.append(stack[-1])
        else:
            taken = _take(stack, opcode)
            stack += [_result(opcode.name, taken)] * len(opcode.stack_after)
            if opcode.stack_after == [pickletools.markobject]:
                stack[-1] = None


def _instructions(file: IO[bytes]) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """Yield each opcode and its argument, without those of text, which pickletools refuses if it is not ASCII."""
    while True:
        code = file.read(1).decode("latin1")
        if code not in OPCODES:
            raise pickle.UnpicklingError("it has an unknown instruction, or ends too early")
        opcode = OPCODES[code]
        if opcode.name in TEXT:
            yield opcode, file.readline()
        else:
            yield opcode, None if opcode.arg is None else opcode.arg.reader(file)
        if opcode.name == "STOP":
            return


def _take(stack: list[Size | None], opcode: pickletools.OpcodeInfo) -> list[Size]:
    """Remove what an opcode takes from the stack, and return it."""
    count = len(opcode.stack_before)
    if pickletools.markobject in opcode.stack_before:
        mark = len(stack) - 1 - stack[::-1].index(None)
        count = len(stack) - mark + opcode.stack_before.index(pickletools.markobject)
    if count > len(stack):
        raise pickle.UnpicklingError("its instructions take more than there is")
    taken = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return [size for size in taken if size is not None]


def _result(name: str, taken: Iterable[Size]) -> Size:
    if name not in NESTING:
        return Size()
    sizes = list(taken)
    size = Size(1 + max((one.depth for one in sizes), default=0), 1 + sum(one.parts for one in sizes))
    if size.depth > MOST_DEPTH or size.parts > MOST_PARTS:
        raise pickle.UnpicklingError("its tuples are nested too deeply")
    return size
