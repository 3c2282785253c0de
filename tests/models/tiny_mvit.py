"""Configurations of small MViTs, and models in which every parameter matters."""

import torch
from torch import nn

from slowfast.config.defaults import get_cfg
from slowfast.models import build_model
from tests.models.tiny import override

V1 = {
    "DEPTH": 3,
    "EMBED_DIM": 8,
    "PATCH_PADDING": [1, 3, 3],
    "DIM_MUL": [[1, 2.0], [2, 2.0]],
    "HEAD_MUL": [[1, 2.0], [2, 2.0]],
    "POOL_Q_STRIDE": [[1, 1, 2, 2]],
    "POOL_KV_STRIDE_ADAPTIVE": [1, 4, 4],
    "POOL_KVQ_KERNEL": [3, 3, 3],
    "SEP_POS_EMBED": True,
}
V2 = {
    **V1,
    "DIM_MUL_IN_ATT": True,
    "POOL_Q_STRIDE": [[0, 1, 1, 1], [1, 1, 2, 2], [2, 1, 1, 1]],
    "REL_POS_SPATIAL": True,
    "REL_POS_TEMPORAL": True,
    "RESIDUAL_POOLING": True,
    "USE_ABS_POS": False,
}
SHALLOW = {**V2, "DEPTH": 1, "DIM_MUL": [[0, 2.0]], "HEAD_MUL": [[0, 2.0]], "POOL_Q_STRIDE": [[0, 1, 2, 2]]}


def tiny_mvit(keys=V1, **changes):
    """The cfg of an MViT of 8 to 32 channels for 4 frames of 32 x 32 pixels and 5 classes. `changes` are of MVIT."""
    values = {"MODEL__MODEL_NAME": "MViT", "MODEL__ARCH": "mvit", "MODEL__NUM_CLASSES": 5, "MODEL__HEAD_ACT": "none"}
    values |= {"DATA__INPUT_CHANNEL_NUM": [3], "DATA__NUM_FRAMES": 4, "DATA__TRAIN_CROP_SIZE": 32}
    others = {key: value for key, value in changes.items() if "__" in key}
    keys = {f"MVIT__{key}": value for key, value in (keys | changes).items() if "__" not in key}
    return override(get_cfg(), values | keys | others)


def random_mvit(keys=V1, **changes):
    """A tiny MViT in evaluation whose every parameter matters."""
    model = build_model(tiny_mvit(keys, **changes)).eval()
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=0.3)
        if "norm" in name and name.endswith("weight"):
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def clip(frames=4, height=32, width=None, batch=2):
    return torch.randn(batch, 3, frames, height, width or height)
