"""Checkpoint files: written completely or not at all, and read without running code from them."""

import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from slowfast.errors import UserError
from slowfast.utils.safe_pickle import DAMAGED, READ_ERRORS, arrays_of, load_pickle

ZIP_MAGIC = b"PK\x03\x04"
OLD_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch before 1.6
UNFINISHED = "unfinished.partial"
STATE_KEYS = ("model_state", "blobs", "state_dict", "model")
FIX_REFUSED = (
    "Checkpoints are read without running code from them. If you trust the file, open it in the program that wrote it "
    "and save only its weights: torch.save({'model_state': state_dict}, 'weights.pyth')"
)


def write_checkpoint(path: Path, content: dict) -> None:
    """Write `content` to a temporary file and rename it to `path`, so that an earlier file stays intact on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / UNFINISHED
    try:
        with open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        cause = _os_error(error)
        if cause is None:
            raise
        raise OSError(
            cause.errno,
            f"{cause.strerror} while saving {path}: checkpoints saved before are intact. Free some space, then start "
            "again: training resumes from the last of them",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _os_error(error: OSError | RuntimeError) -> OSError | None:
    """Return the OSError behind `error`, if there is one. torch reports a failed write as a RuntimeError."""
    chain = (error, error.__cause__, error.__context__)
    return next((link for link in chain if isinstance(link, OSError)), None)


def _sync_folder(folder: Path) -> None:
    """Write the renaming to disk, so that it survives a power failure (POSIX only)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_checkpoint(path: str | Path, mmap: bool = False) -> dict:
    """Read a checkpoint. The result has `model_state`, tensors under the names in the file.

    The content decides the format: torch (current or before 1.6), or a pickle of numpy arrays, such as Caffe2's. The
    result's `caffe2` is True if the names are Caffe2's. With `mmap` tensors stay on disk until they are used.
    Raises UserError that names the file and what was refused or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"the checkpoint {path} does not exist")
    with open(path, "rb") as file:
        start = file.read(len(OLD_TORCH_MAGIC))
    is_zip = start.startswith(ZIP_MAGIC)
    if is_zip or start == OLD_TORCH_MAGIC:
        content = _read_torch(path, mmap and is_zip)
    else:
        content = load_pickle(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not the state of a model")
    return _with_model_state(path, content)


def _read_torch(path: Path, mmap: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL\W+(?:GLOBAL )?([\w.]+)", str(error))
        if refused is None:
            raise UserError(f"{path} is not a readable checkpoint: {DAMAGED}") from error
        raise UserError(
            f"{path} was not loaded: it asks for {refused[1]}. Nothing of it was run. {FIX_REFUSED}"
        ) from error
    except (*READ_ERRORS, RuntimeError, AssertionError, OSError) as error:
        raise UserError(f"{path} is not a readable checkpoint: {DAMAGED}") from error


def _with_model_state(path: Path, content: dict) -> dict:
    key = next((key for key in STATE_KEYS if isinstance(content.get(key), dict)), None)
    tensors = _tensors(content if key is None else content[key])
    if not tensors:
        raise UserError(f"{path} holds no weights: none of its entries is a tensor")
    # the other entries count only in our own format: another program's epochs are not those of our training
    rest = {name: value for name, value in content.items() if name != key} if key == "model_state" else {}
    flat_names = not any("." in name for name in tensors)  # unlike those of modules
    return {**rest, "model_state": tensors, "caffe2": flat_names}


def _tensors(state: dict) -> dict[str, torch.Tensor]:
    arrays = {name: torch.from_numpy(array) for name, array in arrays_of(state).items() if array.dtype.kind in "biuf"}
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name: value for name, value in {**arrays, **tensors}.items() if isinstance(name, str)}
