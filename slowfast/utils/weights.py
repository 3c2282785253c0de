"""Fit the weights of a checkpoint to a model: pure functions on state dicts.

Legend: G groups, C channels.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from slowfast.errors import UserError
from slowfast.utils.weight_shapes import Adapted, adapt

ROWS_SHOWN = 16  # of a table, one tensor a row


@dataclass
class Fit:
    """The result of fitting a checkpoint to a model.

    `tensors` go into the model by name: those that were `loaded` as they are, and those that were `inflated` or
    `resampled`, with a note. `skipped` maps names in the checkpoint to the reason. `initialized` are the names of the
    model's tensors that stay at their initialization.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)
    inflated: dict[str, str] = field(default_factory=dict)
    resampled: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    initialized: list[str] = field(default_factory=list)

    def add(self, name: str, adapted: Adapted) -> None:
        """Add a tensor of the checkpoint under its name."""
        notes = {"inflated": self.inflated, "resampled": self.resampled, "skipped": self.skipped}
        if adapted.kind in notes:
            notes[adapted.kind][name] = adapted.note
        else:
            self.loaded.append(name)
        if adapted.tensor is not None:
            self.tensors[name] = adapted.tensor

    @property
    def summary(self) -> str:
        """The number of tensors of each kind, in one line."""
        resampled = f"{len(self.resampled)} resampled, " if self.resampled else ""
        return (
            f"{len(self.loaded)} tensors loaded, {len(self.inflated)} inflated, {resampled}"
            f"{len(self.skipped)} skipped, {len(self.initialized)} left at initialization"
        )

    @property
    def table(self) -> str:
        """The summary, and a row for each tensor that was not simply loaded, or for each part of the model if many."""
        rows = [("skipped", name, why) for name, why in self.skipped.items()]
        rows += [("left at initialization", name, "") for name in self.initialized]
        resampled = [("resampled", name, sizes) for name, sizes in self.resampled.items()]
        inflated = [("inflated", name, how) for name, how in self.inflated.items()]
        rows = _by_part(rows) if len(rows) > ROWS_SHOWN else rows
        rows = _by_part(inflated) + _by_sizes(resampled) + rows
        width = max((len(name) for _, name, _ in rows), default=0)
        lines = [f"  {what:<22}  {name:<{width}}  {why}".rstrip() for what, name, why in rows]
        return "\n".join([self.summary, *lines])


def fit(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], inflate: bool = False, repeat: bool = False) -> Fit:
    """Choose the tensors of `state` that fit `wanted` by name and shape. Tables of positions are resampled.

    Args:
        inflate: spread 2-D kernels over time, divided by their length (TRAIN.CHECKPOINT_INFLATE).
        repeat: repeat those of an MViT for images, undivided, or the reverse (TRAIN.CHECKPOINT_IN_INIT).
    """
    result = Fit()
    for name, tensor in state.items():
        result.add(name, adapt(name, tensor, wanted.get(name), inflate, repeat))
    _skip_biases_without_weights(result)
    result.initialized = [name for name in wanted if name not in result.tensors and not _is_counter(name)]
    return result


def merge_group_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with one set of running statistics for each norm that the published grouped batch norm wrote.

    Such a norm X has `X.split_bn.running_*` of G * C numbers, group after group, and `X.bn.*`, their aggregate once an
    evaluation has computed it. The aggregate is taken. Where there is none yet, it is computed in the published way:
    the mean of the groups, and the variance of all groups together, with the spread between their means.
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
    # The norm of the stem is itself called `bn`, but there `X` has no weight.
    return list(dict.fromkeys(grouped + [norm for norm in plain if f"{norm}.weight" in state]))


def _merged_statistics(norm: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the aggregate of `norm`, or the statistics of its groups together."""
    source = f"{norm}.bn" if _has_aggregate(norm, state) else f"{norm}.split_bn"
    channels = _channels(norm, state)
    mean, var = (_by_group(f"{source}.{name}", state, channels) for name in ("running_mean", "running_var"))
    merged = {"running_mean": mean.mean(0), "running_var": var.mean(0) + mean.var(0, correction=0)}
    if f"{source}.num_batches_tracked" in state:
        merged["num_batches_tracked"] = state[f"{source}.num_batches_tracked"]
    return merged


def _has_aggregate(norm: str, state: Mapping[str, Tensor]) -> bool:
    """Return whether `norm.bn` holds an aggregate: it is there, and not as at initialization if there are groups."""
    if f"{norm}.bn.running_mean" not in state:
        return False
    if f"{norm}.split_bn.running_mean" not in state or f"{norm}.bn.running_var" not in state:
        return True
    mean, var = (state[f"{norm}.bn.{name}"] for name in ("running_mean", "running_var"))
    return not bool((mean == 0).all() and (var == 1).all())


def _by_group(name: str, state: Mapping[str, Tensor], channels: int) -> Tensor:
    if name not in state:
        raise UserError(f"the checkpoint has no {name}, which belongs to the other statistics of its norm")
    if not channels or state[name].numel() % channels:
        raise UserError(f"{name} has {state[name].numel()} numbers: not a multiple of {channels} channels")
    return state[name].reshape(-1, channels)  # (G * C) -> (G, C)


def _channels(norm: str, state: Mapping[str, Tensor]) -> int:
    names = (f"{norm}.weight", f"{norm}.bn.running_mean", f"{norm}.split_bn.running_mean")
    return next(state[name].numel() for name in names if name in state)


def _skip_biases_without_weights(result: Fit) -> None:
    """Skip the biases of layers whose weights do not fit: they belong together."""
    for weight in [name for name in result.skipped if name.endswith(".weight")]:
        bias = weight.removesuffix("weight") + "bias"
        if bias in result.tensors:
            del result.tensors[bias]
            result.loaded.remove(bias)
            result.skipped[bias] = "its weight does not fit"


def _is_counter(name: str) -> bool:
    """Return whether this is a counter of batches, which files of Caffe2 do not have."""
    return name.endswith("num_batches_tracked")


def _by_sizes(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Join the rows of tables that are called alike in all blocks and have the same sizes, and give their number."""
    alike = Counter((what, name.rpartition(".")[2], sizes) for what, name, sizes in rows)
    return [(what, f"{name}: {count}", sizes) for (what, name, sizes), count in alike.items()]


def _by_part(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Join the rows of one kind and one part of the model (s2.pathway0, s1_fuse, head), and give their number."""
    parts: dict[tuple[str, str], list[str]] = {}
    for what, name, why in rows:
        match = re.match(r"[^.]+(\.pathway\d)?", name)
        part = match[0] if match else name
        parts.setdefault((what, part), []).append(why)
    return [
        (what, f"{part}: {len(reasons)}", reasons[0] if len(set(reasons)) == 1 else f"{reasons[0]}; ...")
        for (what, part), reasons in parts.items()
    ]
