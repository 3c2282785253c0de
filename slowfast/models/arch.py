"""The architectures as a table of stems and temporal kernels, and the stages that a config asks for.

Lists of the config, such as RESNET.SPATIAL_STRIDES, have an entry per stage, res2 to res5, and in it one per pathway.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from slowfast.errors import UserError
from slowfast.models.specs import NonlocalSpec, StageSpec
from slowfast.models.transforms import TRANSFORMS

NUM_STAGES = 4  # res2 to res5
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


@dataclass(frozen=True)
class Arch:
    """Temporal kernels of every pathway: of the stem, and of res2 to res5, where a tuple repeats over the blocks.

    `stem` is the kind of the stems, a key of `stem.STEMS`.
    """

    stems: tuple[int, ...]
    stages: tuple[tuple[tuple[int, ...], ...], ...]
    temporal_pool: int = 1
    stem: str = "resnet"


ARCHS = {  # the names with "nopool" are those of old configs; new ones have MODEL.MODEL_NAME ResNet_nopool
    "2d": Arch(stems=(1,), stages=(((1,), (1,), (1,), (1,)),)),
    "c2d": Arch(stems=(1,), stages=(((1,), (1,), (1,), (1,)),), temporal_pool=2),
    "i3d": Arch(stems=(5,), stages=(((3,), (3, 1), (3, 1), (1, 3)),), temporal_pool=2),
    "slow": Arch(stems=(1,), stages=(((1,), (1,), (3,), (3,)),)),
    "c2d_nopool": Arch(stems=(1,), stages=(((1,), (1,), (1,), (1,)),)),
    "i3d_nopool": Arch(stems=(5,), stages=(((3,), (3, 1), (3, 1), (1, 3)),)),
    "x3d": Arch(stems=(5,), stages=(((3,), (3,), (3,), (3,)),), stem="x3d"),
    "slowfast": Arch(stems=(1, 5), stages=(((1,), (1,), (3,), (3,)), ((3,), (3,), (3,), (3,)))),
}


def find_arch(name: str, pathways: int = 1, stem: str = "resnet") -> Arch:
    """Return the row of the table for `MODEL.ARCH`, which must have this number of pathways and kind of stem."""
    known = [key for key, arch in ARCHS.items() if (pathways, stem) == (len(arch.stems), arch.stem)]
    if name not in known:
        raise UserError(f"MODEL.ARCH: {name!r} does not fit MODEL.MODEL_NAME; choose one of {', '.join(known)}")
    return ARCHS[name]


def blocks_of(depth: int) -> tuple[int, ...]:
    """Return the numbers of residual blocks in res2 to res5 for `RESNET.DEPTH`."""
    if depth not in BLOCKS:
        raise UserError(f"RESNET.DEPTH: {depth} is not known; choose one of {', '.join(map(str, BLOCKS))}")
    return BLOCKS[depth]


def temporal_kernels(kernels: Sequence[int], blocks: int, keep: int) -> tuple[int, ...]:
    """Return one kernel per block: `kernels` repeated over the first `keep` blocks, then 1."""
    return tuple(kernels[i % len(kernels)] if i < keep else 1 for i in range(blocks))


COUNTS = {  # the least number that a list may hold
    "RESNET.NUM_BLOCK_TEMP_KERNEL": 0,
    "RESNET.SPATIAL_STRIDES": 1,
    "RESNET.SPATIAL_DILATIONS": 1,
    "NONLOCAL.GROUP": 1,
}


def per_stage(cfg, key: str) -> list[list]:
    """Return the list of the config under `key`, indexed by stage and pathway. Raise UserError for another shape."""
    section, name = key.split(".")
    rows, pathways = cfg[section][name], len(ARCHS[cfg.MODEL.ARCH].stems)
    # Published recipes of one pathway leave the default pools, which are for two.
    longest = 2 if key == "NONLOCAL.POOL" else pathways
    if len(rows) != NUM_STAGES or not all(isinstance(r, list) and pathways <= len(r) <= longest for r in rows):
        raise UserError(
            f"{key}: {rows!r} does not fit the model; give a list of {NUM_STAGES}, one entry for each of res2 to res5, "
            f"and in each a list for the {pathways} pathway(s) of MODEL.ARCH {cfg.MODEL.ARCH!r}"
        )
    if key in COUNTS and not all(value == int(value) >= COUNTS[key] for row in rows for value in row):
        raise UserError(f"{key}: {rows!r} must hold whole numbers of {COUNTS[key]} or more")
    return rows


def stage_specs(
    cfg, arch: Arch, pathway: int, width: int, lateral_widths: Sequence[int] = (0, 0, 0, 0)
) -> list[StageSpec]:
    """Return the stages of a pathway whose stem has `width` channels. `lateral_widths` add to the stages' inputs."""
    strides, dilations = per_stage(cfg, "RESNET.SPATIAL_STRIDES"), per_stage(cfg, "RESNET.SPATIAL_DILATIONS")
    keeps, attention = per_stage(cfg, "RESNET.NUM_BLOCK_TEMP_KERNEL"), nonlocal_specs(cfg, pathway)
    groups, specs, width_in = cfg.RESNET.NUM_GROUPS, [], width
    for stage, blocks in enumerate(blocks_of(cfg.RESNET.DEPTH)):
        spec = StageSpec(
            width_in=width_in + lateral_widths[stage],
            width_out=4 * width * 2**stage,
            width_inner=groups * width * 2**stage,
            temporal_kernels=temporal_kernels(arch.stages[pathway][stage], blocks, keeps[stage][pathway]),
            stride=strides[stage][pathway],
            dilation=dilations[stage][pathway],
            groups=groups,
            nonlocal_blocks=attention[stage],
            **branch_options(cfg),
        )
        specs.append(spec)
        width_in = spec.width_out
    return specs


