"""Checks of training steps and of evaluation on a device.

Legend: N clips, T frames, H x W pixels.
"""

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks.gpu.checking import Settings
from benchmarks.gpu.layers import off_by
from slowfast.config.load import load_cfg
from slowfast.config.node import CfgNode
from slowfast.datasets.batch import Batch
from slowfast.datasets.loader import construct_loader
from slowfast.engine import compilation
from slowfast.engine.guards import LossGuard
from slowfast.engine.learner import Learner
from slowfast.engine.memory import OutOfMemory
from slowfast.engine.precision import Precision
from slowfast.models import build_model
from slowfast.models.losses import build_loss
from slowfast.multigrid import SubBatchNorm3d, average_statistics
from slowfast.optim.build import construct_optimizer
from slowfast.utils import distributed as du
from slowfast.utils.training_checkpoint import load_checkpoint, save_checkpoint
from slowfast.utils.training_meters import TopKMeter

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DEMO = CONFIGS / "Demo/SLOWFAST_4x8_R26_W16.yaml"
R50 = CONFIGS / "multigrid_paper/SLOWFAST_32x2_R50_multigrid.yaml"
LR = 0.01


def sizes(settings: Settings) -> list[tuple[int, int, int]]:
    """Return the shapes of a schedule for the demo's model: clips, frames and px."""
    if settings.quick:
        return [(2, 8, 32), (4, 4, 32), (2, 8, 32)]
    return [(8, 16, 64), (16, 8, 64), (32, 8, 32), (8, 16, 64)]


def demo_cfg(settings: Settings, *words: str) -> CfgNode:
    """Return the demo's config on the device."""
    return load_cfg(DEMO, ["NUM_GPUS", str(int(settings.device.type == "cuda")), *words])


def make_learner(device: torch.device, cfg: CfgNode, dtype: str = "float32", scaler=None) -> Learner:
    """Return a learner with the weights of a seed, in the number format `dtype`.

    On a CPU, where mixed precision is off, only the memory format is that of `dtype`.
    """
    precision = Precision(device, mixed=dtype != "float32")
    precision.dtype = getattr(torch, dtype)
    precision.memory_format = torch.contiguous_format if dtype == "float32" else torch.channels_last_3d
    precision.scaler = scaler or precision.scaler
    torch.manual_seed(0)
    model = precision.place(build_model(cfg))
    optimizer = construct_optimizer(model, cfg)
    learner = Learner(model, build_loss(cfg), optimizer, precision.pack(cfg), precision, clip_l2norm=40.0)
    learner.start_phase(1)
    return learner


