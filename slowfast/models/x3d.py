"""X3D: a small network over time and space, expanded along width, depth, duration and resolution.

Feichtenhofer: X3D: Expanding Architectures for Efficient Video Recognition, CVPR 2020.

Legend: N clips, C channels, T frames, H x W pixels. T is kept up to the head, and H and W are divided by 32.
"""

from itertools import pairwise
from math import ceil

from slowfast.errors import UserError
from slowfast.models.arch import (
    NUM_STAGES,
    Arch,
    branch_options,
    find_arch,
    nonlocal_problem,
    nonlocal_spec,
    per_stage,
    temporal_kernels,
)
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.heads import X3DHead
from slowfast.models.losses import check_scores
from slowfast.models.res_stage import ResStage
from slowfast.models.resnet import MIN_CROP_PX, build_stems, crop_problem
from slowfast.models.specs import NonlocalSpec, StageSpec, round_width
from slowfast.models.staged import StagedModel
from slowfast.utils.world import process_batch

BLOCKS = (1, 2, 5, 3)  # of res2 to res5 at X3D.DEPTH_FACTOR 1
STRIDE = 2  # of the stem and of every stage
WIDTH_DIVISOR = 8  # of the widths of the stages at X3D.WIDTH_FACTOR 1


def base_widths(dim_c1: int, scale_res2: bool) -> list[int]:
    """Return the output channels of res2 to res5 at X3D.WIDTH_FACTOR 1."""
    widths = [round_width(dim_c1, 2, WIDTH_DIVISOR) if scale_res2 else dim_c1]
    while len(widths) < NUM_STAGES:
        widths.append(round_width(widths[-1], 2, WIDTH_DIVISOR))
    return widths


def depths(factor: float) -> list[int]:
    """Return the numbers of residual blocks in res2 to res5 for X3D.DEPTH_FACTOR; a factor of 0 changes nothing."""
    return [ceil(factor * blocks) if factor else blocks for blocks in BLOCKS]


def inner_width(factor: float, width: int) -> int:
    """Return the channels inside the residual branches of a stage of `width` channels."""
    inner = int(factor * width)
    if inner < 1:
        raise UserError(f"X3D.BOTTLENECK_FACTOR: {factor:g} leaves nothing of {width} channels; raise it")
    return inner


def widths(x3d) -> list[int]:
    """Return the output channels of the stem and of res2 to res5."""
    return [round_width(base, x3d.WIDTH_FACTOR) for base in (x3d.DIM_C1, *base_widths(x3d.DIM_C1, x3d.SCALE_RES2))]


def x3d_attention(cfg) -> NonlocalSpec:
    """Return the non-local blocks, the same in all stages: those of the config for res2, as published."""
    return nonlocal_spec(cfg, 0, 0, max(depths(cfg.X3D.DEPTH_FACTOR)))


def x3d_stages(cfg, arch: Arch) -> list[StageSpec]:
    """Return the stages. The keys RESNET.DEPTH, WIDTH_PER_GROUP, SPATIAL_STRIDES and NUM_BLOCK_TEMP_KERNEL are unused.

    MODEL.DROPCONNECT_RATE is that of res5; it is 2/5, 3/5 and 4/5 of it in the stages before.
    """
    x3d, dilations, attention = cfg.X3D, per_stage(cfg, "RESNET.SPATIAL_DILATIONS"), x3d_attention(cfg)
    specs = []
    for stage, (width_in, width) in enumerate(pairwise(widths(x3d))):
        inner, blocks = inner_width(x3d.BOTTLENECK_FACTOR, width), depths(x3d.DEPTH_FACTOR)[stage]
        spec = StageSpec(
            width_in=width_in,
            width_out=width,
            width_inner=inner,
            temporal_kernels=temporal_kernels(arch.stages[0][stage], blocks, blocks),
            stride=STRIDE,
            dilation=dilations[stage][0],
            groups=channel_groups(cfg, inner),
            drop_rate=cfg.MODEL.DROPCONNECT_RATE * (stage + 2) / (NUM_STAGES + 1),
            nonlocal_blocks=attention,
            **branch_options(cfg),
        )
        specs.append(spec)
    return specs


def channel_groups(cfg, inner: int) -> int:
    """Return the groups of the middle convolution of a residual branch of `inner` channels."""
    groups = inner if cfg.X3D.CHANNELWISE_3x3x3 else cfg.RESNET.NUM_GROUPS
    if inner % groups:
        raise UserError(
            f"RESNET.NUM_GROUPS: {groups} does not divide the {inner} channels inside a residual branch; use a "
            "divisor, or X3D.CHANNELWISE_3x3x3 True"
        )
    return groups


def build_x3d_head(cfg, last: StageSpec) -> X3DHead:
    """Return the head over features of the stage `last`."""
    check_scores(cfg)
    if cfg.X3D.BN_LIN5 and cfg.TRAIN.ENABLE and process_batch(cfg, "TRAIN") < 2:
        raise UserError(
            "X3D.BN_LIN5: True normalizes over the clips of a device, and there is one; raise TRAIN.BATCH_SIZE to 2 "
            "or more for each of NUM_GPUS"
        )
    rows = ceil(cfg.DATA.TRAIN_CROP_SIZE / MIN_CROP_PX)
    return X3DHead(
        widths=(last.width_out, last.width_inner, cfg.X3D.DIM_C5),
        num_classes=cfg.MODEL.NUM_CLASSES,
        window=None if cfg.MODEL.GLOBAL_POOL else (cfg.DATA.NUM_FRAMES, rows, rows),
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        activation=cfg.MODEL.HEAD_ACT,
        norm_lin5=cfg.X3D.BN_LIN5,
    )


@MODEL_REGISTRY.register()
class X3D(StagedModel):
    """Model of one pathway: s1 (stem), s2, s3, s4, s5, head. Takes `[clip]`, N x C x T x H x W, of any T, H and W."""

    def __init__(self, cfg):
        super().__init__()
        arch = find_arch(cfg.MODEL.ARCH, stem="x3d")
        specs = x3d_stages(cfg, arch)
        self.append("s1", build_stems(cfg, arch, [specs[0].width_in]))
        for i, spec in enumerate(specs, 2):
            self.append(f"s{i}", ResStage([spec]))
        self.append("head", build_x3d_head(cfg, specs[-1]))
        self.initialize(cfg)

    @classmethod
    def input_problem(cls, cfg, frames: int, crop: int) -> str:
        """Return why the model does not take clips of `frames` frames x `crop` px, or ""."""
        find_arch(cfg.MODEL.ARCH, stem="x3d")
        return crop_problem(crop) or nonlocal_problem([x3d_attention(cfg)] * NUM_STAGES, [frames] * NUM_STAGES)
