"""ResNets over clips, C2D, I3D and Slow, as a table of temporal kernels and a loop over stages.

Legend: N clips, C channels, T frames, H x W pixels. A list of features holds one N x C x T x H x W tensor per pathway.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.heads import Head
from slowfast.models.init import init_weights
from slowfast.models.res_stage import TRANSFORMS, NonlocalSpec, ResStage, StageSpec
from slowfast.models.stem import PathwayStems, Stem

MIN_CROP_PX = 32  # the published networks divide height and width by 32
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


@dataclass(frozen=True)
class Arch:
    """Temporal kernels of every pathway: of the stem, and of res2 to res5, where a tuple repeats over the blocks."""

    stems: tuple[int, ...]
    stages: tuple[tuple[tuple[int, ...], ...], ...]
    temporal_pool: int = 1


ARCHS = {
    "2d": Arch(stems=(1,), stages=(((1,), (1,), (1,), (1,)),)),
    "c2d": Arch(stems=(1,), stages=(((1,), (1,), (1,), (1,)),), temporal_pool=2),
    "i3d": Arch(stems=(5,), stages=(((3,), (3, 1), (3, 1), (1, 3)),), temporal_pool=2),
    "slow": Arch(stems=(1,), stages=(((1,), (1,), (3,), (3,)),)),
    "slowfast": Arch(stems=(1, 5), stages=(((1,), (1,), (3,), (3,)), ((3,), (3,), (3,), (3,)))),
}


def num_pathways(arch: str) -> int:
    """How many clips a model of `MODEL.ARCH` takes: 2 for slowfast, else 1."""
    return len(find_arch(arch).stems)


def find_arch(name: str, pathways: int | None = None) -> Arch:
    """The row of the table for `MODEL.ARCH`, which must have so many pathways if given."""
    known = [key for key, arch in ARCHS.items() if pathways in (None, len(arch.stems))]
    if name not in known:
        raise UserError(f"MODEL.ARCH is {name!r}; this model can be one of {', '.join(known)}")
    return ARCHS[name]


def blocks_of(depth: int) -> tuple[int, ...]:
    """Residual blocks of res2 to res5 for `RESNET.DEPTH`."""
    if depth not in BLOCKS:
        raise UserError(f"RESNET.DEPTH is {depth}; choose one of {', '.join(map(str, BLOCKS))}")
    return BLOCKS[depth]


def temporal_kernels(kernels: Sequence[int], blocks: int, keep: int) -> tuple[int, ...]:
    """One kernel per block: `kernels` repeated over the first `keep` blocks, then 1."""
    return tuple(kernels[i % len(kernels)] if i < keep else 1 for i in range(blocks))


def entry(values: Sequence[Sequence], stage: int, pathway: int):
    """`values[stage][pathway]` of a config list; a single entry holds for every pathway."""
    row = values[stage]
    return row[pathway if len(row) > 1 else 0]


def stage_specs(
    cfg, arch: Arch, pathway: int, width: int, lateral_widths: Sequence[int] = (0, 0, 0, 0)
) -> list[StageSpec]:
    """The four stages of one pathway whose stem has `width` channels; lateral widths add to each input."""
    resnet = cfg.RESNET
    if resnet.TRANS_FUNC not in TRANSFORMS:
        raise UserError(f"RESNET.TRANS_FUNC is {resnet.TRANS_FUNC!r}; choose one of {', '.join(TRANSFORMS)}")
    specs, width_in = [], width
    for stage, blocks in enumerate(blocks_of(resnet.DEPTH)):
        keep = entry(resnet.NUM_BLOCK_TEMP_KERNEL, stage, pathway)
        spec = StageSpec(
            width_in=width_in + lateral_widths[stage],
            width_out=4 * width * 2**stage,
            width_inner=resnet.NUM_GROUPS * width * 2**stage,
            temporal_kernels=temporal_kernels(arch.stages[pathway][stage], blocks, keep),
            stride=entry(resnet.SPATIAL_STRIDES, stage, pathway),
            dilation=entry(resnet.SPATIAL_DILATIONS, stage, pathway),
            groups=resnet.NUM_GROUPS,
            transform=resnet.TRANS_FUNC,
            stride_in_1x1=resnet.STRIDE_1X1,
            inplace_relu=resnet.INPLACE_RELU,
            nonlocal_blocks=nonlocal_spec(cfg, stage, pathway),
        )
        specs.append(spec)
        width_in = spec.width_out
    return specs


def nonlocal_spec(cfg, stage: int, pathway: int) -> NonlocalSpec:
    return NonlocalSpec(
        after_blocks=tuple(entry(cfg.NONLOCAL.LOCATION, stage, pathway)),
        pool=tuple(entry(cfg.NONLOCAL.POOL, stage, pathway)),
        instantiation=cfg.NONLOCAL.INSTANTIATION,
        group=entry(cfg.NONLOCAL.GROUP, stage, pathway),
    )


def nonlocal_problem(cfg, pathway: int, frames: Sequence[int]) -> str:
    """Return why NONLOCAL.GROUP does not divide the `frames` that reach res2 to res5 of a pathway, or ""."""
    for stage, reaching in enumerate(frames):
        spec = nonlocal_spec(cfg, stage, pathway)
        if spec.after_blocks and reaching % spec.group:
            return (
                f"NONLOCAL.GROUP {spec.group} does not divide the {reaching} frames that reach a non-local block of "
                f"res{stage + 2}"
            )
    return ""


def crop_problem(crop: int) -> str:
    """Return why a crop is too small for the network, or ""."""
    return f"crops under {MIN_CROP_PX} px are too small for the network" if crop < MIN_CROP_PX else ""


def build_stems(cfg, arch: Arch, widths: Sequence[int]) -> PathwayStems:
    channels = cfg.DATA.INPUT_CHANNEL_NUM
    return PathwayStems(
        [
            Stem(channels[min(i, len(channels) - 1)], width, kernel, cfg.RESNET.INPLACE_RELU)
            for i, (width, kernel) in enumerate(zip(widths, arch.stems, strict=True))
        ]
    )


def build_head(cfg, widths: Sequence[int], frames: Sequence[int]) -> Head:
    """The head over features of `widths` channels, which in evaluation have `frames` frames per pathway."""
    rows = cfg.DATA.TRAIN_CROP_SIZE // MIN_CROP_PX
    # The published models with a short cycle were evaluated without a window.
    global_pool = cfg.MODEL.GLOBAL_POOL or cfg.MULTIGRID.SHORT_CYCLE
    windows = None if global_pool else [(t, rows, rows) for t in frames]
    return Head(widths, cfg.MODEL.NUM_CLASSES, windows, cfg.MODEL.DROPOUT_RATE, cfg.MODEL.HEAD_ACT)


class TemporalPool(nn.Module):
    """Max-pool over time between res2 and res3, kernel and stride (size, 1, 1)."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [F.max_pool3d(x, (self.size, 1, 1)) for x in features]


