"""Checkpoint files: written completely or not at all, and read without running code from them."""

import os
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from slowfast.errors import UserError
from slowfast.utils.checkpoint_checks import check_tensors, most_bytes
from slowfast.utils.pickle_scan import check_structure
from slowfast.utils.safe_pickle import DAMAGED, READ_ERRORS, DamagedFile, arrays_of, load_pickle

ZIP_MAGIC = b"PK\x03\x04"
OLD_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch before 1.6
UNFINISHED = "unfinished.partial"
STATE_KEYS = ("model_state", "blobs", "state_dict", "model", "model_state_dict", "module", "net", "network", "params")
NOT_A_MODEL = re.compile(r"optim|sched|scaler|loss|criterion", re.IGNORECASE)
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError)
DAMAGED_FIX = "Copy it again, or use the checkpoint before"
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
    result's `caffe2` is True if the names are Caffe2's. With `mmap` tensors stay on disk until they are used, and the
    checksums of the file are not verified.
    Raises UserError that names the file and what was refused, and DamagedFile, a UserError, if the file is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"the checkpoint {path} does not exist")
    with open(path, "rb") as file:
        start = file.read(len(OLD_TORCH_MAGIC))
    is_zip = start.startswith(ZIP_MAGIC)
    if is_zip or start == OLD_TORCH_MAGIC:
        content = _read_torch(path, is_zip, mmap and is_zip)
    else:
        content = load_pickle(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not the state of a model")
    check_tensors(path, content)
    return _with_model_state(path, content)


def _read_torch(path: Path, is_zip: bool, mmap: bool) -> Any:
    try:
        if is_zip:
            _check_archive(path, verify=not mmap)
        else:
            _check_old_file(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL\W+(?:GLOBAL )?([\w.]+)", str(error))
        if refused is None:
            raise DamagedFile(f"{path} is not a readable checkpoint: {DAMAGED}") from error
        raise UserError(
            f"{path} was not loaded: it asks for {refused[1]}. Nothing of it was run. {FIX_REFUSED}"
        ) from error
    except (*READ_ERRORS, *ARCHIVE_ERRORS, RuntimeError, AssertionError, OSError) as error:
        if isinstance(error, DamagedFile):
            raise
        raise DamagedFile(f"{path} is not a readable checkpoint: {DAMAGED}") from error


def _check_archive(path: Path, verify: bool) -> None:
    """Check the size that a zip archive declares, the structure of its pickle and, to `verify`, its checksums."""
    with zipfile.ZipFile(path) as archive:
        declared = sum(member.file_size for member in archive.infolist())
        if declared > most_bytes(path):
            raise DamagedFile(f"{path} was not loaded: it declares {declared:,} bytes, more than the file has")
        if verify and (member := archive.testzip()) is not None:
            raise DamagedFile(f"{path} is damaged: the checksum of {member} in it is wrong. {DAMAGED_FIX}")
        for member in archive.namelist():
            if member.endswith("/data.pkl"):
                with archive.open(member) as file:
                    check_structure(file)


def _check_old_file(path: Path) -> None:
    """Check the structure of the pickles in a file of torch before 1.6: three of the format, and the content."""
    with open(path, "rb") as file:
        for _ in range(4):
            check_structure(file)


def _with_model_state(path: Path, content: dict) -> dict:
    places = sorted(_states(content), key=lambda place: _rank(*place))
    if not places:
        raise UserError(f"{path} holds no weights: none of its entries is a tensor")
    keys, tensors = places[0]
    # the other entries count only in our own format: another program's epochs are not those of our training
    is_ours = keys == ("model_state",)
    rest = {name: value for name, value in content.items() if name != "model_state"} if is_ours else {}
    flat_names = not any("." in name for name in tensors)  # unlike those of modules
    return {**rest, "model_state": tensors, "caffe2": flat_names}


def _states(content: Mapping, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, torch.Tensor]]]:
    """Yield the mappings to tensors in a checkpoint and in its nested mappings, and the keys that lead to them."""
    if tensors := _tensors(content):
        yield keys, tensors
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, dict) and len(keys) < 3 and not NOT_A_MODEL.search(key):
            yield from _states(value, (*keys, key))


def _rank(keys: tuple[str, ...], tensors: Mapping) -> tuple[int, int]:
    """Return the order of the mappings of a checkpoint: those under usual keys first, and large ones first."""
    places = [STATE_KEYS.index(key) for key in keys if key in STATE_KEYS]
    return min(places, default=len(STATE_KEYS)), -len(tensors)


def _tensors(state: Mapping) -> dict[str, torch.Tensor]:
    arrays = {name: torch.from_numpy(array) for name, array in arrays_of(state).items() if array.dtype.kind in "biuf"}
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name: value for name, value in {**arrays, **tensors}.items() if isinstance(name, str)}
