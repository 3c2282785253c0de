"""The speed and the size of a model at every shape of a schedule, on clips from memory."""

import time

import torch
from torch import Tensor

from slowfast.benchmark.batches import Batch, batches_of, random_batch
from slowfast.benchmark.report import Row, medians
from slowfast.config.node import CfgNode
from slowfast.engine.learner import Learner
from slowfast.models.summary import summarize
from slowfast.utils.device import clear_memory, peak_gib, synchronize


def measure(cfg: CfgNode, device: torch.device, repeats: int) -> list[Row]:
    """Return time and memory of forward and backward pass for every batch: medians over `repeats`.

    The shapes take turns. `cpu_ms` is the CPU time of this process. `peak_gib` is the memory of CUDA's tensors, on a
    CPU that of the process. `gflops` are multiply-adds of one clip.
    """
    learner = Learner.from_cfg(cfg, device)
    clips = {batch: random_batch(cfg, batch.shape, device) for batch in batches_of(cfg)}
    rows: dict[Batch, list[Row]] = {batch: [] for batch in clips}
    for _ in range(1 + repeats):
        for batch in clips:
            learner.start_phase(batch.bn_groups)
            rows[batch].append(passes(learner, clips[batch]))
    return [batch.columns() | medians(rows[batch][1:]) | size(learner, batch) for batch in rows]  # the first warms up


def passes(learner: Learner, batch: dict[str, Tensor]) -> Row:
    """Measure one forward and backward pass, without the optimizer."""
    clear_memory(learner.device)
    synchronize(learner.device)
    start, cpu_start = time.perf_counter(), time.process_time()
    learner.backward(batch)
    learner.optimizer.zero_grad(set_to_none=True)
    synchronize(learner.device)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return {
        "forward_backward_ms": 1000 * seconds,
        "cpu_ms": 1000 * cpu,
        "clips_per_s": len(batch["label"]) / seconds,
        "peak_gib": peak_gib(learner.device),
    }


def size(learner: Learner, batch: Batch) -> Row:
    """Return the size of the model and the cost of one clip."""
    frames, crop = batch.shape.frames, batch.shape.crop
    clip = torch.zeros(1, frames, crop, crop, 3, dtype=torch.uint8, device=learner.device)
    summary = summarize(learner.model, learner.pack(clip))
    return {"gflops": summary.gflops, "parameters": summary.parameters}
