"""The protocol of a test: the views and videos that its accuracy was measured on. It is given with every result."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from slowfast.config.node import CfgNode

PARTS = {  # of the text, each with the field without which it is left out
    "videos": "{videos} videos ({failed} failed) on {views} clips x {crops} crops",
    "crop_px": " of {crop_px} px",
    "frames": ", {frames} frames x stride {stride}",
    "short_side": ", short side {short_side} px",
    "ensemble": ", combined by {ensemble}",
}


@dataclass(frozen=True)
class Protocol:
    """The views of a test, and the videos that could be decoded and that `failed`.

    `short_side`: what videos are resized to, px; None if a data set of the user resizes them itself.
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
    def from_cfg(cls, cfg: CfgNode, dataset: Any, videos: int, failed: int) -> "Protocol":
        return cls(
            *(cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS, cfg.DATA.TEST_CROP_SIZE),
            getattr(getattr(dataset, "grid", None), "test_short_side", None),
            *(cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.ENSEMBLE_METHOD),
            *(videos, failed),
        )

    def __str__(self) -> str:
        return protocol_text(asdict(self))


def protocol_text(fields: Mapping[str, Any]) -> str:
    """Return the fields of a protocol, or of the record of a test, in words. Records of old logs have some of them."""
    return "".join(text.format(**fields) for name, text in PARTS.items() if fields.get(name) is not None)
