"""The configuration tree: a yacs `CfgNode` that converts the values it merges.

Values of files and command lines get the type of the default that they replace, and text such as `1e-4` becomes a
number. An unknown key, or a value of another type, is a UserError that names it and the fix.
"""

import ast
import difflib
import re
import reprlib
import sys
from itertools import zip_longest

import yacs.config
import yaml

from slowfast.config.paths import PATH_KEYS, expand_path
from slowfast.config.recipes import read_layers
from slowfast.config.yaml_file import parse_yaml
from slowfast.errors import UserError, errors_name

CONSTANTS = {"None": None, "True": True, "False": False}  # Python's words, of which YAML reads None as text
NUMBER_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

MISSING = object()
LARGEST = sys.float_info.max

# Integers by default that may be fractional: a schedule in iterations is rarely one in whole epochs.
FRACTIONAL_KEYS = {"SOLVER.MAX_EPOCH", "DATA.TARGET_FPS"}

# Numbers and lists that may be None, for "off".
OPTIONAL_KEYS = {
    "SOLVER.CLIP_GRAD_VAL",
    "SOLVER.CLIP_GRAD_L2NORM",
    "MVIT.POOL_KV_STRIDE_ADAPTIVE",
    "MVIT.POOL_KVQ_KERNEL",
}

# Lists of text. Text in other lists must be numbers.
TEXT_LIST_KEYS = {
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN",
    "MODEL.FREEZE",
    "MODEL.SINGLE_PATHWAY_ARCH",
    "MODEL.MULTI_PATHWAY_ARCH",
    "TENSORBOARD.MODEL_VIS.LAYER_LIST",
    "TENSORBOARD.MODEL_VIS.GRAD_CAM.LAYER_LIST",
}

# Values of lists whose default shows no nesting.
LIST_EXAMPLES = {
    **dict.fromkeys(TEXT_LIST_KEYS, ["s1", "s2"]),
    "MVIT.DIM_MUL": [[1, 2.0], [3, 2.0]],
    "MVIT.HEAD_MUL": [[1, 2.0], [3, 2.0]],
    "MVIT.POOL_Q_STRIDE": [[1, 1, 2, 2], [3, 1, 2, 2]],
    "MVIT.POOL_KV_STRIDE": [[0, 1, 8, 8], [1, 1, 4, 4]],
    "MVIT.POOL_KV_STRIDE_ADAPTIVE": [1, 8, 8],
    "MVIT.POOL_KVQ_KERNEL": [3, 3, 3],
}

# Keys whose lists have whole numbers only.
WHOLE_LISTS = re.compile(r"(RESNET|NONLOCAL)\..*|MVIT\.(PATCH|POOL)_.*|DATA\.(TRAIN_JITTER_SCALES|INPUT_CHANNEL_NUM)")

# Other names of values that published configs have.
ALIASES = {"MODEL.ARCH": {"slowonly": "slow"}}

# Why a key takes no value of another type, where users may expect that it does.
REASONS = {"MODEL.NUM_CLASSES": "; a model has one head, and lists of several label sets are not part of this project"}


class CfgNode(yacs.config.CfgNode):
    """A section of the configuration, or all of it.

    A section with `new_allowed` also takes keys that it has no default for, with any value.
    """

    def merge_from_file(self, cfg_filename) -> None:
        """Merge a YAML file, after those that its `_BASE_` names. Errors name the file."""
        self.merge_layers(read_layers(cfg_filename))

    def merge_layers(self, layers) -> None:
        """Merge (name, mapping) of files in turn. Errors name the file."""
        for name, values in layers:
            with errors_name(name):
                self.merge_from_other_cfg(values)

    def merge_from_other_cfg(self, cfg_other) -> None:
        """Merge a nested mapping of keys, which may be dotted at any level."""
        for key, value in flatten(cfg_other):
            self._assign(key, value)

    def merge_from_list(self, cfg_list) -> None:
        """Merge `[KEY, value, KEY, value, ...]`. Text values are read as Python or YAML values."""
        known = {key for key, _ in flatten(self)}
        for key, value in zip_longest(cfg_list[0::2], cfg_list[1::2], fillvalue=MISSING):
            if value is MISSING or (isinstance(value, str) and value in known):
                after = "" if value is MISSING else f", the next word is the key {value}"
                raise UserError(f"overrides come in pairs KEY VALUE, but {key!r} has no value{after}")
            section, name = self._section_of(str(key))
            is_text = isinstance(section.get(name), str)
            self._assign(str(key), parse_text(value, is_text) if isinstance(value, str) else value)

    def _assign(self, key: str, value) -> None:
        section, name = self._section_of(key)
        default = section.get(name)
        if not isinstance(default, yacs.config.CfgNode):
            setattr(section, name, coerce(key, value, default))
        elif value is not None:  # a section without keys reads as None
            raise UserError(
                f"{key}: {shown(value)} does not fit, it is a section of keys: {_some_keys(default, key)}; "
                "indent them below it, each as 'KEY: value'"
            )

    def _section_of(self, key: str) -> tuple["CfgNode", str]:
        """Return the section that has `key`, and the key's name in it. New sections are made where they are allowed."""
        *sections, name = key.split(".")
        node = self
        for section in sections:
            if section not in node and node.is_new_allowed():
                setattr(node, section, CfgNode(new_allowed=True))
            node = node.get(section)
            if not isinstance(node, yacs.config.CfgNode):
                raise unknown_key(key, self)
        if name not in node and not node.is_new_allowed():
            raise unknown_key(key, self)
        return node, name


