"""Published import point of the stock models."""

from slowfast.models.resnet import ResNet
from slowfast.models.slowfast import SlowFast
from slowfast.models.x3d import X3D

__all__ = ["X3D", "ResNet", "SlowFast"]
