"""Mixing the clips of a batch, and their targets: mixup, cutmix and smoothed labels.

Zhang et al.: mixup: Beyond Empirical Risk Minimization, ICLR 2018. Yun et al.: CutMix: Regularization Strategy to Train
Strong Classifiers with Localizable Features, ICCV 2019.

Clip i of N is mixed with clip N - 1 - i. All clips of a batch are mixed alike.

Legend: N clips, C channels, T frames, H x W pixels, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from slowfast.config.node import CfgNode
from slowfast.errors import UserError
from slowfast.multigrid import Schedule
from slowfast.utils.world import clips_per_video

MIXING = 0x6D6978  # in the seed of the draws, where other seeds have a rank or an epoch


class Draw(NamedTuple):
    """How the clips of a batch are mixed.

    `share` of a clip stays, the rest comes from its partner. `center` is that of the box in which cutmix takes all from
    the partner, (y, x) in [0, 1) of height and width; None: mixup, everywhere.
    """

    share: float
    center: tuple[float, float] | None = None


class Mixed(NamedTuple):
    """A batch as the model and the loss take it, and what its accuracy is judged by.

    The `pathways` are N x C x T x H x W each, the `targets` N x K or the labels. `labels` are the classes with the
    largest part in each clip, `others` those of the rest; None: there is no rest.
    """

    pathways: list[Tensor]
    targets: Tensor
    labels: Tensor
    others: Tensor | None = None

    def judged(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and labels for the accuracy: the score of the other class is added to that of the first."""
        if self.others is None:
            return scores, self.labels
        first, other = self.labels[:, None], self.others[:, None]
        both = scores.gather(1, first) + scores.gather(1, other)
        joined = scores.scatter(1, other, -inf).scatter(1, first, both)
        return torch.where(first == other, scores, joined), self.labels


Mix = Callable[[list[Tensor], Tensor, int], Mixed]  # from pathways, labels and the number of the iteration


def unmixed(pathways: list[Tensor], labels: Tensor, iteration: int) -> Mixed:
    """Return the batch as it is."""
    return Mixed(pathways, labels, labels)


@dataclass(frozen=True)
class Mixing:
    """Mixes batches, each by draws that depend on the seed and the number of its iteration only. All ranks mix alike.

    Args:
        num_classes: K.
        prob: probability that a batch is mixed.
        switch_prob: probability of cutmix where both are on.
        alpha, cutmix_alpha: the share of mixup, of cutmix, is drawn from Beta(alpha, alpha); 0: it is off.
        smoothing: part of every target that is spread evenly over the K classes.
    """

    num_classes: int
    prob: float = 1.0
    switch_prob: float = 0.5
    alpha: float = 0.8
    cutmix_alpha: float = 1.0
    smoothing: float = 0.1
    seed: int = 1

    def __call__(self, pathways: list[Tensor], labels: Tensor, iteration: int) -> Mixed:
        return mix(pathways, labels, self.draw(iteration), self.num_classes, self.smoothing)

    def draw(self, iteration: int) -> Draw:
        """Return how the batch of an iteration is mixed."""
        rng = np.random.default_rng([self.seed, MIXING, iteration])
        if rng.random() >= self.prob:
            return Draw(1.0)
        is_cutmix = rng.random() < self.switch_prob if self.alpha and self.cutmix_alpha else self.cutmix_alpha > 0
        alpha = self.cutmix_alpha if is_cutmix else self.alpha
        share = float(rng.beta(alpha, alpha))
        return Draw(share, (float(rng.random()), float(rng.random())) if is_cutmix else None)


def mix(pathways: list[Tensor], labels: Tensor, draw: Draw, num_classes: int, smoothing: float = 0.0) -> Mixed:
    """Return float pathways, N x C x T x H x W, and N labels as `draw` mixes them. The arguments do not change.

    The box of cutmix is cut off at the borders, and the share of a clip becomes what the box leaves of its pixels; with
    pathways of several sizes, of the first.
    """
    if draw.center is None:
        share, pathways = draw.share, [blend(x, draw.share) for x in pathways]
    else:
        boxes = [box_of(draw, *x.shape[-2:]) for x in pathways]
        share = share_outside(boxes[0], *pathways[0].shape[-2:])
        pathways = [paste(x, box) for x, box in zip(pathways, boxes, strict=True)]
    targets = smoothed(labels, num_classes, smoothing)
    if share == 1:
        return Mixed(pathways, targets, labels)
    most, rest = (labels, labels.flip(0)) if share >= 0.5 else (labels.flip(0), labels)
    return Mixed(pathways, share * targets + (1 - share) * targets.flip(0), most, rest)


