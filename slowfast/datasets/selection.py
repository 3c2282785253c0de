"""Some of the videos of a list, as a list of their own."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np

from slowfast.datasets.interfaces import Frames, Medium, Targets
from slowfast.datasets.video import Limits


class SelectedMedium:
    """A Medium: the videos of another one at these places."""

    def __init__(self, medium: Medium, places: Sequence[int]):
        self._medium, self._places = medium, np.asarray(places, np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def path_of(self, video: int) -> str:
        return self._medium.path_of(int(self._places[video]))

    def check(self, video: int, limits: Limits) -> str:
        return self._medium.check(int(self._places[video]), limits)

    def check_header(self, video: int, limits: Limits) -> str:
        return self._medium.check_header(int(self._places[video]), limits)

    def open(self, video: int, limits: Limits) -> AbstractContextManager[Frames]:
        return self._medium.open(int(self._places[video]), limits)


class SelectedTargets:
    """Targets: the labels of other ones at these places."""

    def __init__(self, targets: Targets, places: Sequence[int]):
        self._targets, self._places = targets, np.asarray(places, np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def of(self, video: int, first: int | None = None, last: int | None = None) -> np.int64 | np.ndarray:
        return self._targets.of(int(self._places[video]), first, last)

    def all(self) -> np.ndarray:
        return self._targets.all()[self._places]
