"""Export a model as a program that runs without this package: by torch.export, or as ONNX.

The program takes uint8 clips, N x T x H x W x 3, as they are decoded, resized and cropped; normalizing and the split
into pathways are inside. It gives scores, N x K. N is any number; T, H and W are those of the model's test.

Legend: N clips, T frames, H x W pixels, K classes.
"""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.inference.model import VideoModel
from slowfast.utils.extras import require
from slowfast.utils.logging import quiet

TOLERANCE = 1e-3  # of the largest score, between the program and the model
EXAMPLE_CLIPS = 2  # of the trace: torch takes a batch of 1 for a constant
CHECKED_BATCHES = (1, 3)


class Program(nn.Module):
    """A model with its preprocessing."""

    def __init__(self, model: VideoModel):
        super().__init__()
        self.net, self._pack = model.net, model.pack

    def forward(self, clips: Tensor) -> Tensor:
        return self.net(self._pack(clips))


class Exported(NamedTuple):
    """A program that was written, and its largest difference from the model, as a fraction of the largest score."""

    path: Path
    difference: float


def export(model: VideoModel, path: str) -> Exported:
    """Write a model to a `.pt2` or `.onnx` file, run the file on this device, and compare the scores.

    Raises UserError for another suffix, missing packages, or scores that differ. The file is then removed.
    """
    write, run = FORMATS[check_format(path)]
    program = Program(model).eval()
    write(program, example_clips(model, EXAMPLE_CLIPS), model, path)
    difference = max(_difference(program, run(path, model.device), example_clips(model, n)) for n in CHECKED_BATCHES)
    if not difference <= TOLERANCE:
        os.remove(path)
        raise UserError(f"{path}: its scores differ from those of the model by {difference:.2g}; it was removed")
    return Exported(Path(path), difference)


def check_format(path: str) -> str:
    """Return the suffix of a file. Raises UserError if it is not a format, or packages for it are missing."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"OUT: {path!r} must end in {' or '.join(FORMATS)}")
    require(f"OUT: {path!r}", *NEEDED.get(suffix, ()))
    return suffix


def example_clips(model: VideoModel, count: int) -> Tensor:
    """Return random clips of the model's test, with a fixed seed."""
    data = model.cfg.DATA
    shape = (count, data.NUM_FRAMES, data.TEST_CROP_SIZE, data.TEST_CROP_SIZE, 3)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(count))
    return clips.to(model.device)


@torch.no_grad()
def _difference(program: nn.Module, run: Callable[[Tensor], Tensor], clips: Tensor) -> float:
    expected = program(clips).float().cpu()
    return float((run(clips).float().cpu() - expected).abs().max() / expected.abs().max())


def _write_torch(program: nn.Module, clips: Tensor, model: VideoModel, path: str) -> None:
    exported = _exported(program, clips)
    torch.export.save(exported, path, extra_files={"class_names.json": json.dumps(model.class_names)})


@torch.no_grad()
def _exported(program: nn.Module, clips: Tensor) -> torch.export.ExportedProgram:
    program(clips)  # constants that are made once and kept become part of the program
    return torch.export.export(program, (clips,), dynamic_shapes=({0: torch.export.Dim("clips", min=1)},))


def _run_torch(path: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    return torch.export.load(path).module()


def _write_onnx(program: nn.Module, clips: Tensor, model: VideoModel, path: str) -> None:
    import onnx

    with quiet("torch.onnx"), warnings.catch_warnings():  # of the exporter, about itself and packages it does not need
        warnings.simplefilter("ignore")
        exported = _exported(program, clips)
        made = torch.onnx.export(exported, input_names=["clips"], output_names=["scores"], verbose=False)
    assert made is not None
    made.save(path, external_data=False)
    content = onnx.load(path)
    onnx.helper.set_model_props(content, {"class_names": json.dumps(model.class_names)})
    onnx.save(content, path)


def _run_onnx(path: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    known = [name for name in wanted if name in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(path, providers=[*known, "CPUExecutionProvider"])

    def run(clips: Tensor) -> Tensor:
        (scores,) = session.run(None, {"clips": np.ascontiguousarray(clips.cpu().numpy())})
        return torch.from_numpy(scores)

    return run


FORMATS = {".pt2": (_write_torch, _run_torch), ".onnx": (_write_onnx, _run_onnx)}
NEEDED = {".onnx": ("onnx", "onnxscript", "onnxruntime")}
