"""Drop path: a residual branch that some clips of a training batch skip."""

import torch
from torch import Tensor


def drop_path(branch: Tensor, rate: float, training: bool) -> Tensor:
    """Return `branch`, N x ..., with 0 for a clip with probability `rate`, and divided by 1 - `rate` for the others.

    Every clip has a draw of its own. In evaluation, and at rate 0, the branch stays as it is.
    """
    if not training or rate == 0:
        return branch
    if rate == 1:
        return branch * 0
    keep = 1 - rate
    draws = torch.rand(branch.shape[0], *[1] * (branch.ndim - 1), device=branch.device)  # (N, 1, ...)
    return branch * ((draws + keep).floor() / keep).to(branch.dtype)
