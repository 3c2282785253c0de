"""A training step on a GPU, checked without one: nothing makes the host wait, and nothing mixes devices."""

import os

import pytest
import torch

from slowfast.engine.learner import Learner
from slowfast.multigrid import SubBatchNorm3d
from slowfast.utils.training_meters import TopKMeter
from tests.engine.fake_cuda import CUDA, META, NoWaiting, fake_cuda
from tests.models.tiny import tiny_cfg

SHAPES = [(8, 4, 32, 4), (4, 8, 32, 2), (2, 8, 64, 1)]  # clips, frames, crop and groups of batch norm
ONE_NONLOCAL = {"NONLOCAL__LOCATION": [[[]], [[1]], [[]], [[]]], "NONLOCAL__GROUP": [[1], [2], [1], [1]]}
MODELS = {
    "2d": {},
    "c2d": {},
    "i3d": ONE_NONLOCAL | {"NONLOCAL__INSTANTIATION": "softmax"},
    "slow": ONE_NONLOCAL | {"NONLOCAL__INSTANTIATION": "dot_product"},
    "c2d_nopool": {"SOLVER__CLIP_GRAD_L2NORM": 1.0},
    "i3d_nopool": {"SOLVER__CLIP_GRAD_VAL": 1.0, "MODEL__DROPOUT_RATE": 0.5},
    "slowfast": {"DATA__REVERSE_INPUT_CHANNEL": True},
}
LOSSES = {"cross_entropy": False, "soft_cross_entropy": False, "bce_logit": True}  # whether labels are sets


def batch_of(clips: int, frames: int, crop: int, multi_label: bool = False) -> dict:
    """A batch on the host."""
    label = torch.zeros(clips, 5) if multi_label else torch.zeros(clips, dtype=torch.long)
    return {"clip": torch.zeros(clips, frames, crop, crop, 3, dtype=torch.uint8), "label": label}


def check_training(learner: Learner, multi_label: bool = False) -> None:
    """Train on every shape twice. Only the first time may something be copied to the device."""
    meter = TopKMeter(learner.device)
    for clips, frames, crop, groups in SHAPES:
        learner.start_phase(groups)
        learner.step(batch_of(clips, frames, crop, multi_label), lr=0.1)
    for clips, frames, crop, groups in SHAPES:
        batch = batch_of(clips, frames, crop, multi_label)
        with NoWaiting():
            learner.start_phase(groups)
            step = learner.step(batch, lr=0.1)
            meter.update(step.scores, step.labels, step.loss)
            learner.recompute_statistics([batch["clip"]])
        assert step.loss.device == learner.device
        assert step.scores.shape == (clips, 5)


def test_tests_do_not_see_the_gpus_of_the_machine():
    assert not torch.cuda.is_available()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("arch", MODELS)
def test_a_step_of_any_architecture_does_not_wait_for_the_device(arch):
    check_training(Learner.from_cfg(tiny_cfg(arch, **MODELS[arch]), META))


@pytest.mark.parametrize("method", ["adam", "adamw"])
def test_a_step_of_any_optimizer_does_not_wait_for_the_device(method):
    check_training(Learner.from_cfg(tiny_cfg("2d", SOLVER__OPTIMIZING_METHOD=method), META))


@pytest.mark.parametrize(("loss", "multi_label"), LOSSES.items())
def test_a_step_with_any_loss_does_not_wait_for_the_device(loss, multi_label):
    cfg = tiny_cfg("2d", MODEL__LOSS_FUNC=loss, DATA__MULTI_LABEL=multi_label, MODEL__HEAD_ACT="sigmoid")
    check_training(Learner.from_cfg(cfg, META), multi_label)


@pytest.mark.parametrize(
    "fault",
    [
        lambda x: x.mean().item(),
        lambda x: bool(x.mean() > 0),
        lambda x: int(x.sum()),
        lambda x: x.cpu(),
        lambda x: x.nonzero(),
        lambda x: torch.ones(1, 5) @ x.t(),
        lambda x: x + torch.ones(5),
        lambda x: torch.ones(5).to(x.device),
        lambda x: x.copy_(torch.ones(5)),
    ],
)
def test_waiting_and_mixed_devices_are_found(fault):
    learner = Learner.from_cfg(tiny_cfg("2d"), META)
    loss = learner.loss

    def faulty(scores, labels):
        fault(scores.detach())
        return loss(scores, labels)

    learner.step(batch_of(2, 8, 32), lr=0.1)
    learner.loss = faulty
    batch = batch_of(2, 8, 32)
    with NoWaiting(), pytest.raises((AssertionError, RuntimeError)):
        learner.step(batch, lr=0.1)


@pytest.mark.parametrize("arch", ["2d", "i3d", "slow"])
@pytest.mark.parametrize(("mixed", "has_bf16"), [(False, True), (True, True), (True, False)])
def test_evaluation_on_cuda_uses_the_number_format_and_does_not_wait(arch, mixed, has_bf16, monkeypatch):
    dtype = (torch.bfloat16 if has_bf16 else torch.float16) if mixed else torch.float32
    with fake_cuda(monkeypatch, has_bf16):
        learner = Learner.from_cfg(tiny_cfg(arch, TRAIN__MIXED_PRECISION=mixed, **MODELS[arch]), CUDA)
        learner.model.requires_grad_(False)  # else autocast would record the casts of weights
        dtypes: set[torch.dtype] = set()
        for norm in (m for m in learner.model.modules() if isinstance(m, SubBatchNorm3d)):
            norm.register_forward_hook(lambda _, x, y: dtypes.add(y.dtype))
        clips, predict = batch_of(2, 8, 64)["clip"], learner.predictor()
        predict(clips)
        with NoWaiting():
            scores = predict(clips)
        assert (scores.device, scores.dtype, scores.shape) == (CUDA, torch.float32, (2, 5))
        assert dtypes == {dtype}
