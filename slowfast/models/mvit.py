"""MViT and MViTv2: transformers over the patches of a clip that trade resolution for channels from block to block.

Fan et al.: Multiscale Vision Transformers, ICCV 2021. Li et al.: MViTv2: Improved Multiscale Vision Transformers for
Classification and Detection, CVPR 2022.

Legend: N clips, C channels, L tokens, the class token and those of the T x H x W grid of patches.
"""

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from slowfast.errors import UserError
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.drop_path import drop_path
from slowfast.models.heads import TokenHead
from slowfast.models.losses import check_scores
from slowfast.models.mvit_attention import NORM_EPSILON, PooledAttention, make_pool, pool_patches
from slowfast.models.mvit_positions import joint_positions, separate_positions
from slowfast.models.mvit_specs import BlockSpec, PatchSpec, Triple, block_specs, patch_spec
from slowfast.models.resnet import check_channels
from slowfast.models.staged import refuse_boxes, train_projection_only

INIT_STD = 0.02  # of weights, tables and the class token
INIT_BIAS = 0.02
FIRST_LAYER = re.compile(r"cls_token|pos_embed.*|patch_embed\..*")
BLOCK = re.compile(r"blocks\.(\d+)\..*")
POSITIONS = re.compile(r"(.*\.)?(cls_token|pos_embed\w*|rel_pos_[hwt])")


class PatchEmbed(nn.Module):
    """The convolution that makes a token of every patch: from a clip to N x THW x C, and the grid of the patches."""

    def __init__(self, spec: PatchSpec, width: int):
        super().__init__()
        self.is_2d = spec.is_2d
        self.proj: nn.Module = nn.Conv3d(3, width, spec.kernel, spec.stride, spec.padding)
        if spec.is_2d:
            self.proj = nn.Conv2d(3, width, spec.kernel[1:], spec.stride[1:], spec.padding[1:])

    def forward(self, clip: Tensor) -> tuple[Tensor, Triple]:
        # (N, 3, T, H, W) -> (N, C, T', H', W')
        patches = self.proj(clip.squeeze(2)).unsqueeze(2) if self.is_2d else self.proj(clip)
        _, _, t, h, w = patches.shape
        return patches.flatten(2).transpose(1, 2), (t, h, w)


class MLP(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, width_inner: int, width_out: int, dropout_rate: float = 0.0):
        super().__init__()
        self.fc1 = nn.Linear(width, width_inner)
        self.fc2 = nn.Linear(width_inner, width_out)
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.fc2(self.dropout(nn.functional.gelu(self.fc1(x)))))


class Block(nn.Module):
    """Attention and an MLP, each a branch beside its input, which `proj` widens where the branch changes the channels.

    Takes tokens, N x L x C, and their grid; returns N x L' x C' and the grid of the queries.
    """

    def __init__(self, spec: BlockSpec):
        super().__init__()
        attention = spec.attention
        self.drop_rate, self.class_tokens = spec.drop_rate, attention.class_tokens
        self.widens_in_attention = attention.width != attention.width_in
        self.widens_in_mlp = spec.width_out != attention.width
        self.norm1 = nn.LayerNorm(attention.width_in, NORM_EPSILON)
        self.attn = PooledAttention(attention)
        self.skip = make_pool(spec.skip, "max", attention.width)
        self.norm2 = nn.LayerNorm(attention.width, NORM_EPSILON)
        self.mlp = MLP(attention.width, spec.width_inner, spec.width_out, spec.dropout_rate)
        if self.widens_in_attention or self.widens_in_mlp:
            self.proj = nn.Linear(attention.width_in, spec.width_out)

    def forward(self, x: Tensor, grid: Triple) -> tuple[Tensor, Triple]:
        normed = self.norm1(x)
        branch, query_grid = self.attn(normed, grid)
        x = self._skip(self.proj(normed) if self.widens_in_attention else x, grid) + self._drop(branch)
        normed = self.norm2(x)
        x = (self.proj(normed) if self.widens_in_mlp else x) + self._drop(self.mlp(normed))
        return x, query_grid

    def _skip(self, x: Tensor, grid: Triple) -> Tensor:
        if self.skip is None:
            return x
        return pool_patches(x[:, None], grid, self.skip, self.class_tokens)[0][:, 0]

    def _drop(self, branch: Tensor) -> Tensor:
        return drop_path(branch, self.drop_rate, self.training)


