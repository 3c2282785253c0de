"""Compile a model with torch.compile, once for each shape of a schedule."""

import torch
from torch import nn

BACKEND = "inductor"
MAX_GRAPHS = 256  # torch's limit for all functions together; a schedule has a few dozen shapes


def compiled(net: nn.Module, is_wanted: bool) -> nn.Module:
    """Return `net`, or a module that compiles it for each combination of shape and batch-norm groups.

    The graphs are static, since kernels of fixed sizes are faster. A phase change compiles the model anew, as the
    groups are part of the graph. Torch allows 8 graphs by default, and would run the model uncompiled after that.
    """
    if not is_wanted:
        return net
    torch._dynamo.config.recompile_limit = MAX_GRAPHS
    return torch.compile(net, dynamic=False, backend=BACKEND)  # type: ignore[return-value]  # torch's stubs
