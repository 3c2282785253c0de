"""A plugin of pytest that runs tests on a GPU as they are: `pytest -p benchmarks.gpu.device_plugin`.

Every tensor that a test makes lies on the device of the environment's TEST_DEVICE, unless the test says otherwise.
"""

import os

import torch

device = torch.device(os.environ.get("TEST_DEVICE", "cuda"))
torch.zeros(1, device=device)  # CUDA starts here, before tests/conftest.py hides the GPUs
torch.backends.cudnn.allow_tf32 = False  # the tests compare to the precision of float32
torch.set_default_device(device)