def make_batch(settings: Settings, cfg: CfgNode, size: Sequence[int], seed: int = 0) -> dict[str, Tensor]:
    """Return clips whose brightness shows their class, in pinned memory if the device is a GPU."""
    count, frames, crop = size
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(cfg.MODEL.NUM_CLASSES, (count,), generator=generator)
    noise = torch.randint(100, (count, frames, crop, crop, 3), dtype=torch.uint8, generator=generator)
    clip = noise + (150 * label // cfg.MODEL.NUM_CLASSES).byte().view(-1, 1, 1, 1, 1)
    batch = {"clip": clip, "label": label}
    return {k: v.pin_memory() for k, v in batch.items()} if settings.device.type == "cuda" else batch


@contextmanager
def waiting_is_an_error(device: torch.device) -> Iterator[None]:
    """Make torch raise an error where the host waits for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def no_waiting(settings: Settings, dtype: str) -> str:
    """Check that the host does not wait for the device in a step with its meters."""
    cfg = demo_cfg(settings)
    learner = make_learner(settings.device, cfg, dtype)
    batch = make_batch(settings, cfg, sizes(settings)[0])
    meter, guard = TopKMeter(settings.device), LossGuard()

    def iteration(number: int) -> None:
        learner.start_phase(2)
        step = learner.step(batch, LR)
        meter.update(step.scores, step.labels, step.loss)
        guard.watch(step.loss, number)

    for number in range(3):
        iteration(number)
    with waiting_is_an_error(settings.device):
        iteration(3)
    guard.check()
    return f"loss {meter.averages()['loss']:.3f}"


def layouts(settings: Settings, dtype: str) -> str:
    """Check that convolutions, norms and pools keep the memory format.

    On a CPU, some convolutions return contiguous tensors, so that channels-last is not checked there.
    """
    cfg = demo_cfg(settings) if settings.quick else load_cfg(R50, ["NUM_GPUS", "1"])
    learner = make_learner(settings.device, cfg, dtype)
    kinds, changed = Counter(), []

    def look(name: str, module: nn.Module, output: Tensor) -> None:
        kinds[f"{type(module).__name__} in {str(output.dtype)[6:]}"] += 1
        if not output.is_contiguous(memory_format=learner.precision.memory_format):
            changed.append(name)

    for name, module in learner.model.named_modules():
        if isinstance(module, nn.Conv3d | SubBatchNorm3d | nn.MaxPool3d | nn.ReLU):
            module.register_forward_hook(lambda module, _, output, name=name: look(name, module, output))
    learner.step(make_batch(settings, cfg, sizes(settings)[0] if settings.quick else (4, 32, 224)), LR)
    is_due = learner.precision.mixed or dtype == "float32"
    assert not (is_due and changed), f"{len(changed)} layers change the memory format: {', '.join(changed[:5])}"
    odd = sum(p.grad.stride() != p.stride() for p in learner.model.parameters() if p.grad is not None)
    text = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"{text}; {len(changed)} change the format, {odd} gradients have other strides than their weight"


def first_overflow(settings: Settings) -> str:
    """Check that a first step that overflows in float16 leaves weights and momenta, and that the next one trains."""
    cfg = demo_cfg(settings)
    scaler = torch.amp.GradScaler(settings.device.type)
    junk = [torch.full((2**20,), 1e30, device=settings.device) for _ in range(16)]
    del junk  # what an uninitialized momentum would contain
    learner = make_learner(settings.device, cfg, "float16", lambda: scaler)
    before = [parameter.detach().clone() for parameter in learner.model.parameters()]
    loss, learner.loss = learner.loss, lambda scores, labels: scores.sum() * float("inf")
    batch = make_batch(settings, cfg, sizes(settings)[0])
    learner.step(batch, LR)
    assert all(torch.equal(a, b) for a, b in zip(learner.model.parameters(), before, strict=True)), "weights changed"
    learner.loss = loss
    losses = [float(learner.step(batch, LR).loss) for _ in range(8)]
    assert losses[-1] < losses[0], f"losses {losses}"
    largest = max(float(parameter.detach().abs().max()) for parameter in learner.model.parameters())
    assert largest < 100, f"a weight of {largest:.1e}"
    return f"scale {scaler.get_scale():g} after it; loss {losses[0]:.3f} to {losses[-1]:.3f}"


def resume(settings: Settings, before: str, after: str) -> str:
    """Check that a training resumes in another precision and memory format with the same weights and momenta."""
    cfg = demo_cfg(settings)
    first, second = (make_learner(settings.device, cfg, dtype) for dtype in (before, after))
    batches = [make_batch(settings, cfg, sizes(settings)[0], seed) for seed in range(3)]
    for batch in batches[:2]:
        first.step(batch, LR)
    with tempfile.TemporaryDirectory() as folder:
        path = save_checkpoint(folder, first.model, first.optimizer, first.scaler, 0, "", {})
        load_checkpoint(path, second.model, second.optimizer, second.scaler)
    assert all(torch.equal(a, b) for a, b in zip(*map(momenta, (first, second)), strict=True)), "other momenta"
    start = [parameter.detach().clone() for parameter in first.model.parameters()]
    for learner in (first, second):
        learner.step(batches[2], LR)
    changes = [[p - s for p, s in zip(each.model.parameters(), start, strict=True)] for each in (first, second)]
    apart = off_by(*(torch.cat([c.flatten() for c in change]) for change in reversed(changes)))
    assert apart < 0.1, f"the next steps differ by {apart:.0e}"
    return f"the next steps differ by {apart:.0e}"


def momenta(learner: Learner) -> list[Tensor]:
    """Return all momenta."""
    return [state["momentum_buffer"] for state in learner.optimizer.state.values()]


def world_of_one(settings: Settings) -> str:
    """Train on several shapes in a process group with one rank: NCCL and DDP on a GPU."""
    cfg = demo_cfg(settings)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        du.init_process_group(0, 1, 0, 1, f"file://{folder}/meet", gpus=settings.device.type == "cuda")
        backend = torch.distributed.get_backend()
        learner, agreement = make_learner(settings.device, cfg, "bfloat16"), du.Agreement()
        learner.join_ranks()
        for size in sizes(settings):
            agreement.highest(0)
            learner.start_phase(2)
            learner.step(make_batch(settings, cfg, size), LR)
        assert agreement.settle(3) == 3
        assert du.all_gather_lists(["a"]) == ["a"]
        assert du.all_reduce_sum(torch.ones(3, dtype=torch.float64, device=settings.device)).tolist() == [1, 1, 1]
        average_statistics(learner.model)
        with learner.averaged_statistics() as of_ranks:
            assert of_ranks.isfinite().all()
        du.barrier()
        del learner
        du.leave_process_group()
    texts = sorted({str(warning.message).splitlines()[0][:120] for warning in caught})
    return f"{backend}, {len(sizes(settings))} shapes; warnings: {texts}"


def out_of_memory(settings: Settings) -> str:
    """Check that a batch that does not fit is named, and that a smaller one trains after it."""
    cfg = demo_cfg(settings)
    learner = make_learner(settings.device, cfg)
    small = make_batch(settings, cfg, sizes(settings)[0])
    is_cuda = settings.device.type == "cuda"
    if is_cuda:
        torch.cuda.set_per_process_memory_fraction(0.02)
    count = 512 if is_cuda else 10**9  # without a GPU, more than there are addresses
    clip, label = small["clip"][:1].expand(count, -1, -1, -1, -1), small["label"][:1].expand(count)
    message = ""
    try:
        learner.step({"clip": clip, "label": label}, LR)
    except OutOfMemory as error:
        message = str(error)
    assert message.startswith(f"out of memory on a batch of {count} clips x"), message or "it fitted"
    loss = float(learner.step(small, LR).loss)
    if is_cuda:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return f"{message}; a smaller batch has the loss {loss:.3f} after it"


class RandomClips(Dataset):
    """Clips from memory, as `dataset[index]` of a video data set gives them."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict:
        clip = torch.full((2, 8, 32, 32, 3), index, dtype=torch.uint8)  # two views
        return {"clip": clip, "label": index % 12, "video": index, "bad": ""}


def pinned_evaluation(settings: Settings) -> str:
    """Check that batches of a test come from the workers in pinned memory, and that predicting does not wait."""
    cfg = demo_cfg(settings, "DATA_LOADER.NUM_WORKERS", "2", "DATA_LOADER.PIN_MEMORY", "True")
    batch = next(iter(construct_loader(cfg, "test", RandomClips(), [[0, 1, 2, 3], [4, 5]])))
    clips = batch["clip"].flatten(0, 1)  # (N, V, T, H, W, C) -> (N * V, T, H, W, C)
    is_cuda = settings.device.type == "cuda"
    pinned = [part.is_pinned() for part in clips.split(3)] + [batch["label"].is_pinned()]
    assert all(flag == is_cuda for flag in pinned), f"pinned: {pinned}"
    assert isinstance(batch, Batch), f"the batch is a {type(batch).__name__}"
    predict = make_learner(settings.device, cfg, "bfloat16").predictor()
    predict(clips)
    with waiting_is_an_error(settings.device):
        scores = predict(clips)
    assert torch.isfinite(scores).all()
    return f"clips {tuple(batch['clip'].shape)}, pinned: {is_cuda}"


def compiled(settings: Settings, dtype: str) -> str:
    """Compare the losses of a model that TRAIN.COMPILE compiles with those of one that is not. `quick`: no kernels."""
    cfg = demo_cfg(settings)
    batch = make_batch(settings, cfg, sizes(settings)[0])
    curves = []
    with mock.patch.object(compilation, "BACKEND", "eager" if settings.quick else compilation.BACKEND):
        for compile in (False, True):
            learner = make_learner(settings.device, cfg, dtype)
            learner.join_ranks(compile)
            learner.start_phase(2)
            curves.append([float(learner.step(batch, LR).loss) for _ in range(3)])
    apart = max(abs(a - b) / abs(b) for a, b in zip(*curves, strict=True))
    assert apart < 0.02, f"the losses differ: {curves}"
    return f"losses differ by {apart:.0e}"
