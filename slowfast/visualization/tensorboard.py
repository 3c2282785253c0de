"""A writer for TensorBoard, over the clips seen, since iterations differ in size under multigrid."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from slowfast.config.node import CfgNode
from slowfast.errors import UserError
from slowfast.utils.distributed import is_master
from slowfast.utils.extras import require


class TensorBoard:
    """Writes to `log_dir`, or nothing if it is None.

    `resumed_at`: the clips seen before a training resumed. What an earlier run wrote beyond them is hidden.
    """

    def __init__(self, log_dir: Path | None, resumed_at: int | None = None):
        self._writer = None if log_dir is None else _summary_writer(log_dir, resumed_at)

    @classmethod
    def from_cfg(cls, cfg: CfgNode, resumed_at: int | None = None) -> "TensorBoard":
        """Write to OUTPUT_DIR/(TENSORBOARD.LOG_DIR or runs) on rank 0 if TENSORBOARD.ENABLE is True, else nothing."""
        if not (cfg.TENSORBOARD.ENABLE and is_master()):
            return cls(None)
        return cls(Path(cfg.OUTPUT_DIR) / (cfg.TENSORBOARD.LOG_DIR or "runs"), resumed_at)

    @property
    def is_on(self) -> bool:
        """Whether anything is written."""
        return self._writer is not None

    def add(self, section: str, figures: Mapping[str, float], clips: int) -> None:
        """Add a point to the curve of each figure, at `clips`."""
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(f"{section}/{name}", value, clips)
            self._writer.flush()

    def add_text(self, name: str, text: str, clips: int) -> None:
        """Add a text, which is shown as it is."""
        if self._writer is not None:
            self._writer.add_text(name, "".join(f"    {line}\n" for line in text.splitlines()), clips)

    def add_picture(self, name: str, picture: np.ndarray, clips: int) -> None:
        """Add an RGB picture, uint8 (H, W, 3)."""
        if self._writer is not None:
            self._writer.add_image(name, picture, clips, dataformats="HWC")
            self._writer.flush()

    def add_histograms(self, section: str, tensors: Mapping[str, Tensor], clips: int) -> None:
        """Add the histogram of the finite numbers of each tensor that has some."""
        if self._writer is None:
            return
        for name, tensor in tensors.items():
            values = tensor.detach().float().cpu()
            values = values[values.isfinite()]
            if len(values):
                self._writer.add_histogram(f"{section}/{name}", values, clips)
        self._writer.flush()


def _summary_writer(log_dir: Path, resumed_at: int | None) -> Any:
    require("TENSORBOARD.ENABLE True", "tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    try:
        return SummaryWriter(log_dir=str(log_dir), purge_step=None if resumed_at is None else resumed_at + 1)
    except OSError as error:
        raise UserError(
            f"TENSORBOARD.LOG_DIR: in {str(log_dir)!r} nothing can be written ({error.strerror}); use another folder"
        ) from error
