"""Frozen parts of a model."""

import pytest
import torch
from torch import nn

from slowfast.engine.precise_bn import update_statistics
from slowfast.errors import UserError
from slowfast.models.freeze import freeze
from slowfast.multigrid import SubBatchNorm3d, regroup, running_statistics
from slowfast.optim.build import parameter_groups


class Staged(nn.Module):
    """Two stages of a convolution and a batch norm, and a head."""

    def __init__(self):
        super().__init__()
        for name in ("s1", "s1_fuse", "s2"):
            self.add_module(name, nn.Sequential())
            getattr(self, name).add_module("conv", nn.Conv3d(3, 3, 1))
            getattr(self, name).add_module("bn", SubBatchNorm3d(3))
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.s2(self.s1_fuse(self.s1(x))).mean((2, 3, 4)))


def frozen(*entries):
    model = Staged()
    freeze(model, entries)
    return model, [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], []),
        (["s1"], ["s1.conv.weight", "s1.conv.bias", "s1.bn.weight", "s1.bn.bias"]),
        (["s[12].conv"], ["s1.conv.weight", "s1.conv.bias", "s2.conv.weight", "s2.conv.bias"]),
        (["*bn"], [f"{part}.bn.{kind}" for part in ("s1", "s1_fuse", "s2") for kind in ("weight", "bias")]),
        (["head.bias", "s2.*.weight"], ["s2.conv.weight", "s2.bn.weight", "head.bias"]),
    ],
)
def test_entries_are_names_and_patterns_of_modules_and_parameters(entries, expected):
    assert frozen(*entries)[1] == expected


def test_an_entry_without_a_match_is_an_error_with_near_names():
    with pytest.raises(UserError, match="MODEL.FREEZE: 's1_fues' matches no module .*; near it are s1_fuse"):
        frozen("s1", "s1_fues")
    with pytest.raises(UserError, match="near it are s1, s1_fuse, s2, head"):
        frozen("zzz")
    with pytest.raises(UserError, match="leaves no parameter of the model to train"):
        frozen("s*", "head")


def test_frozen_parameters_get_neither_a_gradient_nor_a_state_of_the_optimizer():
    model, names = frozen("s1", "head.bias")
    optimizer = torch.optim.SGD(parameter_groups(model, 0.1, 0.1), lr=0.1, momentum=0.9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.randn(4, 3, 2, 2, 2)).sum().backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (name in names) == (parameter not in optimizer.state)
        assert torch.equal(parameter, before[name]) == (name in names)


def test_a_frozen_batch_norm_normalizes_by_its_running_statistics_and_keeps_them():
    model, _ = frozen("s1", "s2.bn.weight")
    x = torch.randn(4, 3, 2, 2, 2)
    before = [value.clone() for value in running_statistics(model)]
    model.eval()
    expected = model.s1(x)
    model.train()
    regroup(model, 2)
    torch.testing.assert_close(model.s1(x), expected)
    model(x)
    update_statistics(model, [x, 2 * x])
    same = [torch.equal(a, b) for a, b in zip(before, running_statistics(model), strict=True)]
    assert same == [True, True, False, False, False, False]  # one with a parameter to train goes on
    assert isinstance(model.s1.bn, SubBatchNorm3d)
