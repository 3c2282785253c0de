"""Tests: the accuracy over all views of every video.

Legend: N videos, V views, K classes.
"""

import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from slowfast.config.node import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.pathways import Clips
from slowfast.engine.bad_videos import append_bad_videos, without_bad_headers
from slowfast.engine.evaluation import predict_views, predictor, score_videos
from slowfast.engine.precision import Precision
from slowfast.models import build_model
from slowfast.models.build import check_shapes
from slowfast.multigrid import Shape
from slowfast.utils.distributed import device_for_rank, is_master
from slowfast.utils.logging import log_json_stats, setup_logging
from slowfast.utils.training_checkpoint import load_for_test
from slowfast.utils.training_meters import ScoreMeter, accuracy, memory
from slowfast.utils.world import process_batch

logger = logging.getLogger(__name__)

ENSEMBLES: dict[str, Callable[..., Tensor]] = {"sum": torch.sum, "max": torch.amax}


@dataclass(frozen=True)
class Testing:
    """Everything that a test needs, built before its first batch. `predict` maps clips to scores."""

    model: nn.Module
    loader: DataLoader
    predict: Callable[[Clips], Tensor]

    @classmethod
    def from_cfg(cls, cfg: CfgNode, device: torch.device) -> "Testing":
        shape = Shape(1, cfg.DATA.NUM_FRAMES, cfg.DATA.TEST_CROP_SIZE)
        check_shapes(cfg, [shape], keys="DATA.NUM_FRAMES or DATA.TEST_CROP_SIZE")
        loader = construct_loader(cfg, "test", without_bad_headers(build_dataset(cfg.TEST.DATASET, cfg, "test"), cfg))
        precision = Precision(device, cfg.TRAIN.MIXED_PRECISION)
        model = precision.place(build_model(cfg)).eval()
        max_clips = process_batch(cfg, "TEST")
        return cls(model, loader, predictor(model, precision, precision.pack(cfg), max_clips))


def run_test(cfg: CfgNode) -> dict[str, float]:
    """Test the model of `cfg` on all views of every video; log and return its accuracy."""
    setup_logging(cfg.OUTPUT_DIR)
    torch.manual_seed(cfg.RNG_SEED)
    device = device_for_rank(cfg.NUM_GPUS)
    testing = Testing.from_cfg(cfg, device)
    load_for_test(cfg, testing.model)
    combine = ENSEMBLES[cfg.DATA.ENSEMBLE_METHOD]

    def score(clips: Clips) -> Tensor:
        return combine(predict_views(testing.predict, clips), dim=1)  # (N, V, K) -> (N, K)

    meter, bad = score_videos(score, testing.loader)
    return report(cfg, meter, bad, device)


def report(cfg: CfgNode, meter: ScoreMeter, bad: list[str], device: torch.device) -> dict[str, float]:
    """Log and return the accuracy, with the protocol of the test. Save the scores if TEST.SAVE_RESULTS_PATH is set."""
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
    """Write a pickle of [scores N x K, labels], in the published format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump([scores, labels], file)
    logger.info("saved scores and labels of every video in %s: scores, labels = pickle.load(open(path, 'rb'))", path)
