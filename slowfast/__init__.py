"""Video-understanding models and multigrid training."""

__version__ = "0.1.0"
