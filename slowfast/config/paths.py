"""The keys that are paths: `~` and variables in them are replaced, and results stay in OUTPUT_DIR."""

import os
from pathlib import Path
from string import Template

from slowfast.errors import UserError

PATH_KEYS = {
    "OUTPUT_DIR",
    "TRAIN.CHECKPOINT_FILE_PATH",
    "TEST.CHECKPOINT_FILE_PATH",
    "TEST.SAVE_RESULTS_PATH",
    "DATA.PATH_TO_DATA_DIR",
    "DATA.PATH_PREFIX",
    "DATA.PREPARED_DIR",
    "TENSORBOARD.LOG_DIR",
    "TENSORBOARD.CLASS_NAMES_PATH",
    "TENSORBOARD.CONFUSION_MATRIX.SUBSET_PATH",
    "TENSORBOARD.HISTOGRAM.SUBSET_PATH",
}

# Paths that are relative to OUTPUT_DIR.
OUTPUT_KEYS = ("TEST.SAVE_RESULTS_PATH", "TENSORBOARD.LOG_DIR")


def expand_path(key: str, path: str) -> str:
    """Return a path with `~`, `$NAME` and `${NAME}` replaced. `$$` stands for a dollar sign."""
    try:
        return os.path.expanduser(Template(path).substitute(os.environ))
    except KeyError as error:
        raise UserError(
            f"{key}: {path!r} has the environment variable {error.args[0]}, which is not set; set it, or write $$ for $"
        ) from None
    except ValueError:
        raise UserError(f"{key}: {path!r} has a $ without the name of a variable; write $$ for $") from None


def check_outputs(values: dict) -> None:
    """Refuse outputs that would be outside OUTPUT_DIR."""
    output_dir = values["OUTPUT_DIR"]
    if not output_dir:
        raise UserError("OUTPUT_DIR: '' is not a folder; give one such as './runs/mine'")
    for key in OUTPUT_KEYS:
        if values[key] and Path(output_dir).resolve() not in (Path(output_dir) / values[key]).resolve().parents:
            raise UserError(f"{key}: {values[key]!r} is not inside OUTPUT_DIR; give a name such as 'results.pkl'")
