"""Mixup, cutmix and smoothed targets: against values computed by hand, in the learner and in trainings."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.engine.learner import Learner
from slowfast.engine.mixing import Draw, Mixed, Mixing, build_mixing, mix, smoothed, unmixed
from slowfast.engine.schedule import build_schedule
from slowfast.engine.train_net import train
from slowfast.errors import UserError
from slowfast.models.losses import build_loss, get_loss_func
from tests.engine.test_learner import BATCH, CLIPS, Tiny, pack
from tests.engine.tiny import BOTH_CYCLES, SYNTHETIC, losses, tiny_cfg

MIXUP = {"MIXUP__ENABLE": True, "MODEL__LOSS_FUNC": "soft_cross_entropy"}


def constant_clips(*values, height=4, width=4, frames=2):
    """Clips that have one value everywhere, N x 3 x T x H x W."""
    return torch.tensor(values).view(-1, 1, 1, 1, 1).expand(-1, 3, frames, height, width).contiguous()


# --- the arithmetic ---------------------------------------------------------------------------------


def test_mixup_takes_shares_of_a_clip_and_of_its_mirror_in_the_batch():
    clips, labels = constant_clips(1.0, 2.0, 4.0), torch.tensor([0, 1, 2])
    mixed = mix([clips], labels, Draw(0.75), num_classes=4)
    torch.testing.assert_close(mixed.pathways[0], constant_clips(1.75, 2.0, 3.25))
    expected = torch.tensor([[0.75, 0, 0.25, 0], [0, 1, 0, 0], [0.25, 0, 0.75, 0]])
    torch.testing.assert_close(mixed.targets, expected)
    assert mixed.labels.tolist() == [0, 1, 2]
    assert mixed.others.tolist() == [2, 1, 0]
    torch.testing.assert_close(clips, constant_clips(1.0, 2.0, 4.0))  # as it was


def test_a_share_below_a_half_makes_the_partners_class_the_first():
    mixed = mix([constant_clips(1.0, 2.0)], torch.tensor([0, 1]), Draw(0.25), num_classes=2)
    assert mixed.labels.tolist() == [1, 0]
    assert mixed.others.tolist() == [0, 1]


def test_cutmix_takes_a_box_from_the_partner_and_weights_the_classes_by_area():
    clips = constant_clips(1.0, 2.0, height=8, width=4)
    # sqrt(1 - 0.75) = 1/2 of 8 x 4 px: 4 rows and 2 columns around row 3 and column 2
    mixed = mix([clips], torch.tensor([0, 1]), Draw(0.75, (0.4, 0.5)), num_classes=2)
    expected = torch.ones(8, 4)
    expected[1:5, 1:3] = 2
    torch.testing.assert_close(mixed.pathways[0][0], expected.expand(3, 2, 8, 4))
    torch.testing.assert_close(mixed.pathways[0][1], 3 - expected.expand(3, 2, 8, 4))
    torch.testing.assert_close(mixed.targets, torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    torch.testing.assert_close(clips, constant_clips(1.0, 2.0, height=8, width=4))


def test_a_box_is_cut_off_at_the_borders_and_weighs_what_is_left():
    clips = constant_clips(1.0, 2.0, height=8, width=8)
    # 4 x 4 px around (0, 7): rows 0 to 2, columns 5 to 8
    mixed = mix([clips], torch.tensor([0, 1]), Draw(0.75, (0.0, 0.99)), num_classes=2)
    assert (mixed.pathways[0][0, 0, 0] == 2).sum() == 2 * 3
    assert (mixed.pathways[0][0, 0, 0, :2, 5:] == 2).all()
    torch.testing.assert_close(mixed.targets[0], torch.tensor([1 - 6 / 64, 6 / 64]))


def test_an_empty_box_changes_nothing():
    mixed = mix([constant_clips(1.0, 2.0)], torch.tensor([0, 1]), Draw(0.999, (0.5, 0.5)), num_classes=2)
    torch.testing.assert_close(mixed.pathways[0], constant_clips(1.0, 2.0))
    torch.testing.assert_close(mixed.targets, torch.eye(2))
    assert mixed.others is None


@pytest.mark.parametrize("draw", [Draw(0.75), Draw(0.75, (0.3, 0.6))], ids=["mixup", "cutmix"])
def test_all_pathways_are_mixed_alike(draw):
    fast = torch.randn(4, 3, 8, 12, 12)
    slow = fast[:, :, ::4]
    mixed = mix([slow, fast], torch.arange(4), draw, num_classes=4)
    assert torch.equal(mixed.pathways[0], mixed.pathways[1][:, :, ::4])
    small, large = mix([fast[..., ::2, ::2], fast], torch.arange(4), draw, num_classes=4).pathways
    assert (small != fast[..., ::2, ::2]).any()
    assert large.shape == fast.shape


@pytest.mark.parametrize("draw", [Draw(0.7), Draw(0.7, (0.3, 0.6))], ids=["mixup", "cutmix"])
def test_the_memory_format_is_kept(draw):
    clips = torch.randn(2, 3, 2, 6, 6).to(memory_format=torch.channels_last_3d)
    (mixed,) = mix([clips], torch.tensor([0, 1]), draw, num_classes=2).pathways
    assert mixed.is_contiguous(memory_format=torch.channels_last_3d)


def test_smoothed_targets_follow_their_formula():
    torch.testing.assert_close(smoothed(torch.tensor([1]), 4, 0.1), torch.tensor([[0.025, 0.925, 0.025, 0.025]]))


def test_mixed_and_smoothed_targets_sum_to_one():
    targets = mix([constant_clips(1.0, 2.0)], torch.tensor([0, 2]), Draw(0.6), num_classes=5, smoothing=0.1).targets
    torch.testing.assert_close(targets.sum(1), torch.ones(2))
    torch.testing.assert_close(targets[0], torch.tensor([0.02 + 0.9 * 0.6, 0.02, 0.02 + 0.9 * 0.4, 0.02, 0.02]))


def test_the_accuracy_adds_the_scores_of_both_classes_to_the_first():
    scores = torch.tensor([[1.0, 2.0, 2.5], [1.0, 2.0, 3.5], [3.0, -1.0, 2.0]])
    mixed = Mixed([], torch.empty(0), torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1]))
    judged, labels = mixed.judged(scores)
    assert labels.tolist() == [0, 0, 1]
    assert judged[0].tolist() == [3.0, -torch.inf, 2.5]  # 1 + 2 > 2.5: a hit
    assert judged[1].tolist() == [3.0, -torch.inf, 3.5]  # a miss
    assert torch.equal(judged[2], scores[2])  # both clips show one class
    assert unmixed([], labels, 0).judged(scores)[0] is scores


# --- the draws --------------------------------------------------------------------------------------


def draws(count=2000, **options):
    mixing = Mixing(10, **options)
    return [mixing.draw(i) for i in range(count)]


def test_draws_depend_on_the_seed_and_the_iteration_alone():
    first, again, other = draws(20), draws(20), draws(20, seed=2)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))
    assert len(set(first)) == 20
    assert Mixing(10).draw(13) == first[13]


def test_batches_are_mixed_and_cut_as_often_as_the_probabilities_say():
    found = draws(prob=0.7, switch_prob=0.25)
    mixed = [draw for draw in found if draw.share < 1]
    assert len(mixed) / len(found) == pytest.approx(0.7, abs=0.03)
    assert sum(draw.center is not None for draw in mixed) / len(mixed) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(("alpha", "cutmix_alpha", "cuts"), [(0.8, 0.0, False), (0.0, 1.0, True)])
def test_with_one_alpha_every_batch_is_mixed_that_way(alpha, cutmix_alpha, cuts):
    found = draws(alpha=alpha, cutmix_alpha=cutmix_alpha, switch_prob=0.5)
    assert {draw.center is not None for draw in found} == {cuts}
    shares = np.array([draw.share for draw in found])
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * max(alpha, cutmix_alpha) + 1)), rel=0.1)  # of Beta(a, a)


def test_the_centers_of_boxes_are_spread_over_the_picture():
    centers = np.array([draw.center for draw in draws(alpha=0.0)])
    assert centers.mean(0) == pytest.approx([0.5, 0.5], abs=0.03)
    assert centers.min() >= 0
    assert centers.max() < 1
    assert abs(np.corrcoef(centers.T)[0, 1]) < 0.1


# --- the learner ------------------------------------------------------------------------------------


def learner(mixing, **options):
    torch.manual_seed(0)
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return Learner(model, get_loss_func("soft_cross_entropy")(), optimizer, pack, mix=mixing, **options)


def test_a_step_has_the_gradient_of_the_mixed_batch_and_counts_its_first_classes():
    mixing = Mixing(2, alpha=0.8, cutmix_alpha=0.0)
    one, other = learner(mixing), learner(unmixed)
    share = mixing.draw(5).share
    clips, targets = pack(CLIPS)[0], smoothed(BATCH["label"], 2, 0.1)
    scores = other.model([share * clips + (1 - share) * clips.flip(0)])
    loss = -((share * targets + (1 - share) * targets.flip(0)) * scores.log_softmax(1)).sum(1).mean()
    loss.backward()
    step = one.step(BATCH, 0.1, 5)
    assert step.loss.item() == pytest.approx(loss.item())
    torch.testing.assert_close(one.model.conv.weight.grad, other.model.conv.weight.grad)
    assert step.labels.tolist() == (BATCH["label"] if share >= 0.5 else BATCH["label"].flip(0)).tolist()


def test_clips_are_mixed_within_a_part_and_all_parts_alike():
    seen = []

    def mixing(pathways, labels, iteration):
        seen.append((labels.tolist(), iteration))
        return Mixing(2)(pathways, labels, iteration)

    learner(mixing, parts=2).step(BATCH | {"label": torch.tensor([0, 1, 1, 0])}, 0.1, 3)
    assert seen == [([0, 1], 3), ([1, 0], 3)]


def test_a_probability_of_0_smooths_labels_and_mixes_nothing():
    step = learner(Mixing(2, prob=0.0)).step(BATCH, 0.1, 7)
    plain = learner(unmixed)
    plain.loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    assert step.loss.item() == pytest.approx(plain.step(BATCH, 0.1).loss.item())
    assert step.labels.tolist() == BATCH["label"].tolist()


# --- configs and trainings --------------------------------------------------------------------------


def test_without_mixing_a_batch_stays_the_same_object(tmp_path):
    mixing = build_mixing(tiny_cfg(tmp_path, tmp_path))
    pathways, labels = [CLIPS], BATCH["label"]
    mixed = mixing(pathways, labels, 3)
    assert mixed.pathways is pathways
    assert mixed.targets is mixed.labels is labels


def test_the_keys_become_the_options(tmp_path):
    keys = {"ALPHA": 0.3, "CUTMIX_ALPHA": 0.4, "PROB": 0.5, "SWITCH_PROB": 0.6, "LABEL_SMOOTH_VALUE": 0.2}
    changes = MIXUP | {f"MIXUP__{key}": value for key, value in keys.items()} | {"RNG_SEED": 9}
    expected = Mixing(3, prob=0.5, switch_prob=0.6, alpha=0.3, cutmix_alpha=0.4, smoothing=0.2, seed=9)
    assert build_mixing(tiny_cfg(tmp_path, tmp_path, **changes)) == expected


MULTI = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit", "MODEL__HEAD_ACT": "sigmoid"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MODEL__LOSS_FUNC": "cross_entropy"}, "LOSS_FUNC: 'cross_entropy' .*MIXUP.ENABLE; use 'soft_cross_entropy'"),
        (MULTI, "MIXUP.ENABLE: True is for videos of one class each"),
        ({"MODEL__LABEL_SMOOTHING": 0.1}, "MODEL.LABEL_SMOOTHING: 0.1 .*MIXUP.LABEL_SMOOTH_VALUE 0.1; set it to 0"),
        ({"MIXUP__ALPHA": 0.0, "MIXUP__CUTMIX_ALPHA": 0.0}, "MIXUP.PROB: 1.0 has nothing to mix by"),
        ({"TRAIN__BATCH_SIZE": 1}, "MIXUP.PROB: 1.0 .* at 8 frames x 32 px .* raise TRAIN.BATCH_SIZE"),
        ({"SOLVER__ACCUMULATE": 4}, "MIXUP.PROB: 1.0 .* one clip at a time; .*SOLVER.ACCUMULATE"),
        ({"MIXUP__PROB": 1.5}, "MIXUP.PROB: 1.5 is out of range; give 0 to 1"),
        ({"MIXUP__ALPHA": -1.0}, "MIXUP.ALPHA: -1.0 is out of range"),
    ],
)
def test_keys_that_do_not_suit_mixing_are_refused_with_the_fix(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        build_all(tmp_path, changes)


def build_all(folder, changes):
    cfg = tiny_cfg(folder, folder, **SYNTHETIC, **MIXUP | changes)
    build_schedule(cfg)
    build_loss(cfg)
    build_mixing(cfg)


def test_smoothing_alone_takes_single_clips(tmp_path):
    changes = {"MIXUP__PROB": 0.0, "TRAIN__BATCH_SIZE": 1, "MIXUP__ALPHA": 0.0, "MIXUP__CUTMIX_ALPHA": 0.0}
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **MIXUP | changes)
    build_schedule(cfg)
    assert build_mixing(cfg).draw(0) == Draw(1.0)


def test_a_resumed_training_mixes_the_same_clips(tmp_path):
    changes = SYNTHETIC | BOTH_CYCLES | MIXUP | {"SOLVER__EMA_DECAY": 0.9, "TRAIN__EVAL_PERIOD": 0}
    whole, resumed, other = (tmp_path / name for name in ("whole", "resumed", "other"))
    train(tiny_cfg(tmp_path, whole, **changes))
    (resumed / "checkpoints").mkdir(parents=True)
    checkpoint = "checkpoints/checkpoint_epoch_00004.pyth"
    (resumed / checkpoint).write_bytes((whole / checkpoint).read_bytes())
    train(tiny_cfg(tmp_path, resumed, **changes))
    first, second = losses(whole), losses(resumed)
    assert second
    assert second == {i: first[i] for i in second}
    train(tiny_cfg(tmp_path, other, **changes, MIXUP__ALPHA=0.2))
    assert losses(other) != first


def test_validation_is_not_mixed(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **MIXUP)
    one = Learner.from_cfg(cfg, torch.device("cpu"))
    one.mix = None
    assert one.predictor()(torch.zeros(2, 8, 32, 32, 3, dtype=torch.uint8)).shape == (2, 3)


def test_soft_cross_entropy_of_mixed_targets_is_that_of_torch():
    targets = mix([constant_clips(1.0, 2.0)], torch.tensor([0, 1]), Draw(0.6), 3, 0.1).targets
    scores = torch.randn(2, 3)
    torch.testing.assert_close(get_loss_func("soft_cross_entropy")()(scores, targets), F.cross_entropy(scores, targets))
