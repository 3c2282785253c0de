"""SlowFast networks: a slow pathway of few frames and many channels, a fast one of many frames and few channels.

Legend: N clips, C channels, T frames, H x W pixels. A list of features holds one N x C x T x H x W tensor per pathway.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.models.arch import find_arch, nonlocal_problem, nonlocal_specs, stage_specs
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.res_stage import ResStage
from slowfast.models.resnet import build_head, build_stems, crop_problem
from slowfast.models.specs import StageSpec
from slowfast.models.staged import StagedModel
from slowfast.multigrid.batch_norm import SubBatchNorm3d


class FuseFastToSlow(nn.Module):
    """Lateral connection: a convolution over time of stride alpha, which joins fast features to the slow ones."""

    def __init__(self, width_fast: int, width_lateral: int, kernel: int, alpha: int, inplace_relu: bool = True):
        super().__init__()
        self.alpha = alpha
        self.conv_f2s = nn.Conv3d(
            width_fast,
            width_lateral,
            (kernel, 1, 1),
            stride=(alpha, 1, 1),
            padding=(kernel // 2, 0, 0),
            bias=False,
        )
        self.bn = SubBatchNorm3d(width_lateral)
        self.relu = nn.ReLU(inplace_relu)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        slow, fast = features
        lateral = self.relu(self.bn(self.conv_f2s(fast)))
        if lateral.shape[2] != slow.shape[2]:
            raise UserError(
                f"{fast.shape[2]} frames, {slow.shape[2]} of them slow, do not fit SLOWFAST.ALPHA {self.alpha}: give a "
                "multiple of ALPHA frames, 1/ALPHA of them to the slow pathway, and an odd FUSION_KERNEL_SZ"
            )
        return [torch.cat([slow, lateral], dim=1), fast]


def pathway_widths(width: int, beta_inv: int) -> list[int]:
    """Return the channels of the slow and the fast stem."""
    if width % beta_inv:
        raise UserError(f"SLOWFAST.BETA_INV: {beta_inv} does not divide RESNET.WIDTH_PER_GROUP {width}; use a divisor")
    return [width, width // beta_inv]


def check_fusion(cfg, slow: Sequence[StageSpec], fast: Sequence[StageSpec]) -> None:
    """Raise UserError if features of the pathways would differ in size where they are joined."""
    if cfg.SLOWFAST.FUSION_KERNEL_SZ % 2 == 0:
        raise UserError(f"SLOWFAST.FUSION_KERNEL_SZ: {cfg.SLOWFAST.FUSION_KERNEL_SZ} must be odd")
    if [spec.stride for spec in slow] != [spec.stride for spec in fast]:
        raise UserError(
            f"RESNET.SPATIAL_STRIDES: {cfg.RESNET.SPATIAL_STRIDES!r} must be equal in both pathways, which are joined"
        )


@MODEL_REGISTRY.register()
class SlowFast(StagedModel):
    """Model of two pathways: s1 (stems), s1_fuse, s2, s2_fuse, ..., s4_fuse, s5, head. Takes `[slow, fast]`."""

    def __init__(self, cfg):
        super().__init__()
        arch = find_arch(cfg.MODEL.ARCH, pathways=2)
        slow_width, fast_width = pathway_widths(cfg.RESNET.WIDTH_PER_GROUP, cfg.SLOWFAST.BETA_INV)
        fast = stage_specs(cfg, arch, 1, fast_width)
        fused = [spec.width_in for spec in fast]
        lateral = [width * cfg.SLOWFAST.FUSION_CONV_CHANNEL_RATIO for width in fused]
        slow = stage_specs(cfg, arch, 0, slow_width, lateral)
        check_fusion(cfg, slow, fast)
        kernel, alpha = cfg.SLOWFAST.FUSION_KERNEL_SZ, cfg.SLOWFAST.ALPHA
        stages = [
            build_stems(cfg, arch, [slow_width, fast_width]),
            *(ResStage(pair) for pair in zip(slow, fast, strict=True)),
        ]
        for i, (stage, width_fast, width_lateral) in enumerate(zip(stages, fused, lateral, strict=False), 1):
            self.append(f"s{i}", stage)
            self.append(f"s{i}_fuse", FuseFastToSlow(width_fast, width_lateral, kernel, alpha, cfg.RESNET.INPLACE_RELU))
        self.append("s5", stages[-1])
        frames = cfg.DATA.NUM_FRAMES
        widths = [slow[-1].width_out, fast[-1].width_out]
        self.append("head", build_head(cfg, widths, [frames // alpha, frames]))
        self.initialize(cfg)

    @classmethod
    def input_problem(cls, cfg, frames: int, crop: int) -> str:
        """Return why the model does not take clips of `frames` frames x `crop` px, or ""."""
        find_arch(cfg.MODEL.ARCH, pathways=2)
        alpha = cfg.SLOWFAST.ALPHA
        if frames % alpha:
            return f"{frames} frames are not a multiple of SLOWFAST.ALPHA {alpha}"
        slow, fast = [frames // alpha] * 4, [frames] * 4
        problems = (nonlocal_problem(nonlocal_specs(cfg, p), reaching) for p, reaching in enumerate((slow, fast)))
        return crop_problem(crop) or next(filter(None, problems), "")
