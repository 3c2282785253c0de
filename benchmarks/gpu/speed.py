"""Measurements of steps on a device, and the first losses next to those of a CPU."""

import platform
from time import perf_counter

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.checking import Settings
from benchmarks.gpu.steps import DEMO, LR, R50, demo_cfg, make_batch, make_learner, sizes
from slowfast.config.load import load_cfg
from slowfast.engine.learner import Learner
from slowfast.utils.device import clear_memory, peak_gib, synchronize
from slowfast.utils.machine import machine_name

MODELS = {"demo": (DEMO, (4, 16, 64)), "R50": (R50, (8, 32, 224))}  # clips, frames and px
LOSS_LIMITS = {"float32": 0.02, "bfloat16": 0.05}  # relative difference to the CPU's
TOP_KERNELS = 12


def versions(settings: Settings) -> str:
    """Return the machine and the versions that matter."""
    text = f"{machine_name(settings.device.type)}, python {platform.python_version()}"
    if settings.device.type != "cuda":
        return text
    free, total = torch.cuda.mem_get_info()
    return (
        f"{text}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, NCCL {torch.cuda.nccl.version()}, "
        f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free, bfloat16 "
        f"{torch.cuda.is_bf16_supported(including_emulation=False)}, TF32 in convolutions "
        f"{torch.backends.cudnn.allow_tf32}, in products {torch.backends.cuda.matmul.allow_tf32}"
    )


def first_losses(settings: Settings, dtype: str, tf32: bool) -> str:
    """Compare the first losses of a training with those on the CPU, from the same clips and weights."""
    steps = 3 if settings.quick else 20
    on_cpu = loss_curve(settings, torch.device("cpu"), "float32", steps)
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=tf32):
        curve = loss_curve(settings, settings.device, dtype, steps)
    apart = max(abs(a - b) / b for a, b in zip(curve, on_cpu, strict=True))
    text = f"{curve[0]:.4f} to {curve[-1]:.4f} in {steps} steps, up to {apart:.0e} from the CPU's"
    assert apart < LOSS_LIMITS[dtype], f"{text}: {curve} and {on_cpu}"
    return text


def loss_curve(settings: Settings, device: torch.device, dtype: str, steps: int) -> list[float]:
    """Return the losses of the first steps."""
    cfg = demo_cfg(settings)
    learner = make_learner(device, cfg, dtype)
    batches = [make_batch(settings, cfg, sizes(settings)[0], seed) for seed in range(steps)]
    return [float(learner.step(batch, LR).loss) for batch in batches]


def step_time(settings: Settings, model: str, dtype: str, groups: int) -> str:
    """Return the time of a step: of the host, until it has given all work to the device, and in total."""
    learner, batch = learner_of(settings, model, dtype, groups)
    clear_memory(settings.device)
    times = sorted(timed(learner, batch) for _ in range(3 if settings.quick else 11))
    host, total = times[len(times) // 2]
    memory = peak_gib(settings.device)
    return (
        f"host {1e3 * host:.1f} ms, total {1e3 * total:.1f} ms, {len(batch['label']) / total:.1f} clips/s, "
        f"peak {memory:.2f} GiB"
    )


def learner_of(settings: Settings, model: str, dtype: str, groups: int) -> tuple[Learner, dict]:
    """Return a learner of one of MODELS that has warmed up, and its batch."""
    config, size = MODELS[model]
    cfg = load_cfg(config, ["NUM_GPUS", "1"])
    learner = make_learner(settings.device, cfg, dtype)
    batch = make_batch(settings, cfg, (2, 16, 64) if settings.quick else size)
    learner.start_phase(groups)
    for _ in range(1 if settings.quick else 3):
        learner.step(batch, LR)
    return learner, batch


def timed(learner: Learner, batch: dict) -> tuple[float, float]:
    """Return the seconds of the host and in total of one step."""
    synchronize(learner.device)
    start = perf_counter()
    learner.step(batch, LR)
    host = perf_counter() - start
    synchronize(learner.device)
    return host, perf_counter() - start


def kernels(settings: Settings, model: str, dtype: str, groups: int) -> str:
    """Return the kernels that take most of the time of a step, in ms."""
    learner, batch = learner_of(settings, model, dtype, groups)
    is_cuda = settings.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA][: 1 + is_cuda]) as recorded:
        learner.step(batch, LR)
        synchronize(settings.device)
    key = "self_device_time_total" if is_cuda else "self_cpu_time_total"
    events = sorted(recorded.key_averages(), key=lambda event: -getattr(event, key))[:TOP_KERNELS]
    return "".join(f"\n    {getattr(event, key) / 1e3:8.2f}  {event.count:4} x {event.key[:110]}" for event in events)
