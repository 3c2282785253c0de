"""Evaluation: one centre clip per video during training, and all views of every video in a test.

Legend: N videos, V views, T frames, H x W pixels, K classes.
"""

import logging
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader
from slowfast.engine.journal import append_bad_videos
from slowfast.engine.precision import Precision
from slowfast.models import build_model
from slowfast.utils.checkpoint import load_for_test
from slowfast.utils.distributed import all_gather_lists, device_for_rank, is_master
from slowfast.utils.logging import log_json_stats, progress_bar, setup_logging
from slowfast.utils.meters import ScoreMeter, accuracy, memory
from slowfast.utils.world import World

logger = logging.getLogger(__name__)


def test(cfg) -> dict:
    """Test the model of `cfg` on all views of every video, and say how it did and by which protocol."""
    setup_logging(cfg.OUTPUT_DIR)
    torch.manual_seed(cfg.RNG_SEED)
    device = device_for_rank(cfg.NUM_GPUS)
    precision = Precision(device, cfg.TRAIN.MIXED_PRECISION)
    model = precision.place(build_model(cfg))
    load_for_test(cfg, model)
    dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
    loader = construct_loader(cfg, "test", dataset)
    chunk = World.from_cfg(cfg).share("TEST.BATCH_SIZE", cfg.TEST.BATCH_SIZE)
    combine = ENSEMBLES[cfg.DATA.ENSEMBLE_METHOD]
    meter, bad = ScoreMeter(), []
    predict = predictor(model.eval(), precision, precision.pack(cfg), chunk)
    for batch in with_bar(loader):
        keep = readable(batch, bad)
        if not keep:
            continue
        scores = combine(predict_views(predict, batch["clip"][keep]), dim=1)  # (N, V, K) -> (N, K)
        meter.update(batch["video"][keep], scores, batch["label"][keep])
    return report(cfg, meter, all_gather_lists(bad), device)


test.__test__ = False  # not one of pytest's

ENSEMBLES: dict[str, Callable] = {"sum": torch.sum, "max": torch.amax}


def evaluate(
    predict: Callable[[Tensor], Tensor], loader: Iterable, output_dir: str, said: Callable[[int, int], None]
) -> dict[str, float]:
    """Accuracy over one clip of every video, on all ranks. `said(number, total)` is called after every batch."""
    meter, bad = ScoreMeter(), []
    for number, batch in enumerate(with_bar(loader), start=1):
        keep = readable(batch, bad)
        if keep:
            meter.update(batch["video"][keep], predict(batch["clip"][keep]), batch["label"][keep])
        said(number, len(loader))
    append_bad_videos(output_dir, all_gather_lists(bad))
    _, scores, labels = meter.gather()
    return accuracy(scores, labels)


def predictor(
    model: nn.Module, precision: Precision, pack: Callable, chunk: int | None = None
) -> Callable[[Tensor], Tensor]:
    """A function from uint8 clips, N x T x H x W x C on the host, to scores, N x K, at most `chunk` clips at a time."""

    @torch.no_grad()
    def predict(clips: Tensor) -> Tensor:
        scores = []
        for part in clips.split(chunk or len(clips)):
            with precision.autocast():
                scores.append(model(pack(part.to(precision.device, non_blocking=True))).float())
        return torch.cat(scores)

    return predict


def predict_views(predict: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    """Scores of every view: N x V x T x H x W x C to N x V x K."""
    videos, views = clips.shape[:2]
    return predict(clips.flatten(0, 1)).unflatten(0, (videos, views))  # (N * V, K) -> (N, V, K)


def readable(batch: dict, bad: list[str]) -> list[int]:
    """Which videos of a batch could be decoded; what is known of the others is added to `bad`."""
    bad += [line for lines in batch["bad"] for line in lines.splitlines()]
    return [place for place, lines in enumerate(batch["bad"]) if not lines]


def with_bar(loader: Iterable) -> Iterable:
    bar = progress_bar(len(loader), unit="batch")
    for batch in loader:
        yield batch
        bar.update()
    bar.close()


def report(cfg, meter: ScoreMeter, bad: list[str], device: torch.device) -> dict:
    """Say the accuracy with the protocol behind it, and save the scores if asked to."""
    append_bad_videos(cfg.OUTPUT_DIR, bad)
    videos, scores, labels = meter.gather()
    figures = accuracy(scores, labels)
    views, crops = cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS
    logger.info(
        "tested %d videos (%d failed) on %d clips x %d crops of %d px, %d frames x stride %d, combined by %s: %s",
        *(len(videos), len(bad), views, crops, cfg.DATA.TEST_CROP_SIZE),
        *(cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.ENSEMBLE_METHOD),
        ", ".join(f"{name} {100 * value if name == 'map' else value:.2f} %" for name, value in figures.items()),
    )
    stats = {name: f"{value:.2f}" if name != "map" else value for name, value in figures.items()}
    protocol = {"views": views, "crops": crops, "videos": len(videos), "failed": len(bad)}
    log_json_stats({"split": "test_final", **stats, **protocol, **memory(device)}, cfg.OUTPUT_DIR)
    if cfg.TEST.SAVE_RESULTS_PATH and is_master():
        save_results(Path(cfg.OUTPUT_DIR) / cfg.TEST.SAVE_RESULTS_PATH, scores, labels)
    return figures


def save_results(path: Path, scores: Tensor, labels: Tensor) -> None:
    """A pickle of [scores N x K, labels], as published: `scores, labels = pickle.load(open(path, "rb"))`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump([scores, labels], file)
    logger.info("saved scores and labels of every video in %s: scores, labels = pickle.load(open(path, 'rb'))", path)
