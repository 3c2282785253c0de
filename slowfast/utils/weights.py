"""Maths on state dicts, without files and without models: fit what a checkpoint holds to what a model wants.

Legend: O output and I input channels, T x H x W kernel, G groups, C channels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from slowfast.errors import UserError

INFLATE_HINT = "a 2-D kernel: set TRAIN.CHECKPOINT_INFLATE True to spread it over time"
ROWS_SHOWN = 16  # of a table, one tensor a row


@dataclass
class Fit:
    """What of a checkpoint goes into a model: `tensors` by name, and how each came about.

    `skipped` maps names in the checkpoint to the reason, `initialised` names what stays at its initialisation.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    initialised: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        return (
            f"{len(self.loaded)} tensors loaded, {len(self.inflated)} inflated, {len(self.skipped)} skipped, "
            f"{len(self.initialised)} left at initialisation"
        )

    @property
    def table(self) -> str:
        """The summary, and under it what did not simply load: a row each, or a row a part of the model if many."""
        rows = [("skipped", name, why) for name, why in self.skipped.items()]
        rows += [("left at initialisation", name, "") for name in self.initialised]
        rows = _by_part(rows) if len(rows) > ROWS_SHOWN else rows
        rows = _by_part([("inflated", name, "2-D kernels spread over time") for name in self.inflated]) + rows
        width = max((len(name) for _, name, _ in rows), default=0)
        lines = [f"  {what:<22}  {name:<{width}}  {why}".rstrip() for what, name, why in rows]
        return "\n".join([self.summary, *lines])


def fit(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], inflate: bool = False) -> Fit:
    """Choose from `state` what has a name and a shape in `wanted`; with `inflate`, spread 2-D kernels over time."""
    result = Fit()
    for name, tensor in state.items():
        how, value = _adapt(tensor, wanted.get(name), inflate)
        if value is None:
            result.skipped[name] = how
        else:
            result.tensors[name] = value
            (result.inflated if how == "inflated" else result.loaded).append(name)
    _skip_biases_without_weights(result)
    result.initialised = [name for name in wanted if name not in result.tensors and not _is_counter(name)]
    return result


def _adapt(tensor: Tensor, target: Tensor | None, inflate: bool) -> tuple[str, Tensor | None]:
    """How `tensor` gets the shape of `target`, and the result: None where it doesn't, and then the reason."""
    if target is None:
        return "the model has no such name", None
    if not isinstance(tensor, Tensor):
        return f"not a tensor but a {type(tensor).__name__}", None
    if _without_trailing_ones(tensor.shape) == _without_trailing_ones(target.shape):
        return "loaded", tensor.reshape(target.shape)
    if _is_flat_kernel_of(tensor.shape, target.shape):
        return ("inflated", inflate_kernel(tensor, target.shape[2])) if inflate else (INFLATE_HINT, None)
    return f"{_text(tensor.shape)} in the file, {_text(target.shape)} here", None


def inflate_kernel(kernel: Tensor, frames: int) -> Tensor:
    """A 2-D kernel repeated over time and divided by its length, so that a still clip gives what the image gave."""
    kernel = kernel.reshape(*kernel.shape[:2], 1, *kernel.shape[-2:])  # (O, I, H, W) -> (O, I, 1, H, W)
    return kernel.repeat(1, 1, frames, 1, 1) / frames  # (O, I, 1, H, W) -> (O, I, T, H, W)


def merge_group_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with one set of running statistics per norm, where published grouped batch norm wrote several.

    Such a norm X has `X.split_bn.running_*` of G * C numbers, those of its groups one after the other, and `X.bn.*`,
    their aggregate at some evaluation before. The groups are averaged into `X.running_*`: the variances too, as in
    SubBatchNorm3d, without the spread between the groups.
    """
    merged = dict(state)
    for norm in _grouped_norms(state):
        statistics = _merged_statistics(norm, state)
        for name in [name for name in merged if name.startswith((f"{norm}.bn.", f"{norm}.split_bn."))]:
            del merged[name]
        for name, value in statistics.items():
            merged.setdefault(f"{norm}.{name}", value)
    return merged


def _grouped_norms(state: Mapping[str, Tensor]) -> list[str]:
    grouped = [name.removesuffix(".split_bn.running_mean") for name in state if name.endswith(".split_bn.running_mean")]
    plain = [name.removesuffix(".bn.running_mean") for name in state if name.endswith(".bn.running_mean")]
    # The stem's own norm is called `bn` too: but there `X` has no weight.
    return list(dict.fromkeys(grouped + [norm for norm in plain if f"{norm}.weight" in state]))


def _merged_statistics(norm: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Statistics of the groups of `norm`, or the published aggregate where no group has seen a batch."""
    source = f"{norm}.split_bn"
    seen = state.get(f"{source}.num_batches_tracked")
    has_aggregate = f"{norm}.bn.running_mean" in state
    if f"{source}.running_mean" not in state or (has_aggregate and seen is not None and int(seen) == 0):
        source = f"{norm}.bn"
    channels = _channels(norm, state)
    merged = {}
    for name in ("running_mean", "running_var"):
        value = state[f"{source}.{name}"]
        if value.numel() % channels:
            raise UserError(f"{source}.{name} has {value.numel()} numbers: not a multiple of {channels} channels")
        merged[name] = value.reshape(-1, channels).mean(0)  # (G * C) -> (G, C) -> (C)
    if f"{source}.num_batches_tracked" in state:
        merged["num_batches_tracked"] = state[f"{source}.num_batches_tracked"]
    return merged


def _channels(norm: str, state: Mapping[str, Tensor]) -> int:
    names = (f"{norm}.weight", f"{norm}.bn.running_mean", f"{norm}.split_bn.running_mean")
    return next(state[name].numel() for name in names if name in state)


def _skip_biases_without_weights(result: Fit) -> None:
    """A layer is taken whole: the bias of another head would mean nothing to weights at their initialisation."""
    for weight in [name for name in result.skipped if name.endswith(".weight")]:
        bias = weight.removesuffix("weight") + "bias"
        if bias in result.tensors:
            del result.tensors[bias]
            result.loaded.remove(bias)
            result.skipped[bias] = "its weight does not fit"


def _is_flat_kernel_of(shape: torch.Size, target: torch.Size) -> bool:
    flat = len(shape) == 4 or (len(shape) == 5 and shape[2] == 1)
    return flat and len(target) == 5 and (*shape[:2], *shape[-2:]) == (*target[:2], *target[-2:])


def _without_trailing_ones(shape: torch.Size) -> tuple[int, ...]:
    shape = tuple(shape)
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _is_counter(name: str) -> bool:
    """Counters of batches are no parameters: their absence (Caffe2) is not worth a word."""
    return name.endswith("num_batches_tracked")


def _by_part(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Rows of one kind and one part of the model (s2.pathway0, s1_fuse, head) as one, with their number."""
    parts: dict[tuple[str, str], list[str]] = {}
    for what, name, why in rows:
        part = re.match(r"[^.]+(\.pathway\d)?", name)[0]
        parts.setdefault((what, part), []).append(why)
    return [
        (what, f"{part}: {len(reasons)}", reasons[0] if len(set(reasons)) == 1 else f"{reasons[0]}; ...")
        for (what, part), reasons in parts.items()
    ]


def _text(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "one number"
