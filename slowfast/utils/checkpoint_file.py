"""Checkpoint files: written whole or not at all, read without running anything."""

import os
import pickle
import re
from pathlib import Path

import torch

from slowfast.errors import UserError
from slowfast.utils.safe_pickle import DAMAGED, READ_ERRORS, arrays_of, load_pickle

ZIP_MAGIC = b"PK\x03\x04"
OLD_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch before 1.6
UNFINISHED = "unfinished.partial"
STATE_KEYS = ("model_state", "blobs", "state_dict", "model")
MEND_REFUSED = (
    "Checkpoints are read without running anything they hold. If you trust the file, open it where it was made and "
    "save its weights alone: torch.save({'model_state': state_dict}, 'weights.pyth')"
)


def write_checkpoint(path: Path, content: dict) -> None:
    """Write `content` aside and rename it to `path`: whatever happens on the way, what was there before stays whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.parent / UNFINISHED
    try:
        with open(aside, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except (OSError, RuntimeError) as error:
        cause = _os_error(error)
        if cause is None:
            raise
        raise OSError(
            cause.errno,
            f"{cause.strerror} while saving {path}: checkpoints saved before are intact. Make room, then start again: "
            "training resumes from the last of them",
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _os_error(error: OSError | RuntimeError) -> OSError | None:
    """What the disk said. torch turns a failed write into a RuntimeError about a position, with the cause behind it."""
    chain = (error, error.__cause__, error.__context__)
    return next((link for link in chain if isinstance(link, OSError)), None)


def _sync_folder(folder: Path) -> None:
    """Make the renaming last through a power cut, where folders can be opened at all."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_checkpoint(path: str | Path, mmap: bool = False) -> dict:
    """The content of a checkpoint, with `model_state`: tensors by the names that the file gives them.

    Formats are told apart by content: torch (now or before 1.6), Caffe2 and other pickles of numpy arrays; `caffe2` in
    the result says whether the names are Caffe2's. With `mmap` tensors stay on disk until they are used.
    Raises UserError naming the file, and what in it was refused or broken.
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


def _read_torch(path: Path, mmap: bool):
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL\W+(?:GLOBAL )?([\w.]+)", str(error))
        if refused is None:
            raise UserError(f"{path} is not a readable checkpoint: {DAMAGED}") from error
        raise UserError(
            f"{path} was not loaded: it asks for {refused[1]}. Nothing of it was run. {MEND_REFUSED}"
        ) from error
    except (*READ_ERRORS, RuntimeError, AssertionError, OSError) as error:
        raise UserError(f"{path} is not a readable checkpoint: {DAMAGED}") from error


def _with_model_state(path: Path, content: dict) -> dict:
    key = next((key for key in STATE_KEYS if isinstance(content.get(key), dict)), None)
    tensors = _tensors(content if key is None else content[key])
    if not tensors:
        raise UserError(f"{path} holds no weights: none of its entries is a tensor")
    # only our own format tells the place in a training: the epochs of another program's are not ours
    rest = {name: value for name, value in content.items() if name != key} if key == "model_state" else {}
    flat_names = not any("." in name for name in tensors)  # Caffe2 has blobs, torch has modules within modules
    return {**rest, "model_state": tensors, "caffe2": flat_names}


def _tensors(state: dict) -> dict[str, torch.Tensor]:
    arrays = {name: torch.from_numpy(array) for name, array in arrays_of(state).items() if array.dtype.kind in "biuf"}
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name: value for name, value in {**arrays, **tensors}.items() if isinstance(name, str)}
