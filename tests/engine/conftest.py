import pytest
import torch

from tests.engine.tiny import write_dataset


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Kinetics lists over 12 tiny encoded videos."""
    return write_dataset(tmp_path_factory.mktemp("videos"))


@pytest.fixture(autouse=True)
def _one_thread():
    """Sums in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
