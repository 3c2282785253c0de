"""A training small enough for a test: 12 short videos of 3 classes, a SlowFast of depth 18 and width 8."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from slowfast.config.load import load_cfg
from slowfast.datasets.build import DATASET_REGISTRY
from tests.videos import write_video

ROOT = Path(__file__).parents[2]
CLASSES = 3


def write_dataset(folder: Path, train: int = 12, held_out: int = 6) -> Path:
    """Kinetics lists over videos. Color and speed show the class."""
    videos = [write_video(folder / f"{i}.mp4", frames=moving_stripes(i)) for i in range(train)]
    lines = [f"{path} {i % CLASSES}\n" for i, path in enumerate(videos)]
    (folder / "train.csv").write_text("".join(lines))
    for split in ("val", "test"):
        (folder / f"{split}.csv").write_text("".join(lines[:held_out]))
    return folder


def moving_stripes(seed: int, num_frames: int = 20, height: int = 36, width: int = 48) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    label, phase = seed % CLASSES, rng.uniform(0, 6)
    frames = []
    for t in range(num_frames):
        wave = np.sin(np.arange(width) / 4 + phase + t * (label + 1) / 3)
        picture = np.full((height, width, 3), rng.integers(40, 90), np.float32)
        picture[..., label] += 100 + 60 * wave
        frames.append(picture.clip(0, 255).astype(np.uint8))
    return frames


def tiny_options(data: Path, output: Path, **changes) -> list:
    """KEY, value pairs over the defaults; `changes` are written SECTION__KEY=value."""
    options = {
        "NUM_GPUS": 0,
        "OUTPUT_DIR": str(output),
        "LOG_PERIOD": 1,
        "LOG_MODEL_INFO": False,
        "DATA.PATH_TO_DATA_DIR": str(data),
        "DATA.NUM_FRAMES": 8,
        "DATA.SAMPLING_RATE": 2,
        "DATA.TRAIN_JITTER_SCALES": [34, 40],
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "DATA_LOADER.NUM_WORKERS": 0,
        "MODEL.NUM_CLASSES": CLASSES,
        "RESNET.DEPTH": 18,
        "RESNET.TRANS_FUNC": "basic_transform",
        "RESNET.WIDTH_PER_GROUP": 8,
        "RESNET.NUM_BLOCK_TEMP_KERNEL": [[2, 2]] * 4,
        "RESNET.SPATIAL_STRIDES": [[1, 1], [2, 2], [2, 2], [2, 2]],
        "RESNET.SPATIAL_DILATIONS": [[1, 1]] * 4,
        "NONLOCAL.LOCATION": [[[], []]] * 4,
        "NONLOCAL.GROUP": [[1, 1]] * 4,
        "SLOWFAST.ALPHA": 4,
        "SLOWFAST.BETA_INV": 4,
        "SOLVER.BASE_LR": 0.01,
        "SOLVER.LR_POLICY": "steps_with_relative_lrs",
        "SOLVER.STEPS": [0, 2],
        "SOLVER.LRS": [1, 0.1],
        "SOLVER.MAX_EPOCH": 3,
        "TRAIN.BATCH_SIZE": 4,
        "TRAIN.EVAL_PERIOD": 10,
        "TRAIN.CHECKPOINT_PERIOD": 1,
        "TEST.BATCH_SIZE": 4,
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "TEST.NUM_SPATIAL_CROPS": 3,
        "TEST.ENABLE": False,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return [word for pair in options.items() for word in pair]


def tiny_cfg(data: Path, output: Path, **changes):
    return load_cfg(None, tiny_options(data, output, **changes))


def command(data: Path, output: Path, **changes) -> list[str]:
    """The command line of a tiny run; its config file is written beside the output."""
    output.mkdir(parents=True, exist_ok=True)
    config = output / "config.yaml"
    config.write_text(tiny_cfg(data, output, **changes).dump())
    return [sys.executable, str(ROOT / "tools" / "run_net.py"), "--cfg", str(config)]


def start(words: list[str], **options) -> subprocess.Popen:
    """Start a run in a process group of its own, as a terminal does."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, env=environment, start_new_session=True, **pipes, **options)


def finish(process: subprocess.Popen, seconds: int = 240) -> tuple[int, str]:
    """The exit code and the text of a run. A run that does not end prints the stack of each rank."""
    try:
        text = process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)
        raise AssertionError(f"not done after {seconds} s\n{process.communicate()[0]}") from None
    return process.returncode, text


def json_stats(output: Path, kind: str | None = "train_iter") -> list[dict]:
    """The json lines of a run, those of one kind or all."""
    lines = (output / "json_stats.log").read_text().splitlines()
    return [line for line in map(json.loads, lines) if kind in (None, line.get("_type"))]


def losses(output: Path) -> dict[int, float]:
    """The loss of every iteration, by its number in the training; repeated iterations must agree."""
    curve = {}
    for line in json_stats(output):
        known = curve.setdefault(line["iteration"], line["loss"])
        assert known == line["loss"], line
    return curve


class Synthetic(torch.utils.data.Dataset):
    """Clips from memory, whose color shows the class. With `multi_label` every clip has a set of two classes."""

    def __init__(self, split: str, frames: int, crop: int, multi_label: bool = False):
        self.split, self.frames, self.crop, self.multi_label = split, frames, crop, multi_label
        self.length = 12 if split == "train" else 7

    @classmethod
    def from_cfg(cls, cfg, split: str) -> "Synthetic":
        return cls(split, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.MULTI_LABEL)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index) -> dict:
        video, epoch, frames, crop = index if isinstance(index, tuple) else (index, 0, self.frames, self.crop)
        shape = (6,) * (self.split == "test") + (frames, crop, crop, 3)
        clip = np.random.default_rng([video, epoch]).integers(0, 150, shape, dtype=np.uint8)
        clip[..., video % CLASSES] += 80
        label = torch.tensor(video % CLASSES)
        if self.multi_label:
            label = torch.tensor([float(k in (video % CLASSES, (video + 1) % CLASSES)) for k in range(CLASSES)])
        return {"clip": torch.from_numpy(clip), "label": label, "video": video, "bad": ""}


if "Synthetic" not in DATASET_REGISTRY:
    DATASET_REGISTRY.register(Synthetic)

SYNTHETIC = {"TRAIN__DATASET": "synthetic", "TEST__DATASET": "synthetic"}
BOTH_CYCLES = {
    "DATA__TRAIN_CROP_SIZE": 64,
    "DATA__TEST_CROP_SIZE": 64,
    "DATA__TRAIN_JITTER_SCALES": [66, 76],
    "MULTIGRID__LONG_CYCLE": True,
    "MULTIGRID__SHORT_CYCLE": True,
    "MULTIGRID__LONG_CYCLE_FACTORS": [[0.5, 0.5**0.5], [1, 1]],
    "MULTIGRID__BN_BASE_SIZE": 2,
    "MULTIGRID__EPOCH_FACTOR": 1.0,
    "SOLVER__MAX_EPOCH": 10,
    "SOLVER__STEPS": [0, 6, 8],
    "SOLVER__LRS": [1, 0.1, 0.01],
    "SOLVER__BASE_LR": 0.002,
    "TRAIN__BATCH_SIZE": 2,
    "TRAIN__CHECKPOINT_PERIOD": 4,
}
