"""Configurations of small models, and models with weights that show every path."""

import pathlib

import torch

from slowfast.config.defaults import get_cfg
from slowfast.models import build_model

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def recipe(name, **overrides):
    """The cfg of a published recipe, `Kinetics/C2D_8x8_R50`."""
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / f"{name}.yaml"))
    return override(cfg, overrides)


def tiny_cfg(arch="slowfast", **overrides):
    """An R18-like model of 8 channels for 8 frames of 64 x 64 pixels and 5 classes; keys with `__` for the dot."""
    two = arch == "slowfast"
    paths = 2 if two else 1
    cfg = get_cfg()
    values = {
        "MODEL.MODEL_NAME": "SlowFast" if two else "ResNet",
        "MODEL.ARCH": arch,
        "MODEL.NUM_CLASSES": 5,
        "DATA.INPUT_CHANNEL_NUM": [3] * paths,
        "DATA.NUM_FRAMES": 8,
        "DATA.TRAIN_CROP_SIZE": 64,
        "RESNET.DEPTH": 18,
        "RESNET.TRANS_FUNC": "basic_transform",
        "RESNET.WIDTH_PER_GROUP": 8,
        "RESNET.NUM_BLOCK_TEMP_KERNEL": [[2] * paths] * 4,
        "RESNET.SPATIAL_STRIDES": [[s] * paths for s in (1, 2, 2, 2)],
        "RESNET.SPATIAL_DILATIONS": [[1] * paths] * 4,
        "NONLOCAL.LOCATION": [[[]] * paths] * 4,
        "NONLOCAL.GROUP": [[1] * paths] * 4,
        "SLOWFAST.ALPHA": 4,
        "SLOWFAST.BETA_INV": 4,
    }
    cfg.merge_from_list([part for pair in values.items() for part in pair])
    return override(cfg, overrides)


def override(cfg, overrides):
    cfg.merge_from_list([part for key, value in overrides.items() for part in (key.replace("__", "."), value)])
    return cfg


def clips_for(cfg, frames=None, crop=None, batch=2):
    """Random input of the model of `cfg`."""
    frames, crop = frames or cfg.DATA.NUM_FRAMES, crop or cfg.DATA.TRAIN_CROP_SIZE
    fast = torch.randn(batch, 3, frames, crop, crop)
    if cfg.MODEL.MODEL_NAME != "SlowFast":
        return [fast]
    count = frames // cfg.SLOWFAST.ALPHA
    return [fast[:, :, torch.linspace(0, frames - 1, count).long()], fast]


def random_model(cfg):
    """The model of `cfg` in evaluation, with random norms and a head whose scores differ."""
    model = build_model(cfg)
    for name, tensor in model.state_dict().items():
        if name.endswith(("bn.weight", "running_var")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("bn.bias", "running_mean")):
            tensor.normal_(std=0.1)
    torch.nn.init.normal_(model.head.projection.weight, std=0.1)
    return model.eval()
