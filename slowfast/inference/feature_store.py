"""The features of many videos in a folder, which can be continued after an interruption.

    features.npy    float32, N x D, a row for each path; NaN for a video that cannot be read
    paths.txt       the N paths, one on each line
    errors.csv      path and reason of each video that cannot be read
    source.json     what the features are of

Until all videos are done, the array is called features.npy.partial, and a row that is not complete has a NaN.

Legend: N videos, D features.
"""

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slowfast.datasets.files import one_line
from slowfast.errors import UserError

FEATURES, PATHS, ERRORS, SOURCE = "features.npy", "paths.txt", "errors.csv", "source.json"
UNFINISHED = ".partial"
NEW = "new" + UNFINISHED


class FeatureStore:
    """The array of a store, to be filled.

    Args:
        folder: of the store.
        paths: of all videos.
        source: what the features are of, as JSON has it. A store of another source is not continued.
    """

    def __init__(self, folder: str, paths: Sequence[str], source: Mapping[str, Any]):
        self.folder, self._paths = Path(folder), list(paths)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_source(dict(source))
        self._write(PATHS, "".join(f"{one_line(path)}\n" for path in paths))
        self._write(SOURCE, json.dumps(dict(source), indent=1) + "\n")
        self._array = self._open()
        self._errors = open(self.folder / ERRORS, "w", newline="", encoding="utf-8")  # noqa: SIM115
        csv.writer(self._errors).writerow(["path", "error"])

    def missing(self) -> list[int]:
        """Return the numbers of the videos without features: not done yet, interrupted, or not readable."""
        if self._array is None:
            return list(range(len(self._paths)))
        return [first + int(row) for first, block in self._blocks() for row in np.flatnonzero(np.isnan(block).any(1))]

    def put(self, number: int, features: np.ndarray) -> None:
        """Set the features of a video, D."""
        if self._array is None:
            self._array = self._create(len(features))
        self._array[number] = features

    def put_error(self, number: int, error: str) -> None:
        """Add a video that cannot be read."""
        csv.writer(self._errors).writerow([one_line(self._paths[number]), one_line(error)])
        self._errors.flush()

    def finish(self) -> Path | None:
        """Write everything to disk, and give the array its name. Return its path; None where no video was readable."""
        self._errors.close()
        if self._array is None:
            return None
        self._array.flush()
        self._array = None
        if self._unfinished.exists():
            os.replace(self._unfinished, self.folder / FEATURES)
        return self.folder / FEATURES

    @property
    def _unfinished(self) -> Path:
        return self.folder / (FEATURES + UNFINISHED)

    def _open(self) -> np.memmap | None:
        for path in (self.folder / FEATURES, self._unfinished):
            if path.exists():
                return np.lib.format.open_memmap(path, mode="r+")
        return None

    def _create(self, width: int) -> np.memmap:
        """Return a new array of NaN. It gets its name when it is complete on disk, which a full disk refuses here."""
        path = self.folder / NEW
        row = np.full(width, np.nan, np.float32)
        header = {"descr": np.lib.format.dtype_to_descr(row.dtype), "fortran_order": False}
        with open(path, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header | {"shape": (len(self._paths), width)})
            file.writelines(row.tobytes() for _ in self._paths)
        os.replace(path, self._unfinished)
        return np.lib.format.open_memmap(self._unfinished, mode="r+")

    def _blocks(self, rows: int = 4096) -> Iterable[tuple[int, np.ndarray]]:
        assert self._array is not None
        for first in range(0, len(self._paths), rows):
            yield first, self._array[first : first + rows]

    def _check_source(self, source: dict[str, Any]) -> None:
        """Raise UserError if the folder has features of another source."""
        path = self.folder / SOURCE
        if not path.exists():
            return
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            earlier = {}
        changed = [key for key in source if not isinstance(earlier, dict) or earlier.get(key) != source[key]]
        if changed:
            raise UserError(
                f"OUT: {str(self.folder)!r} has features of another {' and '.join(changed)}: use another folder, or "
                "remove this one"
            )

    def _write(self, name: str, text: str) -> None:
        """Write a file completely or not at all."""
        temporary = self.folder / f"{name}{UNFINISHED}"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, self.folder / name)
