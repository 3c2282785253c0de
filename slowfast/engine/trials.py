"""Trials of the doctor: a video is encoded and decoded, and a batch is trained on."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from slowfast.config.load import load_cfg, with_keys
from slowfast.config.node import CfgNode
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.slots import SLOTS_OF_A_WORKER
from slowfast.datasets.spatial import Window
from slowfast.datasets.video import DEFAULT_LIMITS
from slowfast.engine.findings import OK, PROBLEM, WARNING, Finding
from slowfast.engine.learner import Learner
from slowfast.engine.machine_checks import Needs
from slowfast.engine.training import Training
from slowfast.multigrid import Kind, ShortCycleBatchSampler, first_iterations
from slowfast.utils.device import synchronize
from slowfast.utils.distributed import device_for_rank
from slowfast.utils.program import program
from slowfast.utils.world import World, clips_per_video
from slowfast.visualization.media_files import write_mp4

FRAMES, HEIGHT, WIDTH = 60, 240, 320
TOLERANCE = 6  # of a gray level, after compression
REINSTALL = "pip install --force-reinstall av opencv-python-headless"
CLIPS = 2  # of the config's batch
TINY = {
    "NUM_GPUS": 0,
    "DATA.NUM_FRAMES": 8,
    "DATA.TRAIN_CROP_SIZE": 32,
    "MODEL.NUM_CLASSES": 3,
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
}


def decode() -> Finding:
    """Encode a video whose frames get brighter, decode some of them, and compare."""
    levels = np.linspace(20, 230, FRAMES).round().astype(np.uint8)
    wanted = np.array([0, FRAMES // 3, FRAMES - 1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.mp4"
        write_mp4(path, (np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in levels), fps=30)
        start = time.perf_counter()
        with VideoFiles([str(path)]).open(0, DEFAULT_LIMITS) as video:
            pictures = video.read(wanted, (HEIGHT, WIDTH), Window(0, 0, HEIGHT, WIDTH))
        seconds = time.perf_counter() - start
    difference = np.abs(pictures.mean((1, 2, 3)) - levels[wanted]).max()
    if difference > TOLERANCE:
        return Finding("decoding", PROBLEM, f"frames differ by {difference:.0f} of 255 gray levels", REINSTALL)
    return Finding("decoding", OK, f"{FRAMES} frames of {WIDTH} x {HEIGHT} px in {1000 * seconds:.0f} ms, all right")


def tiny_step() -> Finding:
    """Train a tiny model on a random batch, on a GPU if there is one."""
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    cfg = load_cfg(None, [word for pair in TINY.items() for word in pair])
    size = (4, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TRAIN_CROP_SIZE, 3)
    batch = {"clip": torch.randint(256, size, dtype=torch.uint8), "label": torch.arange(4) % cfg.MODEL.NUM_CLASSES}
    return _step("training", "a tiny model", Learner.from_cfg(cfg, device), batch)


def build(cfg: CfgNode) -> tuple[Finding, Training]:
    """Build the training of a config without its validation set. Raises what the builders raise."""
    with tempfile.TemporaryDirectory() as folder:
        training = Training.from_cfg(
            with_keys(cfg, ["OUTPUT_DIR", folder, "TRAIN.EVAL_PERIOD", 0]),
            *(device_for_rank(cfg.NUM_GPUS), World.from_cfg(cfg).size),
        )
    progress, shapes = training.progress, training.schedule.shapes
    text = f"{len(training.train_set):,} videos, {progress.total_iterations:,} iterations, {len(shapes)} shape(s)"
    return Finding("config", OK, text), training


def needs(training: Training) -> Needs:
    """Return what a training needs of the machine."""
    cfg = training.cfg
    workers, processes = cfg.DATA_LOADER.NUM_WORKERS, World.from_cfg(cfg).processes
    largest = max(shape.batch_size * shape.frames * shape.crop**2 for shape in training.schedule.shapes)
    largest *= clips_per_video(cfg) * SLOTS_OF_A_WORKER
    return Needs(cfg.NUM_GPUS, processes, workers, batch_bytes=3 * largest * workers * processes)


def some_files(training: Training, most: int = 64) -> list[str]:
    """Return paths of files of the data set, at equal distances in its list."""
    dataset = training.train_set
    if not hasattr(dataset, "path_of"):
        return []
    count = min(most, len(dataset))
    paths = [Path(dataset.path_of(i * len(dataset) // count)) for i in range(count)]
    files = [next((p for p in path.iterdir() if p.is_file()), path) if path.is_dir() else path for path in paths]
    return [str(file) for file in files if file.is_file()]


def config_step(training: Training) -> Finding:
    """Train the model of a config on a few clips of its smallest shape, loaded by its workers."""
    first = first_iterations(training.progress.legs)
    kind = min(first, key=_volume)
    leg, i = first[kind]
    sampler = ShortCycleBatchSampler(training.progress.legs, len(training.train_set), training.cfg.RNG_SEED)
    indices = sampler.batch(leg, i)[:CLIPS]
    (batch,) = construct_loader(training.cfg, "train", training.train_set, [indices])
    bad = [line.replace("\t", ": ") for lines in batch["bad"] for line in lines.splitlines()]
    text = f"{len(batch['label'])} clips of {kind.shape.frames} frames x {kind.shape.crop} px"
    found = _step("its batch", text, training.learner, batch)
    if bad and found.level == OK:
        fix = f"list all bad videos with {program('check')}"
        return Finding("its batch", WARNING, f"{found.text}; {bad[0]}", fix)
    return found


def _volume(kind: Kind) -> int:
    return kind.shape.frames * kind.shape.crop**2


def _step(subject: str, what: str, learner: Learner, batch: dict) -> Finding:
    learner.start_phase(1)
    start = time.perf_counter()
    loss = learner.step(batch, lr=0.001).loss.item()
    synchronize(learner.device)
    seconds = time.perf_counter() - start
    if not np.isfinite(loss):
        return Finding(subject, PROBLEM, f"{what}: the loss is {loss}", "check DATA.MEAN and DATA.STD, and the weights")
    return Finding(subject, OK, f"{what}, one step on {learner.device.type} in {seconds:.1f} s, loss {loss:.3g}")
