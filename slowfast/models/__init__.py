"""Video models, their heads and their losses."""

from slowfast.models import mvit, resnet, slowfast, x3d  # noqa: F401  (registers the models)
from slowfast.models.build import MODEL_REGISTRY, build_model

__all__ = ["MODEL_REGISTRY", "build_model"]
