"""Curves for TensorBoard. Their x axis is the clips seen: iterations are of different size under multigrid."""

from pathlib import Path

from slowfast.errors import UserError
from slowfast.utils.distributed import is_master


class TensorBoard:
    """Writes scalars to `log_dir`; with None nothing."""

    def __init__(self, log_dir: Path | None):
        self._writer = None if log_dir is None else _summary_writer(log_dir)

    @classmethod
    def from_cfg(cls, cfg) -> "TensorBoard":
        """For TENSORBOARD.ENABLE, on rank 0, in OUTPUT_DIR/(TENSORBOARD.LOG_DIR or runs)."""
        if not (cfg.TENSORBOARD.ENABLE and is_master()):
            return cls(None)
        return cls(Path(cfg.OUTPUT_DIR) / (cfg.TENSORBOARD.LOG_DIR or "runs"))

    def add(self, section: str, figures: dict[str, float], clips: int) -> None:
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(f"{section}/{name}", value, clips)
            self._writer.flush()


def _summary_writer(log_dir: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "TENSORBOARD.ENABLE is True, but the package tensorboard is not installed: "
            "pip install tensorboard, or set TENSORBOARD.ENABLE False"
        ) from None
    return SummaryWriter(log_dir=str(log_dir))