@MODEL_REGISTRY.register()
class MViT(nn.Module):
    """Model of one pathway: patches, positions, blocks, norm, head. Takes `[clip]`, N x 3 x T x H x W, of any T, H, W.

    The tables of positions have the size of the config's clips, and are resampled for others.

    Attributes:
        num_layers: number of the last layer of `layer_of`.
    """

    has_batch_norm = False  # so multigrid has no groups

    cls_token: Tensor
    pos_embed: Tensor
    pos_embed_spatial: Tensor
    pos_embed_temporal: Tensor
    pos_embed_class: Tensor

    def __init__(self, cfg):
        super().__init__()
        mvit = cfg.MVIT
        check_mvit(cfg)
        patches = patch_spec(mvit)
        self.grid = patches.grid(cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
        specs = block_specs(mvit, self.grid)
        self.num_layers = mvit.DEPTH + 1
        self.decays_positions = not mvit.ZERO_DECAY_POS_CLS
        self.recomputes = cfg.MODEL.ACT_CHECKPOINT
        self.classifies_mean = mvit.USE_MEAN_POOLING
        self.class_tokens = int(mvit.CLS_EMBED_ON)
        for name, shape in table_shapes(mvit, self.grid).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(1, *shape)))
        self.patch_embed = PatchEmbed(patches, mvit.EMBED_DIM)
        self.norm_stem = nn.LayerNorm(mvit.EMBED_DIM, NORM_EPSILON) if mvit.NORM_STEM else nn.Identity()
        self.dropout = nn.Dropout(mvit.DROPOUT_RATE)
        self.blocks = nn.ModuleList(Block(spec) for spec in specs)
        self.norm = nn.LayerNorm(specs[-1].width_out, NORM_EPSILON)
        self.head = TokenHead(
            [specs[-1].width_out],
            cfg.MODEL.NUM_CLASSES,
            dropout_rate=cfg.MODEL.DROPOUT_RATE,
            activation=cfg.MODEL.HEAD_ACT,
        )
        init_mvit(self, mvit.HEAD_INIT_SCALE, mvit.REL_POS_ZERO_INIT)
        if cfg.MODEL.DETACH_FINAL_FC:
            train_projection_only(self)

    def forward(self, x: list[Tensor], bboxes: None = None) -> Tensor:
        """Return logits in training, and scores in evaluation. `bboxes` is an argument of published code."""
        refuse_boxes(bboxes)
        patches, grid = self._run(self.patch_embed, x[0])
        tokens = self.norm_stem(self.dropout(self._with_positions(patches, grid)))
        for block in self.blocks:
            tokens, grid = self._run(block, tokens, grid)
        return self.head(self._classified(tokens))

    def _run(self, module: nn.Module, *inputs: Any) -> Any:
        """Call a module. With MODEL.ACT_CHECKPOINT it runs again in the backward pass, and keeps nothing until then."""
        if self.recomputes and torch.is_grad_enabled():
            return checkpoint(module, *inputs, use_reentrant=False)
        return module(*inputs)

    def _with_positions(self, patches: Tensor, grid: Triple) -> Tensor:
        """Put the class token in front of the patches, and add the positions: (N, THW, C) -> (N, L, C)."""
        first = [self.cls_token.expand(patches.shape[0], -1, -1)] if self.class_tokens else []
        tokens = torch.cat([*first, patches], 1)
        positions = self._positions(grid)
        return tokens if positions is None else tokens + positions

    def _positions(self, grid: Triple) -> Tensor | None:
        """Return the positions of all tokens, 1 x L x C, or None."""
        if hasattr(self, "pos_embed"):
            table = self.pos_embed
            first, patches = table[:, : self.class_tokens], table[:, self.class_tokens :]
            return torch.cat([first, joint_positions(patches, self.grid, grid)], 1)
        if hasattr(self, "pos_embed_spatial"):
            patches = separate_positions(self.pos_embed_spatial, self.pos_embed_temporal, self.grid, grid)
            return torch.cat([self.pos_embed_class, patches], 1) if self.class_tokens else patches
        return None

    def _classified(self, tokens: Tensor) -> Tensor:
        """Return what is classified of the last tokens: (N, L, C) -> (N, C)."""
        if self.classifies_mean:
            return self.norm(tokens[:, self.class_tokens :].mean(1))
        return self.norm(tokens[:, 0]) if self.class_tokens else self.norm(tokens).mean(1)

    def no_weight_decay(self) -> frozenset[str]:
        """Return the names of the parameters without weight decay: positions and class token, unless they have it."""
        if self.decays_positions:
            return frozenset()
        return frozenset(name for name, _ in self.named_parameters() if POSITIONS.fullmatch(name))

    def layer_of(self, name: str) -> int:
        """Return the layer of a parameter for a learning rate that decays from the last to the first.

        Positions, class token and patches are in layer 0, block i in layer i + 1, the rest in the last, `num_layers`.
        """
        if FIRST_LAYER.fullmatch(name):
            return 0
        block = BLOCK.fullmatch(name)
        return int(block[1]) + 1 if block else self.num_layers

    @classmethod
    def input_problem(cls, cfg, frames: int, crop: int) -> str:
        """Return why the model does not take clips of `frames` frames x `crop` px, or ""."""
        patches = patch_spec(cfg.MVIT)
        if patches.is_2d and frames != 1:
            return "MVIT.PATCH_2D is for images, clips of 1 frame"
        if min(patches.grid(frames, crop)) < 1:
            return (
                f"it is smaller than a patch, MVIT.PATCH_KERNEL {cfg.MVIT.PATCH_KERNEL} less MVIT.PATCH_PADDING "
                f"{cfg.MVIT.PATCH_PADDING} on both sides"
            )
        return ""