def branch_options(cfg) -> dict[str, Any]:
    """Return the options of a stage that all stages of a config share."""
    resnet = cfg.RESNET
    if resnet.TRANS_FUNC not in TRANSFORMS:
        raise UserError(f"RESNET.TRANS_FUNC: {resnet.TRANS_FUNC!r} is not known; choose one of {', '.join(TRANSFORMS)}")
    return {
        "transform": resnet.TRANS_FUNC,
        "stride_in_1x1": resnet.STRIDE_1X1,
        "inplace_relu": resnet.INPLACE_RELU,
    }


def nonlocal_specs(cfg, pathway: int) -> list[NonlocalSpec]:
    """Return the non-local blocks of res2 to res5 in a pathway."""
    return [nonlocal_spec(cfg, stage, pathway, blocks) for stage, blocks in enumerate(blocks_of(cfg.RESNET.DEPTH))]


def nonlocal_spec(cfg, stage: int, pathway: int, blocks: int) -> NonlocalSpec:
    """Return the non-local blocks that the config has for a stage of `blocks` blocks in a pathway."""
    location, pool, group = (per_stage(cfg, f"NONLOCAL.{name}") for name in ("LOCATION", "POOL", "GROUP"))
    positions, window = location[stage][pathway], pool[stage][pathway]
    if any(block not in range(blocks) for block in positions):
        raise UserError(f"NONLOCAL.LOCATION: {positions} for res{stage + 2}, which has the blocks 0 to {blocks - 1}")
    if len(window) != 3 or min(window) < 1:
        raise UserError(f"NONLOCAL.POOL: {window} for res{stage + 2} must be [frames, rows, columns], each 1 or more")
    return NonlocalSpec(
        after_blocks=tuple(positions),
        pool=tuple(window),
        instantiation=cfg.NONLOCAL.INSTANTIATION,
        group=group[stage][pathway],
    )


def nonlocal_problem(specs: Iterable[NonlocalSpec], frames: Sequence[int]) -> str:
    """Return why NONLOCAL.GROUP does not divide the `frames` that reach res2 to res5 of a pathway, or ""."""
    for stage, (spec, reaching) in enumerate(zip(specs, frames, strict=True), 2):
        if spec.after_blocks and reaching % spec.group:
            return (
                f"NONLOCAL.GROUP {spec.group} does not divide the {reaching} frames that reach a non-local block of "
                f"res{stage}"
            )
    return ""
