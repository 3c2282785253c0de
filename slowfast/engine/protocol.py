"""The protocol of a test: what its accuracy was measured on. It stands beside every number of the test."""

from dataclasses import dataclass
from typing import Any

from slowfast.config.node import CfgNode
from slowfast.engine.scores import Scores


@dataclass(frozen=True)
class Protocol:
    """The views of a test, and the videos that could be decoded and that `failed`.

    `short_side`: what videos are resized to, px; None for a data set of the user's own kind, which decides itself.
    """

    views: int
    crops: int
    crop_px: int
    short_side: int | None
    frames: int
    stride: int
    ensemble: str
    videos: int
    failed: int

    @classmethod
    def from_cfg(cls, cfg: CfgNode, dataset: Any, scores: Scores) -> "Protocol":
        failed = len(scores.errors)
        return cls(
            *(cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS, cfg.DATA.TEST_CROP_SIZE),
            getattr(getattr(dataset, "grid", None), "test_short_side", None),
            *(cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.ENSEMBLE_METHOD),
            *(len(scores.rows) - failed, failed),
        )

    def __str__(self) -> str:
        side = "" if self.short_side is None else f", short side {self.short_side} px"
        return (
            f"{self.videos} videos ({self.failed} failed) on {self.views} clips x {self.crops} crops of {self.crop_px} "
            f"px, {self.frames} frames x stride {self.stride}{side}, combined by {self.ensemble}"
        )