def check_mvit(cfg) -> None:
    """Raise UserError for a config whose clips or architecture do not fit an MViT."""
    if cfg.MODEL.ARCH != "mvit":
        raise UserError(f"MODEL.ARCH: {cfg.MODEL.ARCH!r} does not fit MODEL.MODEL_NAME; use mvit")
    check_channels(cfg, 1)
    check_scores(cfg)


def table_shapes(mvit, grid: Triple) -> dict[str, tuple[int, int]]:
    """Return (tokens, channels) of the class token and of the tables of absolute positions, in published order."""
    (frames, height, width), class_tokens, channels = grid, int(mvit.CLS_EMBED_ON), mvit.EMBED_DIM
    tokens = {"cls_token": class_tokens}
    if mvit.USE_ABS_POS and mvit.SEP_POS_EMBED:
        tokens |= {"pos_embed_spatial": height * width, "pos_embed_temporal": frames, "pos_embed_class": class_tokens}
    elif mvit.USE_ABS_POS:
        tokens |= {"pos_embed": class_tokens + frames * height * width}
    return {name: (count, channels) for name, count in tokens.items() if count}


def init_mvit(model: MViT, head_scale: float = 1.0, zero_tables: bool = False) -> None:
    """Draw the weights of `model` in place. The bias of the patches keeps that of its constructor.

    Args:
        head_scale: factor on the weights and the bias of the last linear layer.
        zero_tables: start the tables of relative positions at 0.
    """
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
            nn.init.trunc_normal_(module.weight, std=INIT_STD)
        if isinstance(module, (nn.Linear, nn.LayerNorm)) and module.bias is not None:
            nn.init.constant_(module.bias, INIT_BIAS)
    for name, parameter in model.named_parameters():
        if POSITIONS.fullmatch(name):
            is_zero = zero_tables and "rel_pos" in name
            nn.init.zeros_(parameter) if is_zero else nn.init.trunc_normal_(parameter, std=INIT_STD)
    with torch.no_grad():
        model.head.projection.weight.mul_(head_scale)
        model.head.projection.bias.mul_(head_scale)
