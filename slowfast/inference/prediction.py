"""The scores of a video, with the names of the classes.

Legend: V views of a video, K classes.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, overload

from torch import Tensor

from slowfast.engine.test_net import ENSEMBLES

SHOWN = 5


class Label(NamedTuple):
    """A class and its confidence: the score of one view, on average; from 0 to 1 after softmax and sigmoid."""

    name: str
    confidence: float


class Prediction(Sequence[Label]):
    """The classes of a video as (name, confidence), the most confident one first.

    Attributes:
        view_scores: of every view, V x K, in the order of the classes.
        class_names: of the K classes.
        method: how views are combined, "sum" or "max" (DATA.ENSEMBLE_METHOD).
    """

    def __init__(self, view_scores: Tensor, class_names: Sequence[str], method: str = "sum"):
        self.view_scores, self.class_names, self.method = view_scores, list(class_names), method

    @cached_property
    def scores(self) -> Tensor:
        """The scores of the video in the order of the classes, K, as a test has them: of views, summed or maximal."""
        return ENSEMBLES[self.method](self.view_scores, dim=0)

    @cached_property
    def confidences(self) -> Tensor:
        """The scores on the scale of one view, K: a sum divided by the number of views."""
        return self.scores / len(self.view_scores) if self.method == "sum" else self.scores

    def top(self, count: int = SHOWN) -> list[Label]:
        """Return the classes with the highest scores."""
        return self[:count]

    @cached_property
    def _labels(self) -> list[Label]:
        order = self.confidences.argsort(descending=True, stable=True).tolist()
        confidences = self.confidences.tolist()
        return [Label(self.class_names[number], confidences[number]) for number in order]

    def __len__(self) -> int:
        return len(self.class_names)

    @overload
    def __getitem__(self, place: int) -> Label: ...

    @overload
    def __getitem__(self, place: slice) -> list[Label]: ...

    def __getitem__(self, place: int | slice) -> Label | list[Label]:
        return self._labels[place]

    def __str__(self) -> str:
        return "\n".join(f"{label.confidence:6.3f}  {label.name}" for label in self.top())

    def __repr__(self) -> str:
        shown = ", ".join(f"{label.name} {label.confidence:.3f}" for label in self.top(3))
        return f"Prediction({shown}{', ...' if len(self) > 3 else ''})"
