"""ResNets over clips, C2D, I3D and Slow, as a loop over stages.

Legend: N clips, C channels, T frames, H x W pixels. A list of features holds one N x C x T x H x W tensor per pathway.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.models.arch import Arch, find_arch, nonlocal_problem, nonlocal_specs, stage_specs
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.heads import Head
from slowfast.models.losses import check_scores
from slowfast.models.res_stage import ResStage
from slowfast.models.staged import StagedModel
from slowfast.models.stem import STEMS, PathwayStems

MIN_CROP_PX = 32  # the published networks divide height and width by 32


def crop_problem(crop: int) -> str:
    """Return why a crop is too small for the network, or ""."""
    return f"crops under {MIN_CROP_PX} px are too small for the network" if crop < MIN_CROP_PX else ""


def check_channels(cfg, pathways: int) -> None:
    """Raise UserError for clips that are not in color, or of another number of pathways."""
    channels = cfg.DATA.INPUT_CHANNEL_NUM
    if channels != [3] * pathways:
        raise UserError(
            f"DATA.INPUT_CHANNEL_NUM: {channels} does not fit the {pathways} pathway(s) of MODEL.ARCH "
            f"{cfg.MODEL.ARCH!r}, which see clips in color; give {[3] * pathways}"
        )


def build_stems(cfg, arch: Arch, widths: Sequence[int]) -> PathwayStems:
    """Return the stems of all pathways, with `widths` channels."""
    check_channels(cfg, len(arch.stems))
    stem, relu, channels = STEMS[arch.stem], cfg.RESNET.INPLACE_RELU, cfg.DATA.INPUT_CHANNEL_NUM
    return PathwayStems([stem(*sizes, relu) for sizes in zip(channels, widths, arch.stems, strict=True)])


def build_head(cfg, widths: Sequence[int], frames: Sequence[int]) -> Head:
    """Return the head over features of `widths` channels, which have `frames` frames per pathway in evaluation."""
    check_scores(cfg)
    rows = cfg.DATA.TRAIN_CROP_SIZE // MIN_CROP_PX
    # The published models with a short cycle were evaluated without a window.
    global_pool = cfg.MODEL.GLOBAL_POOL or cfg.MULTIGRID.SHORT_CYCLE
    windows = None if global_pool else [(t, rows, rows) for t in frames]
    return Head(widths, cfg.MODEL.NUM_CLASSES, windows, cfg.MODEL.DROPOUT_RATE, cfg.MODEL.HEAD_ACT)


class TemporalPool(nn.Module):
    """Max-pool over time between res2 and res3, with kernel and stride (size, 1, 1)."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [F.max_pool3d(x, (self.size, 1, 1)) for x in features]


@MODEL_REGISTRY.register()
class ResNet(StagedModel):
    """Model of one pathway: s1 (stem), s2, temporal pool, s3, s4, s5, head. Takes `[clip]`, N x C x T x H x W."""

    def __init__(self, cfg):
        super().__init__()
        arch = find_arch(cfg.MODEL.ARCH, pathways=1)
        pool = self.temporal_pool(arch)
        specs = stage_specs(cfg, arch, 0, cfg.RESNET.WIDTH_PER_GROUP)
        self.append("s1", build_stems(cfg, arch, [cfg.RESNET.WIDTH_PER_GROUP]))
        for i, spec in enumerate(specs, 2):
            self.append(f"s{i}", ResStage([spec]))
            if i == 2 and pool > 1:
                self.append("pool", TemporalPool(pool))
        self.append("head", build_head(cfg, [specs[-1].width_out], [cfg.DATA.NUM_FRAMES // pool]))
        self.initialize(cfg)

    @classmethod
    def input_problem(cls, cfg, frames: int, crop: int) -> str:
        """Return why the model does not take clips of `frames` frames x `crop` px, or ""."""
        arch = cfg.MODEL.ARCH
        pool = cls.temporal_pool(find_arch(arch, pathways=1))
        if frames < pool:
            return f"{arch} needs more frames: {pool} or more, as it pools over time"
        return crop_problem(crop) or nonlocal_problem(nonlocal_specs(cfg, 0), [frames, *[frames // pool] * 3])

    @staticmethod
    def temporal_pool(arch: Arch) -> int:
        """Return the number of frames that are pooled into one."""
        return arch.temporal_pool


@MODEL_REGISTRY.register()
class ResNet_nopool(ResNet):
    """A ResNet that keeps all frames, whatever its architecture."""

    @staticmethod
    def temporal_pool(arch: Arch) -> int:
        return 1
