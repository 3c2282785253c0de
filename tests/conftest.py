import logging
import os

import pytest
import torch

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the tests and their processes run alike with any number of GPUs


@pytest.fixture(autouse=True)
def _as_it_was():
    """The random state and the package's logging do not pass from one test to the next."""
    package, state = logging.getLogger("slowfast"), torch.get_rng_state()
    handlers, level, propagate = package.handlers[:], package.level, package.propagate
    yield
    package.handlers[:], package.propagate = handlers, propagate
    package.setLevel(level)
    torch.set_rng_state(state)
