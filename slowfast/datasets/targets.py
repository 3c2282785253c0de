"""What a clip is labelled with: a class number, or a 0/1 vector of classes.

Each kind answers `of(video)` for a whole video, `of(video, first, last)` for its frames first..last (both included),
and `all()` for all videos, which is also what `dataset.labels` gives.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from slowfast.errors import UserError


class ClassNumbers:
    """One class a video."""

    def __init__(self, numbers: Iterable[int]):
        self._numbers = np.asarray(numbers, np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, video: int, first: int | None = None, last: int | None = None) -> np.int64:
        return self._numbers[video]

    def all(self) -> np.ndarray:
        return self._numbers


class ClassSets:
    """Any number of classes a video, each for some of its frames: interval i of `classes[i]` holds in the frames
    from `begin[i]` to `end[i]` (both included, whole numbers or not)."""

    def __init__(self, offsets: Sequence[int], classes: Sequence[int], num_classes: int, begin=None, end=None):
        self._offsets = np.asarray(offsets, np.int64)  # intervals of video v: offsets[v]..offsets[v + 1]
        self._classes = np.asarray(classes, np.int32)
        self._num_classes = num_classes
        self._begin = (
            np.full(len(self._classes), -np.inf, np.float32) if begin is None else np.asarray(begin, np.float32)
        )
        self._end = np.full(len(self._classes), np.inf, np.float32) if end is None else np.asarray(end, np.float32)

    @classmethod
    def of_videos(cls, sets: Sequence[Sequence[int]], num_classes: int) -> "ClassSets":
        """Labels that hold in the whole video."""
        offsets = np.concatenate([[0], np.cumsum([len(classes) for classes in sets])])
        return cls(offsets, [number for classes in sets for number in classes], num_classes)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def of(self, video: int, first: int | None = None, last: int | None = None) -> np.ndarray:
        mine = slice(self._offsets[video], self._offsets[video + 1])
        classes = self._classes[mine]
        if first is not None:
            classes = classes[(self._begin[mine] <= last) & (self._end[mine] >= first)]
        return one_hot(classes, self._num_classes)

    def all(self) -> np.ndarray:
        return np.stack([self.of(video) for video in range(len(self))])


def one_hot(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """The 0/1 vector of a set of classes."""
    vector = np.zeros(num_classes, np.float32)
    vector[classes] = 1
    return vector


def check_multi_label(targets, multi_label: bool) -> None:
    """Refuse sets of labels where the config expects one class a video, and the other way round."""
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


def check_range(number: int, num_classes: int, where: str) -> None:
    """Refuse a label the model has no output for."""
    if not 0 <= number < num_classes:
        mend = f"set MODEL.NUM_CLASSES to at least {number + 1}, or mend the label" if number >= 0 else "mend it"
        raise UserError(
            f"{where}: label {number} is out of range: MODEL.NUM_CLASSES is {num_classes}, so labels run from 0 "
            f"to {num_classes - 1}: {mend}"
        )
