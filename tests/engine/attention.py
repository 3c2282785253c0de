"""A small network of attention over all patches of a clip, without batch norm."""

import torch.nn.functional as F
from torch import nn

from slowfast.models import MODEL_REGISTRY

WIDTH, PATCH_PX = 8, 8


class TinyAttention(nn.Module):
    """Takes `[clip]`, N x 3 x T x H x W, of any size of at least a patch: 1 frame x 8 px. Returns N x K."""

    has_batch_norm = False

    def __init__(self, cfg):
        super().__init__()
        patch = (1, PATCH_PX, PATCH_PX)
        self.patches = nn.Conv3d(3, WIDTH, patch, patch)
        self.norm, self.qkv = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.head = nn.Linear(WIDTH, cfg.MODEL.NUM_CLASSES)

    def forward(self, inputs):
        x = self.norm(self.patches(inputs[0]).flatten(2).transpose(1, 2))  # (N, C, T, H, W) -> (N, T*H*W, C)
        x = x + F.scaled_dot_product_attention(*self.qkv(x).chunk(3, dim=-1))
        return self.head(x.mean(1))


if "TinyAttention" not in MODEL_REGISTRY:
    MODEL_REGISTRY.register(TinyAttention)

ATTENTION = {"MODEL__MODEL_NAME": "TinyAttention", "MODEL__ARCH": "slow", "DATA__INPUT_CHANNEL_NUM": [3]}
