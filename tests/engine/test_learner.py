"""A learner in a loop of its own, from plain values."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.testing import CompileCounter

from slowfast.engine import compilation
from slowfast.engine.learner import Learner
from slowfast.engine.precision import Precision
from slowfast.errors import UserError
from slowfast.multigrid import SubBatchNorm3d

CLIPS = torch.arange(4 * 2 * 3 * 3 * 3, dtype=torch.uint8).reshape(4, 2, 3, 3, 3)  # (N, T, H, W, C)
BATCH = {"clip": CLIPS, "label": torch.tensor([0, 1, 0, 1])}


def pack(clips):
    return [clips.permute(0, 4, 1, 2, 3).float() / 255]  # (N, T, H, W, C) -> (N, C, T, H, W)


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 2, 1)

    def forward(self, inputs):
        return self.conv(inputs[0]).mean((2, 3, 4))


def plain_step(model, optimizer):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(pack(CLIPS)), BATCH["label"])
    loss.backward()
    optimizer.step()
    return loss.item()


def tiny(precision=None, **options):
    torch.manual_seed(0)
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9, fused=True)
    return Learner(model, nn.CrossEntropyLoss(), optimizer, pack, precision, **options)


def test_a_learner_takes_the_steps_of_a_plain_loop():
    learner, other = tiny(), tiny()
    other.optimizer.param_groups[0]["lr"] = 0.1
    for _ in range(3):
        step = learner.step(BATCH, lr=0.1)
        assert step.loss.item() == pytest.approx(plain_step(other.model, other.optimizer))
        assert (step.scores.shape, step.lr) == ((4, 2), 0.1)
    torch.testing.assert_close(learner.model.state_dict(), other.model.state_dict())


def test_gradients_are_clipped_to_a_norm_or_to_values():
    for options in ({"clip_l2norm": 1e-3}, {"clip_value": 1e-4}):
        learner = tiny(**options)
        before = learner.model.conv.weight.detach().clone()
        learner.step(BATCH, lr=1.0)
        change = (learner.model.conv.weight - before).abs().max()
        assert 0 < change < 1e-3 + 1e-6


class Normalized(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv3d(3, 2, 1), SubBatchNorm3d(2)

    def forward(self, inputs):
        return self.norm(self.conv(inputs[0])).relu().mean((2, 3, 4))


def normalized(compile=False):
    torch.manual_seed(0)
    model = Normalized()
    learner = Learner(model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1), pack)
    learner.join_ranks(compile)
    return learner


def test_a_compiled_learner_takes_the_same_steps_with_one_graph_for_each_shape_and_number_of_groups(monkeypatch):
    counter = CompileCounter()
    monkeypatch.setattr(compilation, "BACKEND", counter)
    plain, learner = normalized(), normalized(compile=True)
    steps = [(2 * size, size + 3, groups) for size in range(1, 7) for groups in (1, 2)]  # more than torch's limit of 8
    for clips, px, groups in [*steps, *steps[:3]]:
        batch = {"clip": torch.randint(256, (clips, 2, px, px, 3)).byte(), "label": torch.arange(clips) % 2}
        losses = []
        for each in (plain, learner):
            each.start_phase(groups)
            losses.append(each.step(batch, lr=0.1).loss.item())
            scores = each.predictor()(CLIPS)
        assert losses[0] == losses[1]
        assert torch.equal(plain.predictor()(CLIPS), scores)
    assert counter.frame_count == len(steps)
    assert list(learner.model.state_dict()) == list(plain.model.state_dict())
    torch.testing.assert_close(learner.model.state_dict(), plain.model.state_dict(), atol=0, rtol=0)


def test_the_statistics_that_ranks_exchange_are_on_the_device_of_the_model_also_where_there_are_none():
    for model in (Tiny(), Normalized()):
        learner = Learner(
            model.to("meta"),
            nn.CrossEntropyLoss(),
            torch.optim.SGD(model.parameters(), 0.1),
            pack,
            Precision(torch.device("meta"), mixed=False),
        )
        with learner.averaged_statistics() as of_ranks:
            assert of_ranks.device.type == "meta"
            assert of_ranks.shape == (1, 4 if isinstance(model, Normalized) else 0)


class HalfPrecision(Precision):
    """bfloat16 and a scaler on the CPU, as float16 on a GPU without bfloat16."""

    def __init__(self):
        super().__init__(torch.device("cpu"), mixed=False)

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16)

    def scaler(self):
        return torch.amp.GradScaler("cpu", init_scale=2.0)


def test_a_skipped_first_step_leaves_the_momenta_at_zero():
    learner = tiny(HalfPrecision())
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    weights = [parameter.data for parameter in learner.model.parameters()]
    loss, learner.loss = learner.loss, lambda scores, labels: scores.sum() * float("inf")
    learner.step(BATCH, lr=0.1)
    assert all(torch.equal(before[name], value) for name, value in learner.model.state_dict().items())
    assert all(state["momentum_buffer"].eq(0).all() for state in learner.optimizer.state.values())
    learner.loss = loss
    learner.step(BATCH, lr=0.1)
    gradients = [parameter.grad for parameter in learner.model.parameters()]
    for weight, (start, gradient) in zip(weights, zip(before.values(), gradients, strict=True), strict=True):
        torch.testing.assert_close(weight, start - 0.1 * gradient)


def test_the_loss_is_computed_in_full_precision():
    learner = tiny(HalfPrecision())
    seen = []

    def loss(scores, labels):
        seen.append((scores.dtype, torch.is_autocast_enabled("cpu")))
        return F.cross_entropy(scores, labels)

    learner.loss = loss
    learner.step(BATCH, lr=0.1)
    assert seen == [(torch.float32, False)]


MEMORY_ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    MemoryError(),
]


def failing(error):
    learner = tiny()

    def fail(*args):
        raise error

    learner.model.forward = fail
    return learner


@pytest.mark.parametrize("error", MEMORY_ERRORS, ids=lambda error: str(error)[:9])
def test_an_error_of_memory_names_the_shape_and_the_cures(error):
    shape = r"out of memory on a batch of 4 clips x 2 frames x 3 x 3 px: lower"
    with pytest.raises(UserError, match=shape + r" TRAIN.BATCH_SIZE .*TRAIN.MIXED_PRECISION True"):
        failing(error).step(BATCH, lr=0.1)
    with pytest.raises(UserError, match=shape + " TEST.BATCH_SIZE"):
        failing(error).predictor()(CLIPS)
    learner = failing(error)
    learner.model.add_module("norm", nn.BatchNorm3d(2))
    with pytest.raises(UserError, match=shape + " TRAIN.BATCH_SIZE .*BN.USE_PRECISE_STATS False"):
        learner.recompute_statistics([CLIPS])


def test_the_batch_of_an_error_of_memory_may_be_floats_of_two_pathways():
    pathways = [torch.zeros(4, 3, 2, 6, 6), torch.zeros(4, 3, 8, 6, 5)]  # (N, C, T, H, W)
    learner = failing(MEMORY_ERRORS[0])
    learner.pack = list
    with pytest.raises(UserError, match="4 clips x 8 frames x 6 x 5 px"):
        learner.step({"clip": pathways, "label": BATCH["label"]}, lr=0.1)


def test_other_errors_of_a_step_stay_as_they_are():
    with pytest.raises(RuntimeError, match="^mat1 and mat2"):
        failing(RuntimeError("mat1 and mat2 shapes cannot be multiplied")).step(BATCH, lr=0.1)
