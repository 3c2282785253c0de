"""The configuration tree: a yacs `CfgNode` that merges with care.

Values that come from files and command lines are brought to the type of the default they replace, text such as
`1e-4` becomes a number, and a key or a value that does not fit is an error that names it and says how to mend it.
"""

import ast
import difflib
import pathlib
import re

import yacs.config
import yaml

from slowfast.errors import UserError

NUMBER_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

# Whole numbers by default that may also be fractional: a schedule given in iterations rarely makes whole epochs.
FRACTIONAL_KEYS = {"SOLVER.MAX_EPOCH", "DATA.TARGET_FPS"}

# Numbers that may be None, which stands for "off".
OPTIONAL_KEYS = {"SOLVER.CLIP_GRAD_VAL", "SOLVER.CLIP_GRAD_L2NORM"}

# Lists that hold text; in every other list a text that reads as a number is one.
TEXT_LIST_KEYS = {
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN",
    "MODEL.SINGLE_PATHWAY_ARCH",
    "MODEL.MULTI_PATHWAY_ARCH",
    "TENSORBOARD.MODEL_VIS.LAYER_LIST",
    "TENSORBOARD.MODEL_VIS.GRAD_CAM.LAYER_LIST",
}


class CfgNode(yacs.config.CfgNode):
    """A section of the configuration, or all of it."""

    def merge_from_file(self, cfg_filename) -> None:
        """Merge a YAML file; its path is part of every error."""
        path = pathlib.Path(cfg_filename)
        try:
            self.merge_from_other_cfg(read_yaml(path))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def merge_from_other_cfg(self, cfg_other) -> None:
        """Merge a nested mapping of keys (dotted keys are understood at any level)."""
        for key, value in flatten(cfg_other):
            self._assign(key, value)

    def merge_from_list(self, cfg_list) -> None:
        """Merge `[KEY, value, KEY, value, ...]`; text values are read as Python or YAML values."""
        if len(cfg_list) % 2:
            raise UserError(f"overrides come in pairs KEY VALUE, but {cfg_list[-1]!r} has no value")
        for key, value in zip(cfg_list[0::2], cfg_list[1::2], strict=True):
            is_text = isinstance(_look_up(self, str(key)), str)
            self._assign(key, parse_text(value, is_text) if isinstance(value, str) else value)

    def _assign(self, key: str, value) -> None:
        default = _look_up(self, key)
        *sections, leaf = key.split(".")
        node = self
        for section in sections:
            node = node[section]
        if isinstance(default, yacs.config.CfgNode):
            if value is not None:  # a section with nothing under it reads as None
                raise UserError(
                    f"{key}: {value!r} is not possible, it is a section of keys: {_some_keys(default, key)}"
                )
            return
        setattr(node, leaf, coerce(key, value, default))


def read_yaml(path: pathlib.Path) -> dict:
    """The mapping in a YAML file."""
    if not path.is_file():
        raise FileNotFoundError(f"config file {path} does not exist; give the path of a YAML file after --cfg")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"not readable as YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"holds a {type(values).__name__}, give sections such as 'TRAIN:' with indented keys")
    return values


def flatten(tree: dict, prefix: str = ""):
    """The leaves of a nested mapping as (dotted key, value); an empty section gives (its key, None)."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{key}.")
        else:
            yield key, None if isinstance(value, dict) else value


def parse_text(text: str, is_text: bool = False):
    """The value that a word of the command line stands for (for a key that `is_text`: without its quotes)."""
    if is_text and text[:1] not in ("'", '"'):
        return text
    for read in (ast.literal_eval, yaml.safe_load):
        try:
            return read(text)
        except (ValueError, SyntaxError, yaml.YAMLError):
            continue
    return text


def coerce(key: str, value, default):
    """`value` in the type of the key's default; an error that names the key, the value and the type otherwise."""
    if isinstance(default, (list, tuple)):
        _require(key, value, isinstance(value, (list, tuple)), "a list such as [1, 2]")
        return list(value) if key in TEXT_LIST_KEYS else _numbers_in(key, value)
    if isinstance(default, str):
        text = str(value) if _is_number(value) else value
        return _require(key, "" if text is None else text, text is None or isinstance(text, str), "text")
    if isinstance(default, bool):
        return _require(key, value, isinstance(value, bool), "True or False")
    return _coerce_number(key, as_number(value), default)


def _coerce_number(key: str, number, default):
    if number is None and key in OPTIONAL_KEYS:
        return None
    whole = _is_number(number) and float(number).is_integer()
    if isinstance(default, int) and key not in FRACTIONAL_KEYS:
        return int(_require(key, number, whole, "a whole number"))
    _require(key, number, _is_number(number), "a number")
    return int(number) if whole and key in FRACTIONAL_KEYS else float(number)


def as_number(value):
    """A number for text that reads as one (plain YAML takes `1e-4` for text), anything else as it is."""
    if isinstance(value, str) and NUMBER_TEXT.fullmatch(value.strip()):
        number = float(value)
        return int(number) if value.strip().lstrip("+-").isdigit() else number
    return value


def _numbers_in(key: str, value):
    if isinstance(value, (list, tuple)):
        return [_numbers_in(key, item) for item in value]
    return _require(key, as_number(value), _is_number(as_number(value)), "numbers in its list")


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require(key: str, value, fits: bool, what: str):
    if not fits:
        raise UserError(f"{key}: {value!r} does not fit, give {what}")
    return value


def _look_up(cfg: CfgNode, key: str):
    node = cfg
    for name in str(key).split("."):
        if not isinstance(node, yacs.config.CfgNode) or name not in node:
            raise UserError(f"unknown key {key}; did you mean {nearest_key(str(key), cfg)}?")
        node = node[name]
    return node


def nearest_key(key: str, cfg: CfgNode) -> str:
    """The known key most like `key`: by its last name where that is known, else by all of it."""
    known = [name for name, _ in flatten(cfg)]
    same_leaf = [name for name in known if name.split(".")[-1] == key.upper().split(".")[-1]]
    return difflib.get_close_matches(key.upper(), same_leaf or known, n=1, cutoff=0.0)[0]


def _some_keys(section: CfgNode, prefix: str) -> str:
    names = [name for name, _ in flatten(section, f"{prefix}.")]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
