"""From YAML files and overrides to a checked, frozen configuration."""

import logging
import pathlib
from collections.abc import Sequence
from itertools import chain

from slowfast.config.checks import check_cfg, check_names
from slowfast.config.defaults import get_cfg
from slowfast.config.limits import check_choices, check_limits
from slowfast.config.node import CfgNode, flatten
from slowfast.config.recipes import read_layers
from slowfast.errors import errors_name

logger = logging.getLogger(__name__)

# Of the oldest published configs, which name the architecture only. The others of one pathway are a ResNet.
MODEL_OF_ARCH = {"x3d": "X3D", "mvit": "MViT"}


def load_cfg(path=None, overrides: Sequence = (), allow_unknown_keys: bool = False) -> CfgNode:
    """Return the defaults with a YAML file, then `[KEY, value, ...]`, merged; checked and frozen.

    `path` is that of the file, or the name of a recipe such as Kinetics/SLOWFAST_8x8_R50.
    OUTPUT_DIR is `./runs/<name of the YAML file>` unless the file or the pairs give another.
    With `allow_unknown_keys`, keys without a default are logged and kept; otherwise they are errors.
    """
    return load_layers([] if path is None else read_layers(path), overrides, allow_unknown_keys, path)


def load_layers(
    layers: Sequence[tuple[str | pathlib.PurePath, dict]],
    overrides: Sequence = (),
    allow_unknown_keys: bool = False,
    path=None,
) -> CfgNode:
    """Return the defaults with layers of (name, nested values), then `[KEY, value, ...]`, merged; checked and frozen.

    Errors in a layer have its name, others `path`. See `load_cfg` for the rest.
    """
    cfg = get_cfg()
    if allow_unknown_keys:
        cfg.set_new_allowed(True)
    pairs = zip(overrides[0::2], overrides[1::2], strict=False)
    with errors_name(path):
        given = dict(chain(*(flatten(values) for _, values in layers), pairs))
        check_names(given)  # before its keys, which this project does not know
    cfg.merge_layers(layers)
    if "OUTPUT_DIR" not in given:
        cfg.OUTPUT_DIR = f"./runs/{pathlib.Path(path).stem if path else 'default'}"
    cfg.merge_from_list(list(overrides))
    if "MODEL.MODEL_NAME" not in given and cfg.MODEL.ARCH not in cfg.MODEL.MULTI_PATHWAY_ARCH:
        cfg.MODEL.MODEL_NAME = MODEL_OF_ARCH.get(cfg.MODEL.ARCH, "ResNet")
    with errors_name(path, overridden=overrides[0::2]):
        check_cfg(cfg)
    log_unknown_keys(cfg)
    cfg.freeze()
    return cfg


def with_keys(cfg: CfgNode, overrides: Sequence) -> CfgNode:
    """Return a copy of a config with `[KEY, value, ...]`, which must be known keys; checked and frozen."""
    changed = cfg.clone()
    changed.defrost()
    changed.set_new_allowed(False)
    changed.merge_from_list(list(overrides))
    values = dict(flatten(changed))
    check_choices(values)
    check_limits(values)
    changed.freeze()
    return changed


def log_unknown_keys(cfg: CfgNode) -> None:
    """Warn of keys that nothing in this project reads."""
    known, sections = dict(flatten(get_cfg())), get_cfg()
    unknown = [key for key, _ in flatten(cfg) if key not in known and not _is_in_open_section(key, sections)]
    if unknown:
        logger.warning("unknown keys, which nothing here reads: %s", ", ".join(unknown))


def _is_in_open_section(key: str, defaults: CfgNode) -> bool:
    section = defaults.get(key.split(".")[0])
    return isinstance(section, CfgNode) and section.is_new_allowed()
