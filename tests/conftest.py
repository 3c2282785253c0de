import logging
import os

import pytest
import torch

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the tests and their processes run alike with any number of GPUs


PACKAGE = logging.getLogger("slowfast")
HANDLERS, LEVEL, PROPAGATE = PACKAGE.handlers[:], PACKAGE.level, PACKAGE.propagate


@pytest.fixture(autouse=True)
def _as_it_was():
    """The random state and the package's logging do not pass from one test, or from a shared fixture, to the next."""
    state = torch.get_rng_state()
    reset_logging()
    yield
    reset_logging()
    torch.set_rng_state(state)


def reset_logging() -> None:
    PACKAGE.handlers[:], PACKAGE.propagate = HANDLERS, PROPAGATE
    PACKAGE.setLevel(LEVEL)
