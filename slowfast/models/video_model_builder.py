"""Published import point of the stock models."""

from slowfast.models.resnet import ResNet
from slowfast.models.slowfast import SlowFast

__all__ = ["ResNet", "SlowFast"]
