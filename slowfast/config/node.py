"""The configuration tree: a yacs `CfgNode` that converts the values it merges.

Values of files and command lines get the type of the default that they replace, and text such as `1e-4` becomes a
number. An unknown key, or a value of another type, is a UserError that names it and the fix.
"""

import ast
import difflib
import pathlib
import re

import yacs.config
import yaml

from slowfast.errors import UserError, errors_name

NUMBER_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

# Integers by default that may be fractional: a schedule in iterations is rarely one in whole epochs.
FRACTIONAL_KEYS = {"SOLVER.MAX_EPOCH", "DATA.TARGET_FPS"}

# Numbers that may be None, for "off".
OPTIONAL_KEYS = {"SOLVER.CLIP_GRAD_VAL", "SOLVER.CLIP_GRAD_L2NORM"}

# Lists of text. Text in other lists must be numbers.
TEXT_LIST_KEYS = {
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN",
    "MODEL.SINGLE_PATHWAY_ARCH",
    "MODEL.MULTI_PATHWAY_ARCH",
    "TENSORBOARD.MODEL_VIS.LAYER_LIST",
    "TENSORBOARD.MODEL_VIS.GRAD_CAM.LAYER_LIST",
}


# Other names of values that published configs have.
ALIASES = {"MODEL.ARCH": {"slowonly": "slow"}}

# Why a key takes no value of another type, where users may expect that it does.
REASONS = {"MODEL.NUM_CLASSES": "; a model has one head, and lists of several label sets are not part of this project"}


class CfgNode(yacs.config.CfgNode):
    """A section of the configuration, or all of it.

    A section with `new_allowed` also takes keys that it has no default for, with any value.
    """

    def merge_from_file(self, cfg_filename) -> None:
        """Merge a YAML file. Errors name its path."""
        path = pathlib.Path(cfg_filename)
        with errors_name(path):
            self.merge_from_other_cfg(read_yaml(path))

    def merge_from_other_cfg(self, cfg_other) -> None:
        """Merge a nested mapping of keys, which may be dotted at any level."""
        for key, value in flatten(cfg_other):
            self._assign(key, value)

    def merge_from_list(self, cfg_list) -> None:
        """Merge `[KEY, value, KEY, value, ...]`. Text values are read as Python or YAML values."""
        if len(cfg_list) % 2:
            raise UserError(f"overrides come in pairs KEY VALUE, but {cfg_list[-1]!r} has no value")
        for key, value in zip(cfg_list[0::2], cfg_list[1::2], strict=True):
            section, name = self._section_of(str(key))
            is_text = isinstance(section.get(name), str)
            self._assign(key, parse_text(value, is_text) if isinstance(value, str) else value)

    def _assign(self, key: str, value) -> None:
        section, name = self._section_of(key)
        default = section.get(name)
        if not isinstance(default, yacs.config.CfgNode):
            setattr(section, name, coerce(key, value, default))
        elif value is not None:  # a section without keys reads as None
            raise UserError(f"{key}: {value!r} does not fit, it is a section of keys: {_some_keys(default, key)}")

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
    return UserError(f"unknown key {key}; did you mean {nearest_key(key, cfg)}? --allow-unknown-keys keeps such keys")


def read_yaml(path: pathlib.Path) -> dict:
    """Return the mapping in a YAML file."""
    if not path.is_file():
        raise FileNotFoundError(f"config file {path} does not exist; give the path of a YAML file after --cfg")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read as YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"has a {type(values).__name__}; give sections such as 'TRAIN:' with indented keys")
    return values


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
    for read in (ast.literal_eval, yaml.safe_load):
        try:
            return read(text)
        except (ValueError, SyntaxError, yaml.YAMLError):
            continue
    return text


def coerce(key: str, value, default):
    """Return `value` in the type of the key's default. Raise UserError where it has another type."""
    if default is None and key not in OPTIONAL_KEYS:
        return _require(key, value, not isinstance(value, set | bytes | dict), "text, a number or a list")
    if isinstance(default, (list, tuple)):
        value = parse_text(value) if isinstance(value, str) else value  # a tuple in YAML is text
        _require(key, value, isinstance(value, (list, tuple)), "a list such as [1, 2]")
        return list(value) if key in TEXT_LIST_KEYS else _numbers_in(key, value)
    if isinstance(default, str):
        return _coerce_text(key, value)
    if isinstance(default, bool):
        return _require(key, value, isinstance(value, bool), "True or False")
    return _coerce_number(key, as_number(value), default)


def _coerce_text(key: str, value) -> str:
    text = "" if value is None else str(value) if _is_number(value) else value
    return _require(key, ALIASES.get(key, {}).get(text, text), isinstance(text, str), "text")


def _coerce_number(key: str, number, default):
    if number is None and key in OPTIONAL_KEYS:
        return None
    whole = _is_number(number) and float(number).is_integer()
    if isinstance(default, int) and key not in FRACTIONAL_KEYS:
        return int(_require(key, number, whole, "a whole number" + REASONS.get(key, "")))
    _require(key, number, _is_number(number), "a number")
    return int(number) if whole and key in FRACTIONAL_KEYS else float(number)


def as_number(value):
    """Return the number that a text is (plain YAML reads `1e-4` as text), and other values unchanged."""
    if isinstance(value, str) and NUMBER_TEXT.fullmatch(value.strip()):
        number = float(value)
        return int(number) if value.strip().lstrip("+-").isdigit() else number
    return value


def _numbers_in(key: str, value):
    if isinstance(value, (list, tuple)):
        return [_numbers_in(key, item) for item in value]
    return _require(key, as_number(value), _is_number(as_number(value)), "numbers in its list")


def _is_number(value) -> bool:
    """Return whether a value is a finite number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _require(key: str, value, fits: bool, what: str):
    if not fits:
        raise UserError(f"{key}: {value!r} does not fit; give {what}")
    return value


def nearest_key(key: str, cfg: CfgNode) -> str:
    """Return the known key most similar to `key`, among those with the same last name if there are any."""
    known = [name for name, _ in flatten(cfg)]
    same_leaf = [name for name in known if name.split(".")[-1] == key.upper().split(".")[-1]]
    return difflib.get_close_matches(key.upper(), same_leaf or known, n=1, cutoff=0.0)[0]


def _some_keys(section: CfgNode, prefix: str) -> str:
    names = [name for name, _ in flatten(section, f"{prefix}.")]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
