"""The number format and memory format for a device."""

import logging
from contextlib import AbstractContextManager, nullcontext

import torch

from slowfast.config.node import CfgNode
from slowfast.datasets.pathways import PackPathways

logger = logging.getLogger(__name__)


class Precision:
    """Full precision or, on a GPU, mixed: bfloat16 if the GPU has it, else float16 with a scaler for the gradients.

    Mixed precision uses channels-last tensors, for which low precision is fastest. On a CPU it stays off: there the
    bfloat16 convolutions of torch 2.13 (oneDNN) return wrong weight gradients and write outside their memory for clips
    with fewer frames than a temporal kernel spans.
    """

    def __init__(self, device: torch.device, mixed: bool):
        self.device = device
        torch.backends.cudnn.benchmark = True  # a training has few shapes, each with its own fastest kernels
        self.mixed = mixed and device.type == "cuda"
        self.dtype = torch.bfloat16
        if self.mixed and not torch.cuda.is_bf16_supported(including_emulation=False):
            self.dtype = torch.float16
        self.memory_format = torch.channels_last_3d if self.mixed else torch.contiguous_format
        if self.mixed:
            logger.info("mixed precision: %s", self.dtype)
        elif mixed:
            logger.info("TRAIN.MIXED_PRECISION is for GPUs: on this CPU, full precision")

    def autocast(self) -> AbstractContextManager:
        """Return a context in which operations use the number format."""
        return torch.autocast(self.device.type, dtype=self.dtype) if self.mixed else nullcontext()

    def scaler(self) -> torch.amp.GradScaler:
        """Return a scaler for gradients. It does nothing unless they are in float16."""
        return torch.amp.GradScaler(self.device.type, enabled=self.mixed and self.dtype == torch.float16)

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """Move `model` to the device, and the weights of its 3-D convolutions to the memory format; return it.

        Weights of fewer dimensions, such as those of a 2-D convolution, cannot have `channels_last_3d`.
        """
        model = model.to(self.device)
        for parameter in model.parameters():
            if parameter.ndim == 5:
                parameter.data = parameter.data.to(memory_format=self.memory_format)
        return model

    def pack(self, cfg: CfgNode) -> PackPathways:
        """Return the function from uint8 clips on the device to the input of the model of `cfg`."""
        return PackPathways.from_cfg(cfg, self.memory_format)
