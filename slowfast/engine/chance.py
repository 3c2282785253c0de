"""Warn of shapes of clips on which the network learns nothing, and of evaluations that are no better than guessing."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import sqrt

import torch
from torch import Tensor

from slowfast.engine.learner import Step
from slowfast.engine.scores import Scores
from slowfast.multigrid import Leg, Phase, Shape, phase_iterations
from slowfast.utils.distributed import all_reduce_sum, get_world_size
from slowfast.utils.program import program

logger = logging.getLogger(__name__)

AT_CHANCE = 0.98  # a mean loss of this share of chance, or more, shows no learning
ABOVE_CHANCE = 1.5  # times the share of the most frequent class: an accuracy that shows learning, whatever the loss
MIN_CLIPS = 100  # of a shape: the mean loss of fewer varies too much
MIN_CLIPS_PER_CLASS = 10  # the frequencies of the classes in fewer are too uneven
MIN_VIDEOS = 20  # of an evaluation: with fewer, a good network can look like guessing
DEVIATIONS = 2  # of the accuracy of guessing, up to which an accuracy is not better
EVALUATIONS = 3  # in a row, to warn


def chance_loss(frequencies: Iterable[float], multi_label: bool = False) -> float:
    """Return the loss of scores that only know how frequent each class is.

    This is ln K for K equally frequent classes, and less for others. With `multi_label` every class has a decision of
    its own, and the loss is the mean over classes.
    """
    p = torch.tensor(list(frequencies), dtype=torch.float64)
    if multi_label:
        return (torch.special.entr(p) + torch.special.entr(1 - p)).mean().item()
    return torch.special.entr(p).sum().item()


def shapes_at_chance(losses: Mapping[Shape, float], clips: Mapping[Shape, int], chance: float) -> dict[Shape, float]:
    """Return those of the mean `losses` that are at chance. Shapes with few clips are not judged."""
    return {shape: loss for shape, loss in losses.items() if clips[shape] >= MIN_CLIPS and loss >= AT_CHANCE * chance}


class ChanceGuard:
    """Warns at the end of a phase in whose second half the training loss of a shape was still at chance.

    A network that learns can have such a loss if it is confident where it is wrong, so its accuracy must be at chance
    too. The sums stay on the device, and ranks add theirs only at the end of a phase. A phase in which a training was
    stopped and resumed is not judged, since the sums of its first part are gone.

    Args:
        legs: the plan of the entire training.
        multi_label: a clip has a set of classes.
    """

    def __init__(self, legs: Sequence[Leg], multi_label: bool = False):
        self._iterations, self._multi_label = phase_iterations(legs), multi_label
        self._start(None)

    def watch(self, leg: Leg, i: int, step: Step) -> None:
        """Count iteration `i` of `leg`, and judge its phase if this is the last one. All ranks call this together."""
        if leg.phase != self._phase:
            self._start(leg.phase)
        self._done += 1
        if 2 * self._done > self._iterations[leg.phase]:
            self._add(leg.shape(i), step)
        if self._done == self._iterations[leg.phase]:
            self._judge(leg.phase)

    def _start(self, phase: Phase | None) -> None:
        self._phase, self._done = phase, 0
        self._sums: dict[Shape, Tensor] = {}  # of the loss and the accuracy
        self._steps: Counter[Shape] = Counter()
        self._clips: Counter[Shape] = Counter()
        self._labels = torch.zeros(())

    def _add(self, shape: Shape, step: Step) -> None:
        self._sums[shape] = self._sums.get(shape, 0) + torch.stack([step.loss, top1_accuracy(step)])
        self._steps[shape] += 1
        self._clips[shape] += len(step.labels)
        self._labels = self._labels + class_counts(step.labels, step.scores.shape[1])

    def _judge(self, phase: Phase) -> None:
        world, shapes = get_world_size(), list(self._sums)
        sums = all_reduce_sum(torch.stack([self._sums[shape] for shape in shapes])).tolist()
        clips = {shape: self._clips[shape] * world for shape in shapes}
        counts, total_clips = all_reduce_sum(self._labels).tolist(), sum(clips.values())
        guess = max(counts) / total_clips  # the accuracy of naming the most frequent class
        losses = {
            shape: loss / (self._steps[shape] * world)
            for shape, (loss, accuracy) in zip(shapes, sums, strict=True)
            if accuracy / (self._steps[shape] * world) <= ABOVE_CHANCE * guess
        }
        chance = chance_loss((count / total_clips for count in counts), self._multi_label)
        stuck = shapes_at_chance(losses, clips, chance)
        if stuck and total_clips >= MIN_CLIPS_PER_CLASS * len(counts):
            logger.warning(
                "from epoch %.2f to %.2f the training loss did not fall below chance, %.3g, for clips of %s: they may "
                "not show what distinguishes the classes (see them with %s), or the rate may be too "
                "high; lower SOLVER.BASE_LR, raise SOLVER.WARMUP_EPOCHS or, with multigrid, use fewer shapes in "
                "MULTIGRID.LONG_CYCLE_FACTORS",
                *(phase.start_epoch, phase.end_epoch, chance),
                ", ".join(f"{s.frames} x {s.crop} px (loss {loss:.3g})" for s, loss in stuck.items()),
                program("show-clips"),
            )


class EvaluationGuard:
    """Warns once, when EVALUATIONS evaluations in a row were no better than guessing.

    `advice(evaluations, result)` returns the message.
    """

    def __init__(self, advice: Callable[[int, str], str]):
        self._advice, self._in_a_row = advice, 0

    def watch(self, scores: Scores, accuracies: Mapping[str, float]) -> None:
        """Count the evaluation with these results."""
        result = like_guessing(scores, accuracies)
        self._in_a_row = self._in_a_row + 1 if result else 0
        if self._in_a_row == EVALUATIONS:
            logger.warning("%s", self._advice(EVALUATIONS, result))


def like_guessing(scores: Scores, accuracies: Mapping[str, float]) -> str:
    """Return accuracies as text, with those of guessing, if they are not better; "" if they are or cannot be judged."""
    labels = scores.labels
    if len(labels) < MIN_VIDEOS or not accuracies:
        return ""
    if labels.ndim == 2:
        positives = labels.double().mean(0)
        guess = positives[positives > 0].mean().item() if positives.any() else 1.0
        return _compared("map", accuracies["map"], guess, ABOVE_CHANCE * guess)
    guess = labels.bincount().max().item() / len(labels)
    limit = guess + DEVIATIONS * sqrt(guess * (1 - guess) / len(labels))
    return _compared("top1_acc", accuracies["top1_acc"] / 100, guess, limit)


def _compared(name: str, value: float, guess: float, limit: float) -> str:
    if guess >= 1 or value > limit:
        return ""
    return f"{name} {100 * value:.1f} %, and guessing has {100 * guess:.1f} %"


def top1_accuracy(step: Step) -> Tensor:
    """Return the share of clips whose first prediction is right; 0 for sets of labels."""
    if step.labels.ndim > 1:
        return torch.zeros_like(step.loss)
    return (step.scores.argmax(1) == step.labels).to(step.loss.dtype).mean()


def class_counts(labels: Tensor, num_classes: int) -> Tensor:
    """Return how often each class occurs in labels: numbers, N, or shares of every class, N x K."""
    if labels.is_floating_point():
        return labels.sum(0)
    ones = torch.ones(len(labels), device=labels.device)
    return torch.zeros(num_classes, device=labels.device).index_add(0, labels, ones)
