"""Number formats and memory layouts that suit a device."""

import logging

import torch

from slowfast.models.inputs import PackPathways

logger = logging.getLogger(__name__)


class Precision:
    """Full precision, or bfloat16 where the device has it, else float16 with a scaler for the gradients.

    Mixed precision goes with channels-last tensors, which is where low precision pays.
    """

    def __init__(self, device: torch.device, mixed: bool):
        self.device, self.mixed = device, mixed
        has_bf16 = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
        self.dtype = torch.bfloat16 if has_bf16 else torch.float16
        self.memory_format = torch.channels_last_3d if mixed else torch.contiguous_format
        if mixed:
            logger.info("mixed precision: %s on %s", self.dtype, device.type)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.mixed)

    def scaler(self) -> torch.amp.GradScaler:
        """Does nothing unless gradients are in float16."""
        return torch.amp.GradScaler(self.device.type, enabled=self.mixed and self.dtype == torch.float16)

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        return model.to(self.device, memory_format=self.memory_format)

    def pack(self, cfg) -> PackPathways:
        return PackPathways.from_cfg(cfg, self.memory_format)
