"""Evaluation: from clips to scores to accuracy.

Legend: N videos, V views, T frames, H x W pixels, C channels, K classes.
"""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from slowfast.datasets.pathways import Clips, each, flatten_views
from slowfast.engine.bad_videos import append_bad_videos
from slowfast.engine.precision import Precision
from slowfast.utils.distributed import all_gather_lists
from slowfast.utils.logging import progress_bar
from slowfast.utils.training_meters import ScoreMeter, accuracy


def evaluate(
    predict: Callable[[Clips], Tensor], loader: DataLoader, output_dir: str, on_batch: Callable[[int, int], None]
) -> dict[str, float]:
    """Return the accuracy over one clip of every video, on all ranks.

    `on_batch(number, total)` is called after every batch. Videos that cannot be decoded are listed in `output_dir`.
    """
    meter, bad = score_videos(predict, loader, on_batch)
    append_bad_videos(output_dir, bad)
    _, scores, labels = meter.gather()
    return accuracy(scores, labels)


def score_videos(
    score: Callable[[Clips], Tensor],
    loader: DataLoader,
    on_batch: Callable[[int, int], None] = lambda number, total: None,
) -> tuple[ScoreMeter, list[str]]:
    """Return the scores of this rank's videos, by `score`, and the errors of those that no rank could decode.

    `on_batch(number, total)` is called after every batch.
    """
    meter = ScoreMeter()
    bad: list[str] = []
    for number, batch in enumerate(with_bar(loader), start=1):
        keep = readable(batch, bad)
        if keep:
            clips = each(itemgetter(keep), batch["clip"])
            meter.update(batch["video"][keep], score(clips), batch["label"][keep])
        on_batch(number, len(loader))
    return meter, all_gather_lists(bad)


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
            with precision.autocast():
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
