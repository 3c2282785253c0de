"""Checks of keys that must go together, each a function of the cfg; `CHECKS` at the end is the table that runs them."""

from slowfast.config.node import CfgNode
from slowfast.errors import UserError

STAGES = "res2 to res5"
NUM_STAGES = 4
STOCK_MODELS = {  # their ARCH
    "SlowFast": ("slowfast",),
    "ResNet": ("2d", "c2d", "i3d", "slow"),
    "ResNet_nopool": ("2d", "c2d", "i3d", "slow"),
}
PUBLISHED_ELSEWHERE = ("X3D", "MViT", "MaskMViT", "ContrastiveModel", "PTVResNet", "PTVSlowFast", "PTVX3D", "PTVMViT")
STEP_POLICY = "steps_with_relative_lrs"
BINARY_LOSSES = ("bce", "bce_logit")


def refuse(key: str, value, problem: str, mend: str) -> None:
    """Raise the error that names key, value, problem and mend."""
    raise UserError(f"{key}: {value!r} {problem}; {mend}")


def num_pathways(cfg: CfgNode) -> int:
    """Inputs of the model: slow and fast, or one."""
    return 2 if cfg.MODEL.ARCH in cfg.MODEL.MULTI_PATHWAY_ARCH else 1


def check_model_name(cfg: CfgNode) -> None:
    """A stock model fits its ARCH; one that only other projects have is refused (the registry knows the rest)."""
    name, arch = cfg.MODEL.MODEL_NAME, cfg.MODEL.ARCH
    if name in PUBLISHED_ELSEWHERE:
        refuse("MODEL.MODEL_NAME", name, "is not part of this project", f"give one of {', '.join(STOCK_MODELS)}")
    if arch not in STOCK_MODELS.get(name, (arch,)):
        mend = f"give one of {', '.join(STOCK_MODELS[name])}"
        refuse("MODEL.ARCH", arch, f"does not go with MODEL.MODEL_NAME {name!r}", mend)


def check_input_channels(cfg: CfgNode) -> None:
    """One channel count per pathway."""
    channels, paths = cfg.DATA.INPUT_CHANNEL_NUM, num_pathways(cfg)
    if len(channels) != paths:
        problem = f"does not fit the {paths} pathway(s) of MODEL.ARCH {cfg.MODEL.ARCH!r}"
        refuse("DATA.INPUT_CHANNEL_NUM", channels, problem, f"give {[3] * paths}")


def check_colours(cfg: CfgNode) -> None:
    """One mean and one deviation per colour."""
    for key, values in (("DATA.MEAN", cfg.DATA.MEAN), ("DATA.STD", cfg.DATA.STD)):
        if len(values) != 3:
            refuse(key, values, f"has {len(values)} entries", "give one for each of the 3 colours")


def check_stage_lists(cfg: CfgNode) -> None:
    """Lists with an entry per stage, and in it one per pathway, have the shape the stock models need."""
    if cfg.MODEL.MODEL_NAME not in STOCK_MODELS:
        return
    paths = num_pathways(cfg)
    for name in ("NUM_BLOCK_TEMP_KERNEL", "SPATIAL_STRIDES", "SPATIAL_DILATIONS"):
        _check_stage_list(f"RESNET.{name}", cfg.RESNET[name], paths, paths)
    for name in ("LOCATION", "GROUP"):
        _check_stage_list(f"NONLOCAL.{name}", cfg.NONLOCAL[name], paths, paths)
    # the default pools are for two pathways, and published recipes of one pathway leave them so
    _check_stage_list("NONLOCAL.POOL", cfg.NONLOCAL.POOL, paths, 2)


def _check_stage_list(key: str, value: list, fewest: int, most: int) -> None:
    if len(value) != NUM_STAGES:
        refuse(key, value, f"has {len(value)} entries", f"give {NUM_STAGES}, one for each of {STAGES}")
    for stage in value:
        if not isinstance(stage, list) or not fewest <= len(stage) <= most:
            problem = f"has {stage!r} for a stage, the model has {fewest} pathway(s)"
            refuse(key, value, problem, f"give a list of {fewest} for each of {STAGES}")


def check_fast_width(cfg: CfgNode) -> None:
    """The fast pathway gets a whole number of channels."""
    width, beta = cfg.RESNET.WIDTH_PER_GROUP, cfg.SLOWFAST.BETA_INV
    if num_pathways(cfg) == 2 and width % beta:
        refuse("SLOWFAST.BETA_INV", beta, f"does not divide RESNET.WIDTH_PER_GROUP {width}", "give a divisor of it")


def check_labels_and_loss(cfg: CfgNode) -> None:
    """Sets of labels go with a binary loss, single labels with the others."""
    loss, multi_label = cfg.MODEL.LOSS_FUNC, cfg.DATA.MULTI_LABEL
    if multi_label and loss not in BINARY_LOSSES:
        refuse("MODEL.LOSS_FUNC", loss, "cannot learn the sets of labels of DATA.MULTI_LABEL", "give 'bce_logit'")
    if loss in BINARY_LOSSES and not multi_label:
        mend = "give 'cross_entropy', or set DATA.MULTI_LABEL True"
        refuse("MODEL.LOSS_FUNC", loss, "is for videos with sets of labels", mend)


