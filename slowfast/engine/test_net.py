"""Tests: the accuracy over all views of every video.

Legend: N videos, V views, K classes.
"""

import logging
from collections.abc import Callable, Mapping, Sized
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from slowfast.config.node import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.pathways import Clips
from slowfast.engine.bad_videos import with_checked_headers
from slowfast.engine.board import Board
from slowfast.engine.class_results import save_class_results
from slowfast.engine.evaluation import predict_views, predictor, score_videos
from slowfast.engine.precision import Precision
from slowfast.engine.results import results_path, save_results
from slowfast.engine.scores import Scores
from slowfast.engine.start import log_start
from slowfast.models import build_model
from slowfast.models.build import check_shapes
from slowfast.models.outputs import require_scores
from slowfast.multigrid import Shape
from slowfast.utils.config_file import write_config
from slowfast.utils.distributed import device_for_rank, get_world_size
from slowfast.utils.label_order import class_names_of, names_of_scores
from slowfast.utils.logging import log_json_stats, setup_logging
from slowfast.utils.protocol import Protocol
from slowfast.utils.run_lock import holds_output_dir
from slowfast.utils.training_checkpoint import load_for_test
from slowfast.utils.training_meters import accuracy_text, memory
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
        results_path(cfg)  # raises
        dataset = with_checked_headers(build_dataset(cfg.TEST.DATASET, cfg, "test"), cfg)
        loader = construct_loader(cfg, "test", dataset)
        precision = Precision(device, cfg.TRAIN.MIXED_PRECISION)
        model = precision.place(require_scores(build_model(cfg), cfg)).eval()
        max_clips = process_batch(cfg, "TEST")
        return cls(model, loader, predictor(model, precision, precision.pack(cfg), max_clips))


@holds_output_dir
def run_test(cfg: CfgNode) -> dict[str, float]:
    """Test the model of `cfg` on all views of every video; log and return its accuracy.

    Videos without labels give predictions only.
    """
    setup_logging(cfg.OUTPUT_DIR)
    torch.manual_seed(cfg.RNG_SEED)
    device = device_for_rank(cfg.NUM_GPUS)
    testing = Testing.from_cfg(cfg, device)
    dataset = testing.loader.dataset
    saved = load_for_test(cfg, testing.model, class_names_of(dataset))
    write_config(cfg, replace=False)
    log_start(cfg, device, {"test_videos": len(cast(Sized, dataset)), "processes": get_world_size()})
    board = Board(cfg, dataset)
    combine = ENSEMBLES[cfg.DATA.ENSEMBLE_METHOD]

    def score(clips: Clips) -> Tensor:
        return combine(predict_views(testing.predict, clips), dim=1)  # (N, V, K) -> (N, K)

    scores = score_videos(score, testing.loader, cfg.OUTPUT_DIR)
    names = names_of_scores(saved.get("class_names"), class_names_of(dataset))
    protocol = Protocol.from_cfg(cfg, dataset, len(scores.rows) - len(scores.errors), len(scores.errors))
    figures = report(cfg.OUTPUT_DIR, scores, protocol, device)
    save_results(cfg, scores, dataset, names)
    save_class_results(cfg.OUTPUT_DIR, scores, names, protocol)
    board.results("test", scores, figures, clips_of(saved), f"Test on {protocol}.")
    return figures


def clips_of(saved: Mapping[str, Any]) -> int:
    """Return how many clips the training had seen when it wrote a checkpoint; 0 if it does not know."""
    if "plan" not in saved:
        return 0
    _, _, iterations, clips = saved["plan"]
    return round(clips * saved["iteration"] / iterations)


def report(output_dir: str, scores: Scores, protocol: Protocol, device: torch.device) -> dict[str, float]:
    """Log and return the accuracy, with the protocol of the test."""
    figures = scores.accuracy()
    text = accuracy_text(figures) or f"predictions only, since {scores.num_unlabeled} videos have no label"
    logger.info("tested %s: %s", protocol, text)
    fields = asdict(protocol) | memory(device)
    as_text = {name: value if name == "map" else f"{value:.2f}" for name, value in figures.items()}
    log_json_stats({"_type": "test_epoch", **figures, **fields}, output_dir)
    log_json_stats({"split": "test_final", **as_text, **fields}, output_dir)  # as published
    return figures