def blend(x: Tensor, share: float) -> Tensor:
    """Return the weighted means of clips and their partners."""
    return x if share == 1 else share * x + (1 - share) * x.flip(0)


class Box(NamedTuple):
    """Rows `top` to `bottom` and columns `left` to `right`, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int


def box_of(draw: Draw, height: int, width: int) -> Box:
    """Return the box of cutmix in clips of this size. Uncut, it has the area that the share leaves."""
    assert draw.center is not None
    side, (y, x) = sqrt(1 - draw.share), draw.center
    return Box(*_ends(height, side, y), *_ends(width, side, x))


def _ends(length: int, side: float, center: float) -> tuple[int, int]:
    """Return where a part of `side` times `length` pixels around a pixel begins and ends, within the clip."""
    middle, half = int(center * length), int(side * length) // 2
    return max(middle - half, 0), min(middle + half, length)


def share_outside(box: Box, height: int, width: int) -> float:
    """Return the share of the pixels that are not in the box."""
    return 1 - (box.bottom - box.top) * (box.right - box.left) / (height * width)


def paste(x: Tensor, box: Box) -> Tensor:
    """Return clips with the pixels of their partners in the box, in all frames."""
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    pasted = x.clone()
    pasted[..., rows, columns] = x[..., rows, columns].flip(0)
    return pasted


def smoothed(labels: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return targets, N x K: 1 - s + s / K for the class of a label and s / K for the others."""
    others = smoothing / num_classes
    targets = torch.full((len(labels), num_classes), others, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1 - smoothing + others)


def build_mixing(cfg: CfgNode) -> Mix:
    """Return the function that mixes batches as MIXUP has it. Raise UserError where it does not suit other keys."""
    node = cfg.MIXUP
    if not node.ENABLE:
        return unmixed
    if cfg.DATA.MULTI_LABEL:
        raise UserError(
            "MIXUP.ENABLE: True is for videos of one class each, and DATA.MULTI_LABEL is True; set MIXUP.ENABLE False"
        )
    if cfg.MODEL.LABEL_SMOOTHING:
        raise UserError(
            f"MODEL.LABEL_SMOOTHING: {cfg.MODEL.LABEL_SMOOTHING} would smooth the labels beside "
            f"MIXUP.LABEL_SMOOTH_VALUE {node.LABEL_SMOOTH_VALUE}; set it to 0"
        )
    if node.PROB and not (node.ALPHA or node.CUTMIX_ALPHA):
        raise UserError(
            f"MIXUP.PROB: {node.PROB} has nothing to mix by with MIXUP.ALPHA 0 and MIXUP.CUTMIX_ALPHA 0; raise one of "
            "them, or set MIXUP.PROB 0"
        )
    return Mixing(
        num_classes=cfg.MODEL.NUM_CLASSES,
        prob=node.PROB,
        switch_prob=node.SWITCH_PROB,
        alpha=node.ALPHA,
        cutmix_alpha=node.CUTMIX_ALPHA,
        smoothing=node.LABEL_SMOOTH_VALUE,
        seed=cfg.RNG_SEED,
    )


def check_pairs(cfg: CfgNode, schedule: Schedule) -> None:
    """Raise UserError if clips are mixed and a batch of the schedule, or its part, has a single one."""
    if not (cfg.MIXUP.ENABLE and cfg.MIXUP.PROB):
        return
    for phase in schedule.phases:
        for shape in phase.shapes:
            if shape.batch_size * clips_per_video(cfg) // phase.parts < 2:
                raise UserError(
                    f"MIXUP.PROB: {cfg.MIXUP.PROB} mixes the clips of a batch with each other, and at {shape.frames} "
                    f"frames x {shape.crop} px a device has one clip at a time; raise TRAIN.BATCH_SIZE to 2 or more "
                    "for each of NUM_GPUS and each part of SOLVER.ACCUMULATE, or set MIXUP.PROB 0"
                )
