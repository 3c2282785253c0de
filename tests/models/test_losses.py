"""Losses against their formulas."""

import pytest
import torch

from slowfast.errors import UserError
from slowfast.models.losses import build_loss, get_loss_func
from tests.models.tiny import tiny_cfg

SCORES = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -4.0]])
TARGET = torch.tensor([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0]])
LABELS = torch.tensor([1, 0])


def expected(name):
    log_p = SCORES - SCORES.exp().sum(1, keepdim=True).log()
    p = 1 / (1 + (-SCORES).exp())
    binary = -(TARGET * p.log() + (1 - TARGET) * (1 - p).log())
    return {
        "cross_entropy": (SCORES, LABELS, -log_p[[0, 1], LABELS]),
        "soft_cross_entropy": (SCORES, TARGET, -(TARGET * log_p).sum(1)),
        "bce": (p, TARGET, binary),
        "bce_logit": (SCORES, TARGET, binary),
    }[name]


@pytest.mark.parametrize("name", ["cross_entropy", "soft_cross_entropy", "bce", "bce_logit"])
def test_losses_follow_their_formulas_in_every_reduction(name):
    scores, target, loss = expected(name)
    make = get_loss_func(name)
    torch.testing.assert_close(make(reduction="none")(scores, target), loss)
    torch.testing.assert_close(make(reduction="sum")(scores, target), loss.sum())
    torch.testing.assert_close(make(reduction="mean")(scores, target), loss.mean())
    torch.testing.assert_close(make()(scores, target), loss.mean())


def test_soft_cross_entropy_of_a_sure_target_is_cross_entropy():
    one_hot = torch.nn.functional.one_hot(LABELS, 3).float()
    soft, hard = get_loss_func("soft_cross_entropy")(), get_loss_func("cross_entropy")()
    torch.testing.assert_close(soft(SCORES, one_hot), hard(SCORES, LABELS))
    torch.testing.assert_close(soft(SCORES, LABELS), hard(SCORES, LABELS))


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"MODEL.LOSS_FUNC: 'mse' is not known; .* cross_entropy, soft_cross_entropy"):
        get_loss_func("mse")


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match=r"reduction is 'max'"):
        get_loss_func("soft_cross_entropy")(reduction="max")


@pytest.mark.parametrize(
    ("multi_label", "name"), [(False, "cross_entropy"), (False, "soft_cross_entropy"), (True, "bce")]
)
def test_the_loss_of_a_config_is_averaged_over_the_batch(multi_label, name):
    scores, target, loss = expected(name)
    built = build_loss(tiny_cfg("slow", DATA__MULTI_LABEL=multi_label, MODEL__LOSS_FUNC=name))
    torch.testing.assert_close(built(scores, target), loss.mean())


@pytest.mark.parametrize(
    ("multi_label", "name", "message"),
    [
        (True, "cross_entropy", "MODEL.LOSS_FUNC: 'cross_entropy' .*MULTI_LABEL; use 'bce_logit'"),
        (False, "bce_logit", "MODEL.LOSS_FUNC: 'bce_logit' .*use 'cross_entropy', or set DATA.MULTI_LABEL True"),
        (False, "mse", "MODEL.LOSS_FUNC: 'mse' is not known"),
    ],
)
def test_a_loss_that_does_not_suit_the_labels_is_refused(multi_label, name, message):
    with pytest.raises(UserError, match=message):
        build_loss(tiny_cfg("slow", DATA__MULTI_LABEL=multi_label, MODEL__LOSS_FUNC=name))
