"""Reading the text files of lists: UTF-8 (bytes that are not stay as they are), or UTF-16 with a byte-order mark."""

from collections.abc import Iterator
from typing import TextIO

from slowfast.errors import UserError


def read_lines(path: str, skip_rows: int = 0) -> Iterator[tuple[str, int]]:
    """Yield (line, its number from 1) for every line that is not blank."""
    is_empty = True
    with _open_text(path) as file:
        for number, line in enumerate(file, 1):
            _refuse_zero_bytes(path, line)
            text = line.strip()
            if text and number > skip_rows:
                is_empty = False
                yield text, number
    if is_empty:
        raise UserError(f"{path} lists no videos" + (f" after DATA.SKIP_ROWS {skip_rows}" if skip_rows else ""))


def read_text(path: str) -> str:
    """Return the content of a text file."""
    with _open_text(path) as file:
        text = file.read()
    _refuse_zero_bytes(path, text)
    return text


def _open_text(path: str) -> TextIO:
    with open(path, "rb") as file:
        is_utf16 = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
    if is_utf16:
        return open(path, encoding="utf-16", errors="replace")
    return open(path, encoding="utf-8-sig", errors="surrogateescape")


def _refuse_zero_bytes(path: str, text: str) -> None:
    if "\0" in text:
        raise UserError(f"{path} is not UTF-8 text: it has zero bytes, as UTF-16 and UTF-32 have; save it as UTF-8")
