"""Translate parameter names of other formats to those of this package: pure functions on text.

The names are s1.pathway0_stem, s2..s5.pathway{0,1}_res{block}.branch2.{a,b,c}, s1..s4_fuse, head.projection.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from slowfast.errors import UserError

# Caffe2: a blob's name without its ending -> the module of its weight and bias, and the module of its batch norm.
# The fast pathway's blobs begin with t_; {p} is the pathway, {0}, {1}, {2} are the groups of the pattern.
CAFFE2_MODULES = (
    (r"conv1", "s1.pathway{p}_stem.conv", None),
    (r"res_conv1", None, "s1.pathway{p}_stem.bn"),
    (r"res(\d)_(\d+)_branch1", "s{0}.pathway{p}_res{1}.branch1", "s{0}.pathway{p}_res{1}.branch1_bn"),
    (r"res(\d)_(\d+)_branch2([abc])", "s{0}.pathway{p}_res{1}.branch2.{2}", "s{0}.pathway{p}_res{1}.branch2.{2}_bn"),
    (r"pool1_subsample", "s1_fuse.conv_f2s", "s1_fuse.bn"),
    (r"res(\d)_\d+_branch2[abc]_bn_subsample", "s{0}_fuse.conv_f2s", "s{0}_fuse.bn"),
    (r"nonlocal_conv(\d)_(\d+)_(theta|phi|g|out)", "s{0}.pathway{p}_nonlocal{1}.conv_{2}", None),
    (r"nonlocal_conv(\d)_(\d+)", None, "s{0}.pathway{p}_nonlocal{1}.bn"),
    (r"pred", "head.projection", None),
)
CAFFE2_ENDINGS = {
    "w": "weight",
    "b": "bias",
    "bn_s": "weight",
    "bn_b": "bias",
    "bn_rm": "running_mean",
    "bn_riv": "running_var",
}
CAFFE2_STATE = re.compile(r".*_momentum|lr|model_iter")  # state of the solver, not of the model

WRAPPER_PARTS = {"module", "_orig_mod"}  # of data parallelism and torch.compile

# A torch.nn ResNet of the usual form; its parameters are those of the slow pathway.
RESNET_MODULES = (
    (r"conv1", "s1.pathway0_stem.conv"),
    (r"bn1", "s1.pathway0_stem.bn"),
    (r"layer(\d)\.(\d+)\.conv(\d)", "s{stage}.pathway0_res{1}.branch2.{branch}"),
    (r"layer(\d)\.(\d+)\.bn(\d)", "s{stage}.pathway0_res{1}.branch2.{branch}_bn"),
    (r"layer(\d)\.(\d+)\.downsample\.0", "s{stage}.pathway0_res{1}.branch1"),
    (r"layer(\d)\.(\d+)\.downsample\.1", "s{stage}.pathway0_res{1}.branch1_bn"),
    (r"fc", "head.projection"),
)


def from_caffe2(blob: str) -> str | None:
    """Return the parameter name of a Caffe2 blob, or None for state of the solver. An unknown blob keeps its name."""
    if CAFFE2_STATE.fullmatch(blob):
        return None
    parts = re.fullmatch(r"(t_)?(.*?)_(bn_s|bn_b|bn_rm|bn_riv|w|b)", blob)
    if parts is None:
        return blob
    fast, stem, ending = parts.groups()
    for pattern, module, batch_norm in CAFFE2_MODULES:
        match = re.fullmatch(pattern, stem)
        target = batch_norm if ending.startswith("bn_") else module
        if match and target:
            return f"{target.format(*match.groups(), p=1 if fast else 0)}.{CAFFE2_ENDINGS[ending]}"
    return blob


def from_torch_resnet(name: str) -> str:
    """Return the parameter name of an entry in the state dict of a torch.nn ResNet. Unknown names stay."""
    module, _, ending = name.rpartition(".")
    for pattern, target in RESNET_MODULES:
        match = re.fullmatch(pattern, module)
        if match:
            digits = [int(group) for group in match.groups()]
            stage = digits[0] + 1 if digits else 1
            branch = "abc"[digits[2] - 1] if len(digits) == 3 and 1 <= digits[2] <= 3 else ""
            return f"{target.format(*digits, stage=stage, branch=branch)}.{ending}"
    return name


def is_torch_resnet(names: Iterable[str]) -> bool:
    """Return whether these are the parameter names of a torch.nn ResNet."""
    return "layer1.0.conv1.weight" in names


def rename(
    state: Mapping, clear_name_pattern: Iterable[str] = (), caffe2: bool = False, wanted: Collection[str] = ()
) -> dict:
    """Return `state` under the names of this package, which are `wanted`.

    The patterns and the names of wrappers are removed first. Raises UserError if two entries get the same name.
    """
    state = _unique((_clear(name, clear_name_pattern), value) for name, value in state.items())
    if caffe2:
        return _unique((from_caffe2(name), value) for name, value in state.items())
    state = unwrap_names(state, wanted)
    if is_torch_resnet(state):
        return _unique((from_torch_resnet(name), value) for name, value in state.items())
    return state


def _clear(name: str, patterns: Iterable[str]) -> str:
    for pattern in patterns:
        name = name.replace(pattern, "")
    return name


def unwrap_names(state: Mapping, wanted: Collection[str]) -> dict:
    """Return `state` under the names that fit `wanted` best, without those of wrappers.

    Data parallelism and torch.compile add a part to the names, at any place. Other wrappers add a prefix: of the
    prefixes in the file, the one is removed that leaves the most names in `wanted`. Entries without it keep their name.
    """
    added = WRAPPER_PARTS - {part for name in wanted for part in name.split(".")}
    parts = {name: [part for part in name.split(".") if part not in added] for name in state}
    prefix = _best_prefix(parts.values(), set(wanted))
    result: dict[str, object] = {}
    for name in sorted(state, key=lambda name: parts[name][: len(prefix)] != prefix):  # those with the prefix first
        has_prefix = parts[name][: len(prefix)] == prefix
        short = ".".join(parts[name][len(prefix) :] if has_prefix else parts[name])
        result[name if short in result else short] = state[name]
    return result


def _best_prefix(names: Iterable[list[str]], wanted: Collection[str]) -> list[str]:
    """Return the first parts of names without which the most of them are wanted; none rather than some if equal."""
    hits: Counter[tuple[str, ...]] = Counter({(): 0})
    for name in names:
        parts = tuple(name)
        for i in range(len(parts)):
            rest = ".".join(parts[i:])
            hits[parts[:i]] += rest in wanted or from_torch_resnet(rest) in wanted
    best = max(hits, key=lambda prefix: (hits[prefix], not prefix))
    return list(best)


def _unique(entries: Iterable[tuple[str | None, object]]) -> dict:
    state: dict[str, object] = {}
    for name, value in entries:
        if name in state:
            raise UserError(
                f"two entries of the checkpoint get the name {name!r}: change TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN"
            )
        if name is not None:
            state[name] = value
    return state
