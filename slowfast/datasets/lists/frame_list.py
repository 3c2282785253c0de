"""Lists of extracted frames, one line for each frame:

    original_vido_id video_id frame_id path labels
    7UPGT 0 0 7UPGT/7UPGT-000001.jpg "3,17"

The spelling is the format's. Such lists have tens of millions of lines, so NumPy scans them in blocks. Only a few
numbers for each video stay in memory: where its lines are in the file, and which labels hold in which of its frames.
Image paths are read from the memory-mapped file when a clip is drawn; all processes share these pages.

The rows of a video need not be adjacent; they count in the order of the file. A *run* is a stretch of adjacent rows of
one video.
"""

import os
from collections.abc import Iterator

import numpy as np

from slowfast.datasets.interfaces import Indices
from slowfast.datasets.packed_strings import PackedStrings
from slowfast.datasets.targets import ClassSets, check_range
from slowfast.errors import UserError

COLUMNS = ["original_vido_id", "video_id", "frame_id", "path", "labels"]
BLOCK_BYTES = 1 << 25
SPACE, NEWLINE, RETURN = b" \n\r"


class FrameList:
    """The videos of a frame list, in the order of their first rows.

    Attributes:
        names: the names of the videos.
        num_frames: the number of frames of each video.
        labels: the classes of each video, frame by frame; numbers from 0 to `num_classes` - 1.

    Raises UserError, with file and line, when a row does not have the format.
    """

    def __init__(self, path: str, num_classes: int):
        self.path = path
        scan = _Scan(path, num_classes)
        for first_byte, block in _blocks(path):
            scan.add(first_byte, block)
        if not scan.num_rows:
            raise UserError(f"{path} has a header and no frames")
        self.names = PackedStrings(scan.videos)
        shift = self._arrange_runs(scan)
        self.labels = _label_intervals(scan, shift)
        self._text = np.memmap(path, np.uint8, mode="r")

    def _arrange_runs(self, scan: "_Scan") -> np.ndarray:
        """Sort the runs by video. Return (frame of the video - row of the list) of each run, in file order."""
        video, row = np.asarray(scan.run_video), np.asarray([*scan.run_row, scan.num_rows])
        start = np.asarray(scan.run_byte)
        order = np.argsort(video, kind="stable")
        self._run_bytes = np.stack([start, np.append(start[1:], scan.num_bytes)], axis=1)[order]
        self._first_run = np.searchsorted(video[order], np.arange(len(scan.videos) + 1))
        rows = np.diff(row)
        self.num_frames = np.bincount(video, rows, len(scan.videos)).astype(np.int64)
        rows_before = np.cumsum(rows[order]) - rows[order]  # of the sorted runs
        shift = np.empty(len(order), np.int64)
        shift[order] = rows_before - rows_before[self._first_run[video[order]]] - row[:-1][order]
        return shift

    def __len__(self) -> int:
        return len(self.names)

    def image_paths(self, video: int, frames: Indices) -> list[str]:
        """Return the paths of some frames of a video, by their index in it."""
        runs = self._run_bytes[self._first_run[video] : self._first_run[video + 1]]
        lines = [line for start, end in runs for line in self._text[start:end].tobytes().split(b"\n") if line.strip()]
        return [os.fsdecode(lines[frame].split(b" ")[3]) for frame in frames]

    def __getstate__(self) -> dict:
        return {key: value for key, value in vars(self).items() if key != "_text"}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state, _text=np.memmap(state["path"], np.uint8, mode="r"))


