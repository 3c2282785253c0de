"""Where mixed precision is on, and how models are placed for it.

It stays off on CPUs whose bfloat16 convolutions are wrong (see `benchmarks/bfloat16.py`).
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from torch import nn

from benchmarks import bfloat16
from slowfast.engine.precision import Precision

ROUNDING_PERCENT = 2.0  # and not a number is not below it


def test_mixed_precision_is_off_on_a_cpu_with_wrong_weight_gradients_in_bfloat16():
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # wrong kernels write outside their memory
        rows = pool.submit(bfloat16.rows).result()
    enough = [row for row in rows if row["frames"] >= int(row["kernel"][0])]
    errors = [[row[name] for name in bfloat16.LAYOUTS] for row in rows]
    assert all(row[name] < ROUNDING_PERCENT for row in enough for name in bfloat16.LAYOUTS)
    wrong = any(not error < ROUNDING_PERCENT for pair in errors for error in pair)
    assert not (wrong and Precision(torch.device("cpu"), mixed=True).mixed)


def test_a_model_with_weights_of_fewer_dimensions_is_placed_in_channels_last():
    model = nn.ModuleList([nn.Conv3d(4, 4, 3), nn.Conv3d(4, 4, 1), nn.Conv2d(4, 4, 3), nn.Conv1d(4, 4, 3)])
    parameters, before = list(model.parameters()), [parameter.clone() for parameter in model.parameters()]
    precision = Precision(torch.device("cpu"), mixed=False)
    precision.memory_format = torch.channels_last_3d
    assert precision.place(model) is model
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(parameters, before, strict=True))
    assert all(p.is_contiguous(memory_format=torch.channels_last_3d) for p in parameters if p.ndim == 5)
    assert all(p.is_contiguous() for p in parameters if p.ndim != 5)
