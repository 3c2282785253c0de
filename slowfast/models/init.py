"""Initial weights."""

from torch import nn

from slowfast.models.nonlocal_block import Nonlocal
from slowfast.models.transforms import Transform


def init_weights(model: nn.Module, fc_init_std: float = 0.01, zero_init_final_bn: bool = True) -> None:
    """Draw the weights of `model` in place. Batch norms, and biases of convolutions, keep those of their constructors.

    Args:
        fc_init_std: standard deviation of linear weights.
        zero_init_final_bn: start the last batch norm of every residual branch and non-local block at weight 0, so that
            the block starts as the identity.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=fc_init_std)
            nn.init.zeros_(module.bias)
    if zero_init_final_bn:
        for norm in final_norms(model):
            nn.init.zeros_(norm.weight)


def final_norms(model: nn.Module) -> list[nn.BatchNorm3d]:
    """Return the last batch norm of every residual branch and non-local block."""
    branches = [m.last_norm for m in model.modules() if isinstance(m, Transform)]
    return branches + [m.bn for m in model.modules() if isinstance(m, Nonlocal)]