def _blocks(path: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the lines after the header in blocks that end with a line: (offset of the block in the file, its bytes)."""
    with open(path, "rb") as file:
        header = file.readline()
        if header.split()[1:] != [name.encode() for name in COLUMNS[1:]]:
            raise UserError(
                f"{path}, line 1: a frame list begins with the header {' '.join(COLUMNS)!r}, not {header[:80]!r}"
            )
        start = len(header)
        while block := file.read(BLOCK_BYTES):
            block += file.readline()
            yield start, np.frombuffer(block, np.uint8)
            start += len(block)


class _Scan:
    """The rows of a list read so far: runs of rows of one video, and runs of rows with the same labels."""

    def __init__(self, path: str, num_classes: int):
        self.path, self.num_classes = path, num_classes
        self.num_rows = self.num_bytes = self.num_lines = 0
        self.videos: dict[str, int] = {}
        self.run_video: list[int] = []  # of each run: its video, its first row and first byte
        self.run_row: list[int] = []
        self.run_byte: list[int] = []
        self.label_set: list[int] = []  # of each run of equal labels: the number of the set and the first row
        self.label_row: list[int] = []
        self.sets: list[tuple[int, ...]] = []
        self._set_numbers: dict[bytes, int] = {}

    def add(self, first_byte: int, block: np.ndarray) -> None:
        starts, ends, lines = _lines(block)
        spaces = self._spaces(block, starts, ends, lines)
        starts_run = _changes(block, starts, spaces[:, 0] - starts)
        labels_at = spaces[:, 3] + 1
        starts_labels = starts_run | _changes(block, labels_at, ends - labels_at)
        for row in np.flatnonzero(starts_run).tolist():
            name = os.fsdecode(block[starts[row] : spaces[row, 0]].tobytes())
            self.run_video.append(self.videos.setdefault(name, len(self.videos)))
            self.run_row.append(self.num_rows + row)
            self.run_byte.append(first_byte + int(starts[row]))
        for row in np.flatnonzero(starts_labels).tolist():
            field = block[labels_at[row] : ends[row]].tobytes()
            self.label_set.append(self._set_number(field, lines[row]))
            self.label_row.append(self.num_rows + row)
        self.num_rows += len(starts)
        self.num_lines += int(np.count_nonzero(block == NEWLINE))
        self.num_bytes = first_byte + len(block)

    def _spaces(self, block: np.ndarray, starts: np.ndarray, ends: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """Return the positions of the four separators of each line: (lines, 4)."""
        spaces = np.flatnonzero(block == SPACE)
        if len(spaces) == 4 * len(starts):
            columns = spaces.reshape(-1, 4)
            if (columns[:, 0] > starts).all() and (columns[:, 3] < ends).all():
                return columns
        counts = np.bincount(np.searchsorted(ends, spaces), minlength=len(starts) + 1)[: len(starts)]
        wrong = np.flatnonzero(counts != 4)[0]
        text = os.fsdecode(block[starts[wrong] : ends[wrong]].tobytes()[:120])
        raise UserError(
            f"{self.path}, line {self._line(lines[wrong])}: expected the {len(COLUMNS)} columns "
            f"{' '.join(COLUMNS)!r}, separated by one space, not {text!r}"
        )

    def _set_number(self, field: bytes, line: int) -> int:
        if field not in self._set_numbers:
            self._set_numbers[field] = len(self.sets)
            self.sets.append(self._classes(field, f"{self.path}, line {self._line(line)}"))
        return self._set_numbers[field]

    def _classes(self, field: bytes, where: str) -> tuple[int, ...]:
        text = field.decode("utf-8", "replace").strip().strip('"')
        words = text.split(",") if text else []
        if not all(word.lstrip("-").isdecimal() for word in words):
            raise UserError(f'{where}: labels are numbers with commas between, as "3,17" or "", not {text!r}')
        for word in words:
            check_range(int(word), self.num_classes, where)
        return tuple(map(int, words))

    def _line(self, line_of_block: int) -> int:
        return self.num_lines + int(line_of_block) + 2  # counted from 1, with the header


def _label_intervals(scan: _Scan, shift: np.ndarray) -> ClassSets:
    """Return one interval of frames for each class of each run of rows with the same labels."""
    row = np.asarray([*scan.label_row, scan.num_rows])
    run = np.searchsorted(np.asarray(scan.run_row), row[:-1], "right") - 1
    video = np.asarray(scan.run_video)[run]
    order = np.argsort(video, kind="stable")
    set_number = np.asarray(scan.label_set)[order]
    set_sizes = np.asarray([len(classes) for classes in scan.sets])
    sizes = set_sizes[set_number]
    first_class = (np.cumsum(set_sizes) - set_sizes)[set_number]
    place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # in the set
    all_classes = np.asarray([number for classes in scan.sets for number in classes], np.int32)
    classes = all_classes[np.repeat(first_class, sizes) + place]
    intervals = np.repeat(order, sizes)
    begin, end = (row[:-1] + shift[run])[intervals], (row[1:] - 1 + shift[run])[intervals]
    offsets = np.append(0, np.cumsum(np.bincount(video[intervals], minlength=len(scan.videos))))
    return ClassSets(offsets, classes, scan.num_classes, begin, end)


def _lines(block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts, ends and numbers in the block of the lines that are not blank."""
    ends = np.flatnonzero(block == NEWLINE)
    if not len(ends) or ends[-1] != len(block) - 1:
        ends = np.append(ends, len(block))
    starts = np.append(0, ends[:-1] + 1)
    ends = ends - (block[ends - 1] == RETURN)
    lines = np.flatnonzero(ends > starts)
    return starts[lines], ends[lines], lines


def _changes(block: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return for each line whether a field differs from that of the line before; True for the first.

    The field is given by its starts and lengths.
    """
    changed = np.ones(len(starts), bool)
    changed[1:] = lengths[1:] != lengths[:-1]
    same = np.flatnonzero(~changed)  # equal in all bytes compared so far
    for place in range(lengths.max(initial=0)):
        same = same[lengths[same] > place]
        differ = block[starts[same] + place] != block[starts[same - 1] + place]
        changed[same[differ]] = True
        same = same[~differ]
    return changed
