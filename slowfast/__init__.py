"""Video-understanding models and multigrid training.

`slowfast.load(path)` returns a trained model for use on videos (see `slowfast.inference`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slowfast.inference import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `load` when it is first used: it needs torch and everything else."""
    if name == "load":
        from slowfast.inference import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
