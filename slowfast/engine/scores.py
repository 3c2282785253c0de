"""The scores of the videos of a list, and the accuracy that follows from them.

Legend: N videos, K classes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slowfast.datasets.pathways import Clips, each
from slowfast.errors import UserError
from slowfast.utils.distributed import all_gather_lists
from slowfast.utils.training_meters import accuracy


class VideoScore(NamedTuple):
    """The result for a video: its number in the list, K scores, and its label.

    A video that cannot be decoded has no scores, and an error in the form `path<TAB>error`.
    """

    video: int
    scores: Tensor | None
    label: Tensor
    error: str = ""


@dataclass(frozen=True)
class Scores:
    """The results for all videos of a list, in its order."""

    rows: list[VideoScore]

    @classmethod
    def gather(cls, rows: Iterable[VideoScore]) -> "Scores":
        """Return the results of all ranks, every video once."""
        by_number = {row.video: row for row in all_gather_lists(rows)}
        return cls([by_number[video] for video in sorted(by_number)])

    @property
    def errors(self) -> list[str]:
        """The errors of the videos that could not be decoded."""
        return [row.error for row in self.rows if row.error]

    @property
    def labels(self) -> Tensor:
        """The labels of all videos: N class numbers, or N x K of 0 and 1."""
        return torch.stack([row.label for row in self.rows])

    @property
    def matrix(self) -> Tensor:
        """The scores of all videos, N x K. The row of a video that could not be decoded is NaN."""
        known = next((row.scores for row in self.rows if row.scores is not None), None)
        if known is None:
            raise UserError("there is no video to evaluate: the list is empty or no video in it can be decoded")
        missing = torch.full_like(known, torch.nan)
        return torch.stack([missing if row.scores is None else row.scores for row in self.rows])

    @property
    def num_unlabeled(self) -> int:
        """The number of videos without a label, which have the class number -1."""
        return sum(row.label.ndim == 0 and int(row.label) < 0 for row in self.rows)

    @property
    def decoded(self) -> tuple[Tensor, Tensor]:
        """The scores and the labels of the videos that could be decoded."""
        decoded = [not row.error for row in self.rows]
        return self.matrix[decoded], self.labels[decoded]

    def accuracy(self) -> dict[str, float]:
        """Return the accuracy over the videos that could be decoded; nothing if videos have no label."""
        scores, labels = self.decoded
        return {} if self.num_unlabeled else accuracy(scores, labels)


def score_batch(score: Callable[[Clips], Tensor], batch: dict[str, Any]) -> list[VideoScore]:
    """Return the results for the videos of a batch. `score` maps the clips of those that could be decoded to scores."""
    decoded = [place for place, error in enumerate(batch["bad"]) if not error]
    scores = iter(score(_at(decoded, batch["clip"], len(batch["bad"]))).float().cpu() if decoded else ())
    rows = zip(batch["video"], batch["label"].cpu(), batch["bad"], strict=True)
    return [VideoScore(int(video), None if error else next(scores), label, error) for video, label, error in rows]


def _at(places: list[int], clips: Clips, total: int) -> Clips:
    """Return the clips at some places of a batch. All of them are not copied, since a copy is not in pinned memory."""
    return clips if len(places) == total else each(itemgetter(places), clips)
