"""Published import point: see slowfast.compat.meters."""

from slowfast.compat.meters import TestMeter, TrainMeter, ValMeter, __getattr__

__all__ = ["TestMeter", "TrainMeter", "ValMeter", "__getattr__"]
