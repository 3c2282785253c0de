"""From YAML files and overrides to a checked, frozen configuration."""

from collections.abc import Mapping, Sequence

from slowfast.config.checks import check_cfg
from slowfast.config.defaults import get_cfg
from slowfast.config.node import CfgNode
from slowfast.errors import UserError


def load_cfg(path=None, overrides: Sequence = ()) -> CfgNode:
    """Defaults, then the YAML file at `path`, then `[KEY, value, ...]`; checked and frozen."""
    cfg = get_cfg()
    if path is not None:
        cfg.merge_from_file(path)
    cfg.merge_from_list(list(overrides))
    try:
        check_cfg(cfg)
    except UserError as error:
        raise UserError(f"{path}: {error}" if path is not None else str(error)) from None
    cfg.freeze()
    return cfg


def changed_cfg(cfg: CfgNode, changes: Mapping) -> CfgNode:
    """A new configuration, checked and frozen, that differs from `cfg` in `changes` (dotted key -> value)."""
    new = cfg.clone()
    new.defrost()
    for key, value in changes.items():
        new.merge_from_list([key, value])
    check_cfg(new)
    new.freeze()
    return new
