"""Evaluation: from clips to scores.

Legend: N videos, V views, T frames, H x W pixels, C channels, K classes.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from slowfast.datasets.pathways import Clips, each, flatten_views
from slowfast.engine.bad_videos import append_bad_videos
from slowfast.engine.memory import memory_errors_name
from slowfast.engine.precision import Precision
from slowfast.engine.scores import Scores, VideoScore, score_batch
from slowfast.utils.logging import with_bar

EVALUATION_CURES = "lower TEST.BATCH_SIZE (of a test) or TRAIN.BATCH_SIZE (of a validation), or DATA.TEST_CROP_SIZE"


def score_videos(
    score: Callable[[Clips], Tensor],
    loader: DataLoader,
    output_dir: str,
    on_batch: Callable[[int, int], None] = lambda number, total: None,
) -> Scores:
    """Return the results for the videos of all ranks, by `score`.

    Videos that cannot be decoded are listed in `output_dir`. `on_batch(number, total)` is called after every batch.
    """
    rows: list[VideoScore] = []
    for number, batch in enumerate(with_bar(loader, len(loader), "batch"), start=1):
        rows += score_batch(score, batch)
        on_batch(number, len(loader))
    scores = Scores.gather(rows)
    append_bad_videos(output_dir, scores.errors)
    return scores


def predictor(
    model: Callable[[list[Tensor]], Tensor],
    precision: Precision,
    pack: Callable[[Clips], list[Tensor]],
    max_clips: int | None = None,
) -> Callable[[Clips], Tensor]:
    """Return a function from clips on the host, as `pack` takes them, to scores, N x K.

    The model takes at most `max_clips` clips at a time.
    """

    @torch.no_grad()
    def predict(clips: Clips) -> Tensor:
        scores = []
        for part in _parts(clips, max_clips):
            with memory_errors_name(part, EVALUATION_CURES), precision.autocast():
                scores.append(model(pack(to_device(part, precision.device))).float())
        return torch.cat(scores)

    return predict


def to_device(clips: Clips, device: torch.device) -> Clips:
    """Return clips on a device. The host does not wait for the copy."""
    return each(lambda tensor: tensor.to(device, non_blocking=True), clips)


def _parts(clips: Clips, most: int | None) -> Iterable[Clips]:
    """Split clips into batches of at most `most`, or leave them together."""
    if isinstance(clips, Tensor):
        return clips.split(most or len(clips))
    return map(list, zip(*(pathway.split(most or len(pathway)) for pathway in clips), strict=True))


def predict_views(predict: Callable[[Clips], Tensor], clips: Clips) -> Tensor:
    """Return the scores of all views, N x V x K, of clips N x V x T x H x W x C."""
    clips, views = flatten_views(clips)
    return predict(clips).unflatten(0, (-1, views))  # (N * V, K) -> (N, V, K)
