"""Write the config of a run to `OUTPUT_DIR/config.yaml`."""

import logging
from itertools import count
from pathlib import Path

from slowfast.config.compare import differences
from slowfast.config.defaults import get_cfg
from slowfast.config.node import CfgNode
from slowfast.utils.distributed import is_master

logger = logging.getLogger(__name__)

CONFIG = "config.yaml"


def write_config(cfg: CfgNode, replace: bool = True) -> None:
    """Write all of `cfg` to `OUTPUT_DIR/config.yaml` on rank 0. It lists the changed keys first.

    `--cfg` takes the file and repeats the run. An earlier file with another content becomes config_1.yaml (or
    config_2.yaml, ...), or stays if `replace` is False.
    """
    path = Path(cfg.OUTPUT_DIR) / CONFIG
    if not is_master() or (path.exists() and not replace):
        return
    text = config_text(cfg)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if path.read_text(encoding="utf-8", errors="replace") == text:
            return
        earlier = next(name for i in count(1) if not (name := path.with_name(f"config_{i}.yaml")).exists())
        path.rename(earlier)
        logger.info("%s has another config: the earlier one is now %s", path, earlier.name)
    path.write_text(text, encoding="utf-8")


def config_text(cfg: CfgNode) -> str:
    """Return `cfg` as YAML, after a comment with the keys that differ from the defaults."""
    changed = [f"#   {one.key}: {one.here!r}\n" for one in differences(get_cfg(), cfg)]
    head = "# The config of a run. Give this file after --cfg to repeat it. Keys that differ from the defaults:\n"
    return "".join([head, *changed, "\n", cfg.dump()])
