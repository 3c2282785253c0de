"""Evaluation: from clips to scores to accuracy.

Legend: N videos, V views, T frames, H x W pixels, C channels, K classes.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from slowfast.engine.bad_videos import append_bad_videos
from slowfast.engine.precision import Precision
from slowfast.utils.distributed import all_gather_lists
from slowfast.utils.logging import progress_bar
from slowfast.utils.meters import ScoreMeter, accuracy


def evaluate(
    predict: Callable[[Tensor], Tensor], loader: DataLoader, output_dir: str, on_batch: Callable[[int, int], None]
) -> dict[str, float]:
    """Return the accuracy over one clip of every video, on all ranks.

    `on_batch(number, total)` is called after every batch. Videos that cannot be decoded are listed in `output_dir`.
    """
    meter = ScoreMeter()
    bad: list[str] = []
    for number, batch in enumerate(with_bar(loader), start=1):
        keep = readable(batch, bad)
        if keep:
            meter.update(batch["video"][keep], predict(batch["clip"][keep]), batch["label"][keep])
        on_batch(number, len(loader))
    append_bad_videos(output_dir, all_gather_lists(bad))
    _, scores, labels = meter.gather()
    return accuracy(scores, labels)


def predictor(
    model: Callable[[list[Tensor]], Tensor],
    precision: Precision,
    pack: Callable[[Tensor], list[Tensor]],
    max_clips: int | None = None,
) -> Callable[[Tensor], Tensor]:
    """Return a function from uint8 clips on the host, N x T x H x W x C, to scores, N x K.

    The model takes at most `max_clips` clips at a time.
    """

    @torch.no_grad()
    def predict(clips: Tensor) -> Tensor:
        scores = []
        for part in clips.split(max_clips or len(clips)):
            with precision.autocast():
                scores.append(model(pack(part.to(precision.device, non_blocking=True))).float())
        return torch.cat(scores)

    return predict


def predict_views(predict: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    """Return the scores of all views, N x V x K, of clips N x V x T x H x W x C."""
    videos, views = clips.shape[:2]
    return predict(clips.flatten(0, 1)).unflatten(0, (videos, views))  # (N * V, K) -> (N, V, K)


def readable(batch: dict, bad: list[str]) -> list[int]:
    """Return the places of the videos in a batch that could be decoded; add the errors of the others to `bad`."""
    bad += [line for lines in batch["bad"] for line in lines.splitlines()]
    return [place for place, lines in enumerate(batch["bad"]) if not lines]


def with_bar(loader: DataLoader) -> Iterator[dict]:
    """Yield the batches of `loader`, with a progress bar on a terminal."""
    bar = progress_bar(len(loader), unit="batch")
    for batch in loader:
        yield batch
        bar.update()
    bar.close()
