"""The non-local block, in which every position attends to all positions of its clip.

Legend: N clips, C channels, D inner channels, T frames, H x W pixels, L = T*H*W positions, P of them after the pool.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.multigrid.batch_norm import SubBatchNorm3d


def attend_softmax(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    """Return the attention of the embedded Gaussian, N x D x L; theta is N x D x L, phi and g are N x D x P."""
    affinity = torch.bmm((theta * theta.shape[1] ** -0.5).transpose(1, 2), phi)  # (N, L, P)
    return torch.bmm(g, affinity.softmax(dim=2).transpose(1, 2))


def attend_dot_product(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    """Return the attention by dot products over P, N x D x L; theta is N x D x L, phi and g are N x D x P.

    The product is associative, so the smaller of the two intermediate matrices is computed: D x D costs a fraction of
    L x P at the sizes of a video.
    """
    inner, positions = phi.shape[1:]
    g = g / positions
    if inner <= positions:
        return torch.bmm(torch.bmm(g, phi.transpose(1, 2)), theta)  # (N, D, D) between
    return torch.bmm(g, torch.bmm(phi.transpose(1, 2), theta))  # (N, P, L) between


INSTANTIATIONS = {"softmax": attend_softmax, "dot_product": attend_dot_product}


class Nonlocal(nn.Module):
    """Non-local block with a residual connection.

    Args:
        pool: frames, rows and columns of the max-pool in front of phi and g, at most the size of the map.
        instantiation: `softmax` or `dot_product`.
        group: number of groups of frames that attend to themselves only. It must divide the frames.
    """

    def __init__(
        self,
        width: int,
        inner_width: int,
        pool: Sequence[int] = (1, 1, 1),
        instantiation: str = "softmax",
        group: int = 1,
    ):
        super().__init__()
        if instantiation not in INSTANTIATIONS:
            known = ", ".join(INSTANTIATIONS)
            raise UserError(f"NONLOCAL.INSTANTIATION: {instantiation!r} is not known; choose one of {known}")
        self.pool, self.group = tuple(pool), group
        self.attend = INSTANTIATIONS[instantiation]
        self.conv_theta = nn.Conv3d(width, inner_width, 1)
        self.conv_phi = nn.Conv3d(width, inner_width, 1)
        self.conv_g = nn.Conv3d(width, inner_width, 1)
        self.conv_out = nn.Conv3d(inner_width, width, 1)
        self.bn = SubBatchNorm3d(width)

    def _pooled(self, x: Tensor) -> Tensor:
        kernel = [min(k, size) for k, size in zip(self.pool, x.shape[2:], strict=True)]
        return F.max_pool3d(x, kernel, stride=kernel) if max(kernel) > 1 else x

    def forward(self, x: Tensor) -> Tensor:
        clips = self._cut(x)
        source = self._pooled(clips)
        theta, phi, g = self.conv_theta(clips), self.conv_phi(source), self.conv_g(source)
        y = self.attend(theta.flatten(2), phi.flatten(2), g.flatten(2))  # (N, D, T, H, W) -> (N, D, L)
        y = self._join(y.view_as(theta))  # batch norm groups whole clips
        return x + self.bn(self.conv_out(y))

    def _cut(self, x: Tensor) -> Tensor:
        """Return every group of frames as a clip of its own."""
        if self.group == 1:
            return x
        n, c, t, h, w = x.shape
        frames = t // self.group
        x = x.transpose(1, 2).reshape(n * self.group, frames, c, h, w)  # (N, C, T, ..) -> (N*G, T/G, C, ..)
        return x.transpose(1, 2)  # -> (N*G, C, T/G, ..)

    def _join(self, y: Tensor) -> Tensor:
        """Return the clips of which `_cut` made groups."""
        if self.group == 1:
            return y
        n, c, t, h, w = y.shape
        y = y.transpose(1, 2).reshape(n // self.group, t * self.group, c, h, w)  # (N*G, C, T/G, ..) -> (N, T, C, ..)
        return y.transpose(1, 2)  # -> (N, C, T, ..)