def check_loss_of_logits(cfg: CfgNode) -> None:
    """The stock models give logits in training, never probabilities."""
    loss, name = cfg.MODEL.LOSS_FUNC, cfg.MODEL.MODEL_NAME
    if loss == "bce" and name in STOCK_MODELS and cfg.TRAIN.ENABLE:
        refuse("MODEL.LOSS_FUNC", loss, f"needs probabilities, {name} trains on logits", "give 'bce_logit'")


def check_head_and_loss(cfg: CfgNode) -> None:
    """A binary loss trains scores that do not compete."""
    loss, head = cfg.MODEL.LOSS_FUNC, cfg.MODEL.HEAD_ACT
    if loss in BINARY_LOSSES and head == "softmax":
        problem = f"lets classes compete, MODEL.LOSS_FUNC {loss!r} does not"
        refuse("MODEL.HEAD_ACT", head, problem, "give 'sigmoid'")


def check_steps(cfg: CfgNode) -> None:
    """STEPS starts at 0 and rises: always under the step policy, where given for a long cycle under a cosine."""
    steps, policy = cfg.SOLVER.STEPS, cfg.SOLVER.LR_POLICY
    if policy != STEP_POLICY and not (cfg.MULTIGRID.LONG_CYCLE and steps):
        return
    if not steps:
        refuse("SOLVER.STEPS", steps, f"is empty under SOLVER.LR_POLICY {policy!r}", "give epochs such as [0, 94, 154]")
    if steps[0] != 0:
        refuse("SOLVER.STEPS", steps, "does not start at 0", f"give {[0, *steps]}")
    if any(later <= earlier for earlier, later in zip(steps, steps[1:], strict=False)):
        refuse("SOLVER.STEPS", steps, "is not sorted or repeats an epoch", f"give {sorted(set(steps))}")


def check_rates(cfg: CfgNode) -> None:
    """There is a relative rate for every step."""
    steps, rates = cfg.SOLVER.STEPS, cfg.SOLVER.LRS
    if cfg.SOLVER.LR_POLICY == STEP_POLICY and rates and len(rates) < len(steps):
        problem = f"has {len(rates)} rates for the {len(steps)} SOLVER.STEPS {steps}"
        refuse("SOLVER.LRS", rates, problem, "give one for each, or [] for powers of SOLVER.GAMMA")


def check_long_cycle_shapes(cfg: CfgNode) -> None:
    """The base shapes are pairs of fractions."""
    key, shapes = "MULTIGRID.LONG_CYCLE_FACTORS", cfg.MULTIGRID.LONG_CYCLE_FACTORS
    if not shapes:
        refuse(key, shapes, "has no shape", "give at least one, such as [[1, 1]]")
    for shape in shapes:
        if not isinstance(shape, list) or len(shape) != 2 or not all(map(_is_fraction, shape)):
            refuse(key, shapes, f"has {shape!r} for a shape", "give [time, space], each above 0 and at most 1")


def check_long_cycle_end(cfg: CfgNode) -> None:
    """The last stage of a long cycle ends after its start."""
    steps, end = cfg.SOLVER.STEPS, cfg.SOLVER.MAX_EPOCH
    if cfg.MULTIGRID.LONG_CYCLE and steps and steps[-1] >= end:
        problem = f"does not end below SOLVER.MAX_EPOCH {end}, a long cycle has no place there"
        refuse("SOLVER.STEPS", steps, problem, f"scale them to the {end} epochs")


def check_short_cycle(cfg: CfgNode) -> None:
    """The short cycle's factors are fractions of the crop."""
    factors = cfg.MULTIGRID.SHORT_CYCLE_FACTORS
    if not all(map(_is_fraction, factors)):
        refuse("MULTIGRID.SHORT_CYCLE_FACTORS", factors, "is out of range", "give numbers above 0 and at most 1")


def _is_fraction(factor) -> bool:
    return isinstance(factor, (int, float)) and 0 < factor <= 1


def check_clipping(cfg: CfgNode) -> None:
    """A gradient is clipped one way."""
    value, norm = cfg.SOLVER.CLIP_GRAD_VAL, cfg.SOLVER.CLIP_GRAD_L2NORM
    if value and norm:
        refuse("SOLVER.CLIP_GRAD_VAL", value, f"excludes SOLVER.CLIP_GRAD_L2NORM {norm}", "set one of them to None")


def check_nesterov(cfg: CfgNode) -> None:
    """Nesterov momentum needs momentum, undamped."""
    solver = cfg.SOLVER
    if solver.OPTIMIZING_METHOD == "sgd" and solver.NESTEROV and (solver.MOMENTUM <= 0 or solver.DAMPENING != 0):
        refuse("SOLVER.NESTEROV", True, "needs SOLVER.MOMENTUM above 0 and SOLVER.DAMPENING 0", "else set it False")


def check_betas(cfg: CfgNode) -> None:
    """Adam's two decays."""
    betas = cfg.SOLVER.BETAS
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        refuse("SOLVER.BETAS", betas, "is out of range", "give two numbers from 0 and below 1")


CHECKS = (
    check_model_name,
    check_input_channels,
    check_colours,
    check_stage_lists,
    check_fast_width,
    check_labels_and_loss,
    check_loss_of_logits,
    check_head_and_loss,
    check_steps,
    check_rates,
    check_long_cycle_shapes,
    check_long_cycle_end,
    check_short_cycle,
    check_clipping,
    check_nesterov,
    check_betas,
)
