"""Curves for TensorBoard over the clips seen, since iterations differ in size under multigrid."""

from pathlib import Path
from typing import Any

from slowfast.config.node import CfgNode
from slowfast.errors import UserError
from slowfast.utils.distributed import is_master


class TensorBoard:
    """Writes scalars to `log_dir`, or nothing if it is None."""

    def __init__(self, log_dir: Path | None):
        self._writer = None if log_dir is None else _summary_writer(log_dir)

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> "TensorBoard":
        """Write to OUTPUT_DIR/(TENSORBOARD.LOG_DIR or runs) on rank 0 if TENSORBOARD.ENABLE is True, else nothing."""
        if not (cfg.TENSORBOARD.ENABLE and is_master()):
            return cls(None)
        return cls(Path(cfg.OUTPUT_DIR) / (cfg.TENSORBOARD.LOG_DIR or "runs"))

    def add(self, section: str, figures: dict[str, float], clips: int) -> None:
        """Add a point to the curve of each figure, at `clips`."""
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(f"{section}/{name}", value, clips)
            self._writer.flush()


def _summary_writer(log_dir: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "TENSORBOARD.ENABLE is True, but the package tensorboard is not installed: "
            "pip install tensorboard, or set TENSORBOARD.ENABLE False"
        ) from None
    try:
        return SummaryWriter(log_dir=str(log_dir))
    except OSError as error:
        raise UserError(
            f"TENSORBOARD.LOG_DIR: in {str(log_dir)!r} nothing can be written ({error.strerror}); use another folder"
        ) from error