@MODEL_REGISTRY.register()
class ResNet(nn.Sequential):
    """One pathway: s1 (stem), s2, temporal pool, s3, s4, s5, head. Takes `[clip]`, N x C x T x H x W."""

    def __init__(self, stems: PathwayStems, stages: Sequence[ResStage], head: Head, temporal_pool: int = 1):
        super().__init__()
        self.s1 = stems
        for i, stage in enumerate(stages, 2):
            self.add_module(f"s{i}", stage)
            if i == 2 and temporal_pool > 1:
                self.pool = TemporalPool(temporal_pool)
        self.head = head

    @classmethod
    def from_cfg(cls, cfg) -> "ResNet":
        arch = find_arch(cfg.MODEL.ARCH, pathways=1)
        pool = cls.temporal_pool(arch)
        specs = stage_specs(cfg, arch, 0, cfg.RESNET.WIDTH_PER_GROUP)
        model = cls(
            build_stems(cfg, arch, [cfg.RESNET.WIDTH_PER_GROUP]),
            [ResStage([spec]) for spec in specs],
            build_head(cfg, [specs[-1].width_out], [cfg.DATA.NUM_FRAMES // pool]),
            pool,
        )
        init_weights(model, cfg.MODEL.FC_INIT_STD, cfg.RESNET.ZERO_INIT_FINAL_BN)
        return model

    @classmethod
    def input_problem(cls, cfg, frames: int, crop: int) -> str:
        """Return why the model does not take clips of `frames` frames x `crop` px, or ""."""
        arch = cfg.MODEL.ARCH
        pool = cls.temporal_pool(find_arch(arch, pathways=1))
        if frames < pool:
            return f"{arch} needs more frames: {pool} or more, as it pools over time"
        return crop_problem(crop) or nonlocal_problem(cfg, 0, [frames, *[frames // pool] * 3])

    @staticmethod
    def temporal_pool(arch: Arch) -> int:
        return arch.temporal_pool


@MODEL_REGISTRY.register()
class ResNet_nopool(ResNet):
    """A ResNet that keeps all frames, whatever its arch."""

    @staticmethod
    def temporal_pool(arch: Arch) -> int:
        return 1
