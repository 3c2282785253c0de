"""Every test draws from the same seed, and leaves the random state as it was."""

import pytest
import torch

from slowfast.models import MODEL_REGISTRY


@pytest.fixture(autouse=True)
def fixed_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def stock_models(monkeypatch):
    """The registry without models that other tests have registered in this process."""
    stock = {name: model for name, model in MODEL_REGISTRY if model.__module__.startswith("slowfast.")}
    monkeypatch.setattr(MODEL_REGISTRY, "_obj_map", stock)
