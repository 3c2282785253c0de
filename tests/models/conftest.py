"""Every test draws from the same seed, and leaves the random state as it was."""

import pytest
import torch


@pytest.fixture(autouse=True)
def fixed_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
