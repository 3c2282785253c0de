"""Labels of videos (see interfaces.Targets): one class each, or a set of classes."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from slowfast.datasets.interfaces import Targets
from slowfast.errors import UserError

logger = logging.getLogger(__name__)


class _Numbers:
    """A number for each video."""

    def __init__(self, numbers: ArrayLike):
        self._numbers = np.asarray(numbers, np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, video: int, first: int | None = None, last: int | None = None) -> np.int64:
        return self._numbers[video]

    def all(self) -> np.ndarray:
        return self._numbers


class ClassNumbers(_Numbers):
    """One class for each video."""

    def num_used(self) -> int:
        """Return how many different classes the videos have."""
        return len(np.unique(self._numbers))


class NoLabels(_Numbers):
    """Videos that are only to be predicted: the number of their class is -1."""

    def __init__(self, num_videos: int):
        super().__init__(np.full(num_videos, -1))


class ClassSets:
    """Any number of classes for each video, each for some of its frames.

    Args:
        offsets: the intervals of video v have the numbers offsets[v] to offsets[v + 1] - 1.
        classes: the class of each interval.
        begin, end: the first and last frame of each interval, whole numbers or not; default: the entire video.
    """

    def __init__(
        self,
        offsets: ArrayLike,
        classes: ArrayLike,
        num_classes: int,
        begin: ArrayLike | None = None,
        end: ArrayLike | None = None,
    ):
        self._offsets = np.asarray(offsets, np.int64)
        self._classes = np.asarray(classes, np.int32)
        self._num_classes = num_classes
        always = np.full(len(self._classes), np.inf, np.float32)
        self._begin = -always if begin is None else np.asarray(begin, np.float32)
        self._end = always if end is None else np.asarray(end, np.float32)

    @classmethod
    def of_videos(cls, sets: Sequence[Sequence[int]], num_classes: int) -> "ClassSets":
        """Return labels that hold in the entire video."""
        offsets = np.concatenate([[0], np.cumsum([len(classes) for classes in sets])])
        return cls(offsets, [number for classes in sets for number in classes], num_classes)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def of(self, video: int, first: int | None = None, last: int | None = None) -> np.ndarray:
        own = slice(self._offsets[video], self._offsets[video + 1])
        lowest = -np.inf if first is None else first
        highest = np.inf if last is None else last
        holds = (self._begin[own] <= highest) & (self._end[own] >= lowest)
        return one_hot(self._classes[own][holds], self._num_classes)

    def all(self) -> np.ndarray:
        return np.stack([self.of(video) for video in range(len(self))])

    def num_used(self) -> int:
        """Return how many different classes the videos have."""
        return len(np.unique(self._classes))


def one_hot(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the 0/1 vector of a set of classes."""
    vector = np.zeros(num_classes, np.float32)
    vector[classes] = 1
    return vector


def check_multi_label(targets: Targets, multi_label: bool) -> None:
    """Raise UserError where the labels are sets and the config expects one class for each video, or vice versa."""
    if isinstance(targets, ClassSets) and not multi_label:
        raise UserError(
            "DATA.MULTI_LABEL is False, and the videos of the list have sets of labels: set it True, with "
            "MODEL.LOSS_FUNC bce_logit and MODEL.HEAD_ACT sigmoid"
        )
    if isinstance(targets, ClassNumbers) and multi_label:
        raise UserError(
            "DATA.MULTI_LABEL is True, and the videos of the list have one class each: set it False, with "
            "MODEL.LOSS_FUNC cross_entropy and MODEL.HEAD_ACT softmax"
        )


def warn_of_unused_classes(targets: Targets, num_classes: int) -> None:
    """Log a warning where the model has more classes than the videos."""
    if isinstance(targets, ClassNumbers | ClassSets) and targets.num_used() < num_classes:
        used = targets.num_used()
        logger.warning(
            "MODEL.NUM_CLASSES is %d, and the training videos have %d classes: the other outputs stay untrained. "
            "Set it to %d if there are no more classes",
            *(num_classes, used, used),
        )


def check_labels(targets: Targets, num_videos: int, num_classes: int) -> None:
    """Raise UserError unless every video has a label, and the model an output for each."""
    if len(targets) != num_videos:
        raise UserError(f"a data set has {num_videos} videos and {len(targets)} labels: give each video one")
    numbers = targets.all() if isinstance(targets, ClassNumbers) else np.empty(0)
    wrong = np.flatnonzero((numbers < 0) | (numbers >= num_classes))
    if len(wrong):
        check_range(int(numbers[wrong[0]]), num_classes, f"video {wrong[0]} of a data set")


def check_range(number: int, num_classes: int, where: str) -> None:
    """Raise UserError for a label that the model has no output for; `where` names its file and line."""
    if not 0 <= number < num_classes:
        fix = f"set MODEL.NUM_CLASSES to at least {number + 1}, or correct the label" if number >= 0 else "correct it"
        raise UserError(
            f"{where}: label {number} is out of range: MODEL.NUM_CLASSES is {num_classes}, so labels run from 0 "
            f"to {num_classes - 1}: {fix}"
        )
