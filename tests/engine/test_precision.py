"""Mixed precision stays off on CPUs whose bfloat16 convolutions are wrong (see `benchmarks/bfloat16.py`)."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

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
