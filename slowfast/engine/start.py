"""The record of a start, in the log of a run."""

from collections.abc import Mapping
from datetime import datetime, timezone

import torch

from slowfast.config.node import CfgNode
from slowfast.utils.logging import log_json_stats
from slowfast.utils.machine import environment


def log_start(cfg: CfgNode, device: torch.device, size: Mapping[str, object]) -> None:
    """Log when a training or a test starts or resumes, on which machine and software, and its `size`."""
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    log_json_stats({"_type": "start", "time": time, **environment(device.type), **size}, cfg.OUTPUT_DIR)