def unknown_key(key: str, cfg: CfgNode) -> UserError:
    """Return the error for a key that `cfg` does not have."""
    readable = key if key.isprintable() else repr(key)
    shortened = readable if len(readable) <= 100 else f"{readable[:80]}..."
    return UserError(
        f"unknown key {shortened}; did you mean {nearest_key(key, cfg)}? --allow-unknown-keys keeps such keys"
    )


def flatten(tree: dict, prefix: str = ""):
    """Yield the leaves of a nested mapping as (dotted key, value), and an empty section as (its key, None)."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{key}.")
        else:
            yield key, None if isinstance(value, dict) else value


def parse_text(text: str, is_text: bool = False):
    """Return the value of a word of the command line. With `is_text` it is text, whose quotes are removed."""
    if is_text and text[:1] not in ("'", '"'):
        return text
    for read in (ast.literal_eval, parse_yaml):
        try:
            return read(text)
        except (ValueError, SyntaxError, yaml.YAMLError, RecursionError, MemoryError):  # the last two: deep nesting
            continue
    return text


def coerce(key: str, value, default):
    """Return `value` in the type of the key's default. Raise UserError where it has another type."""
    value = _as_constant(value, default)
    if value is None and key in OPTIONAL_KEYS:
        return None
    if default is None and key not in OPTIONAL_KEYS:
        return _require(key, value, not isinstance(value, set | bytes | dict), "text, a number or a list")
    if isinstance(default, (list, tuple)) or key in LIST_EXAMPLES:
        return _coerce_list(key, value, default)
    if isinstance(default, str):
        return _coerce_text(key, value)
    if isinstance(default, bool):
        return _require(key, value, isinstance(value, bool), "True or False")
    return _coerce_number(key, as_number(value), default)


def _as_constant(value, default):
    """Return what a text means to Python, such as None, unless the key takes text; and other values unchanged."""
    return CONSTANTS.get(value, value) if isinstance(value, str) and not isinstance(default, str) else value


def _coerce_list(key: str, value, default) -> list:
    value = parse_text(value) if isinstance(value, str) else value
    example = LIST_EXAMPLES.get(key) or default or [1, 2]
    _require(key, value, isinstance(value, (list, tuple)), f"a list such as {example}")
    if key in TEXT_LIST_KEYS:
        return _require(key, list(value), all(isinstance(item, str) for item in value), "text in its list")
    is_nested_alike = _is_empty(value) or _depth(value) == _depth(example)
    return _numbers_in(key, _require(key, value, is_nested_alike, f"a list nested as {example}"))


def _coerce_text(key: str, value) -> str:
    text = "" if value is None else str(value) if _is_number(value) else value
    _require(key, text, isinstance(text, str), "text")
    _require(key, text, "\0" not in text, "text without a NUL character, \\0")
    return expand_path(key, text) if key in PATH_KEYS else ALIASES.get(key, {}).get(text, text)


def _coerce_number(key: str, number, default):
    whole = _is_whole(number)
    if isinstance(default, int) and key not in FRACTIONAL_KEYS:
        return int(_require(key, number, whole, "a whole number" + REASONS.get(key, "")))
    _require(key, number, _is_number(number), "a number")
    return int(number) if whole and key in FRACTIONAL_KEYS else float(number)


def as_number(value):
    """Return the number that a text is (plain YAML reads `1e-4` as text), and other values unchanged."""
    if isinstance(value, str) and NUMBER_TEXT.fullmatch(value.strip()):
        number = float(value)
        return int(value) if value.strip().lstrip("+-").isdigit() and abs(number) <= LARGEST else number
    return value


def _numbers_in(key: str, value):
    if isinstance(value, (list, tuple)):
        return [_numbers_in(key, item) for item in value]
    number = _require(key, as_number(value), _is_number(as_number(value)), "numbers in its list")
    if not WHOLE_LISTS.fullmatch(key):
        return number
    return int(_require(key, number, _is_whole(number), "whole numbers in its list"))


def _depth(values) -> int:
    """Return how deep a list is nested: 1 for numbers, 2 for lists of numbers."""
    return 1 + max((_depth(item) for item in values if isinstance(item, (list, tuple))), default=0)


def _is_empty(values) -> bool:
    """Return whether a nested list has no values."""
    return all(isinstance(item, (list, tuple)) and _is_empty(item) for item in values)


def _is_number(value) -> bool:
    """Return whether a value is a number of a size that a float has, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_whole(value) -> bool:
    return _is_number(value) and float(value).is_integer()


def _require(key: str, value, fits: bool, what: str):
    if not fits:
        raise UserError(f"{key}: {shown(value)} does not fit; give {what}")
    return value


def shown(value) -> str:
    """Return the text of a value for a message, shortened where it is long."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number of hundreds of digits"
    text = reprlib.repr(value) if isinstance(value, list | tuple) else repr(value)
    return text if len(text) <= 100 else f"{text[:80]}..."


def nearest_key(key: str, cfg: CfgNode) -> str:
    """Return the known key most similar to `key`, or several, joined by "or", for a last name without its section."""
    known = [name for name, _ in flatten(cfg)]
    same_leaf = [name for name in known if name.split(".")[-1] == key.upper().split(".")[-1]]
    count = 1 if "." in key or not same_leaf else 4
    return " or ".join(difflib.get_close_matches(key.upper()[:100], same_leaf or known, n=count, cutoff=0.0))


def _some_keys(section: CfgNode, prefix: str) -> str:
    names = [name for name, _ in flatten(section, f"{prefix}.")]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
