"""A learner: a model that takes training steps.

Legend: N clips, T frames, H x W pixels, C channels, K classes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slowfast.config.node import CfgNode
from slowfast.datasets.pathways import Clips, each
from slowfast.engine.compilation import compiled
from slowfast.engine.evaluation import predictor, to_device
from slowfast.engine.memory import memory_errors_name
from slowfast.engine.mixing import Mix, build_mixing, unmixed
from slowfast.engine.precise_bn import in_groups, update_statistics
from slowfast.engine.precision import Precision
from slowfast.engine.step_time import Moment, moment
from slowfast.engine.weight_average import WeightAverage
from slowfast.errors import UserError
from slowfast.models import build_model
from slowfast.models.freeze import freeze
from slowfast.models.losses import build_loss
from slowfast.models.outputs import require_scores
from slowfast.multigrid import average_statistics, regroup, running_statistics
from slowfast.optim.build import clip_gradients, construct_optimizer
from slowfast.optim.lr_policy import set_lr
from slowfast.utils.distributed import (
    all_gather,
    average_gradients,
    get_rank,
    get_world_size,
    sync_group,
    without_averaging,
    wrap,
)

TRAINING_CURES = (
    "lower TRAIN.BATCH_SIZE and SOLVER.BASE_LR with it, raise SOLVER.ACCUMULATE (a batch in that many parts), use more "
    "GPUs (NUM_GPUS), set TRAIN.MIXED_PRECISION True, or lower DATA.NUM_FRAMES or DATA.TRAIN_CROP_SIZE"
)
STATISTICS_CURES = "lower TRAIN.BATCH_SIZE and SOLVER.BASE_LR with it, or set BN.USE_PRECISE_STATS False"

PackArguments = tuple[Any, ...]  # of `pack`: the clips, and boxes of random erasing if there are any


class Step(NamedTuple):
    """The results of a training step: tensors on the device, the learning rate, and when its parts began and ended.

    Of mixed clips, `labels` are the classes with the largest part, and their scores have those of the rest added.
    """

    loss: Tensor
    scores: Tensor
    labels: Tensor
    lr: float
    moments: tuple[Moment, ...] = ()


class Learner:
    """A model with all that a training step needs. It works in any loop:

        learner = Learner(model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1), pack)
        step = learner.step({"clip": clips, "label": labels}, lr=0.1)

    Args:
        model: maps the result of `pack` to scores, N x K. It is on the device of `precision`.
        loss: maps float32 scores and labels to the mean loss.
        optimizer: updates the parameters of `model`.
        pack: maps uint8 clips on the device, N x T x H x W x C, to the input of the model.
        precision: number format and device; default: full precision on the CPU.
        clip_value, clip_l2norm: clip the gradients, each number or their norm; None or 0: not.
        parts: a batch is trained in so many parts, one after the other, before the parameters change.
        ema_decay: average the weights with this decay, for evaluation (see WeightAverage); 0: not.
        mix: mixes the clips of a part with each other, and makes their targets (see Mixing); default: not.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        pack: Callable[..., list[Tensor]],
        precision: Precision | None = None,
        *,
        clip_value: float | None = None,
        clip_l2norm: float | None = None,
        parts: int = 1,
        ema_decay: float = 0.0,
        mix: Mix = unmixed,
    ):
        self.model, self.loss, self.optimizer, self.pack = model, loss, optimizer, pack
        self.precision = precision or Precision(torch.device("cpu"), mixed=False)
        self.scaler = self.precision.scaler()
        self.clip_value, self.clip_l2norm, self.parts = clip_value, clip_l2norm, parts
        self.average, self.mix = WeightAverage(model, ema_decay), mix
        self._net = model
        if self.scaler.is_enabled():
            _zero_momenta(optimizer)

    @classmethod
    def from_cfg(cls, cfg: CfgNode, device: torch.device) -> "Learner":
        """Build the model, the loss and the optimizer of `cfg`."""
        precision = Precision(device, cfg.TRAIN.MIXED_PRECISION)
        model = precision.place(require_scores(build_model(cfg), cfg))
        freeze(model, cfg.MODEL.FREEZE)
        return cls(
            model,
            build_loss(cfg),
            construct_optimizer(model, cfg),
            precision.pack(cfg),
            precision,
            clip_value=cfg.SOLVER.CLIP_GRAD_VAL,
            clip_l2norm=cfg.SOLVER.CLIP_GRAD_L2NORM,
            parts=cfg.SOLVER.ACCUMULATE,
            ema_decay=cfg.SOLVER.EMA_DECAY,
            mix=build_mixing(cfg),
        )

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.precision.device

    def join_ranks(self, compile: bool = False) -> None:
        """Take the weights of rank 0. With `compile`, the training step is compiled for each shape of clips."""
        self._net = compiled(wrap(self.model), compile)
        self.average.start()

    def start_phase(self, bn_groups: int, bn_sync_ranks: int = 1) -> None:
        """Enter training mode, with batch norm in groups of clips or over several ranks."""
        self._net.train()
        regroup(self.model, bn_groups, sync_group(bn_sync_ranks))

    def step(self, batch: Mapping[str, Any], lr: float, iteration: int = 0) -> Step:
        """Train on a batch, `clip` as `pack` takes it and `label`. The host does not wait for the device.

        With random erasing, `erased` is the second argument of `pack`. `iteration` is the number of the step in the
        training, on which depends how clips are mixed.
        """
        with memory_errors_name(batch["clip"], TRAINING_CURES):
            return self._step(batch, lr, iteration)

    def _step(self, batch: Mapping[str, Any], lr: float, iteration: int) -> Step:
        set_lr(self.optimizer, lr)
        start = moment(self.device)
        arguments, labels = self._on_device(batch)
        transferred = moment(self.device)
        loss, scores, labels = self._backward(arguments, labels, iteration)
        average_gradients(self.model)
        differentiated = moment(self.device)
        self.scaler.unscale_(self.optimizer)
        clip_gradients(self.model.parameters(), self.clip_value, self.clip_l2norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update()
        moments = (start, transferred, differentiated, moment(self.device))
        return Step(loss, scores, labels, lr, moments)

    def _on_device(self, batch: Mapping[str, Any]) -> tuple[PackArguments, Tensor]:
        """Return the arguments of `pack`, of which boxes of random erasing stay on the host, and the labels."""
        boxes = (batch["erased"],) if "erased" in batch else ()
        clips = to_device(batch["clip"], self.device)
        return (clips, *boxes), batch["label"].to(self.device, non_blocking=True)

    def backward(self, batch: Mapping[str, Any]) -> None:
        """Compute the gradients of the mean loss of a batch."""
        self._backward(*self._on_device(batch))

    def _backward(self, arguments: PackArguments, labels: Tensor, iteration: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the gradients of the mean loss, part by part. Return the loss, the scores and their labels.

        Part p of k has the clips p, p + k, ... A group of batch norm then has the same clips as without parts, if the
        groups of the parts together are as many. Clips are mixed within a part, all parts alike.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total = len(labels)
        count = min(self.parts, total)
        results = []
        for part in range(count):
            is_last = part == count - 1
            with nullcontext() if is_last else without_averaging(self._net):
                of_part = tuple(each(itemgetter(slice(part, None, count)), argument) for argument in arguments)
                results.append(self._backward_part(of_part, labels[part::count], total, iteration))
        losses, *columns = (list(column) for column in zip(*results, strict=True))
        scores, labels = map(torch.cat, columns)
        return torch.stack(losses).sum(), scores, labels

    def _backward_part(
        self, arguments: PackArguments, labels: Tensor, total: int, iteration: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Add the gradients of a part of a batch of `total` clips. Return its share of the loss, scores and labels."""
        with memory_errors_name(arguments[0], TRAINING_CURES):
            mixed = self.mix(self.pack(*arguments), labels, iteration)
            with self.precision.autocast():
                scores = self._net(mixed.pathways)
            loss = self.loss(scores.float(), mixed.targets) * (len(labels) / total)
            self.scaler.scale(loss).backward()
        return loss.detach(), *mixed.judged(scores.detach())

    def predictor(self) -> Callable[[Clips], Tensor]:
        """Enter evaluation mode, and return a function from clips on the host to scores."""
        return predictor(self.average.averaged.eval(), self.precision, self.pack)

    def average_statistics(self) -> None:
        """Average the running statistics of batch norm over ranks."""
        average_statistics(self.model)
        self.average.take_buffers()

    @contextmanager
    def averaged_statistics(self) -> Iterator[Tensor]:
        """Average the running statistics over ranks within this context. Yield those of every rank, W x S."""
        none = torch.zeros(0, device=self.device)  # NCCL takes tensors of the GPU only
        own = torch.cat([none, *(statistic.flatten() for statistic in running_statistics(self.model))])
        self.average_statistics()
        of_ranks = all_gather([own[None]])[0]
        yield of_ranks
        self.take_statistics(of_ranks)

    def take_statistics(self, of_ranks: Tensor) -> None:
        """Set the running statistics to this rank's row of `of_ranks`, W x S."""
        statistics = running_statistics(self.model)
        expected = get_world_size(), sum(statistic.numel() for statistic in statistics)
        if of_ranks.shape != expected:
            raise UserError(
                f"the checkpoint is damaged: its rank_statistics are {tuple(of_ranks.shape)} numbers, not {expected}"
            )
        row = of_ranks[get_rank()].to(self.device)
        for statistic, values in zip(statistics, row.split([s.numel() for s in statistics]), strict=True):
            statistic.copy_(values)

    def recompute_statistics(self, clips: Iterable[Clips], bn_groups: int = 1, bn_sync_ranks: int = 1) -> None:
        """Compute the running statistics of batch norm anew over batches of clips, in the groups of the training.

        With a decay they are those of the averaged weights, which are evaluated.
        """
        self.average_statistics()
        regroup(self.average.averaged, 1, sync_group(bn_sync_ranks))
        update_statistics(self.average.averaged, in_groups(clips, bn_groups), self._forward)

    def _forward(self, clips: Clips) -> Tensor:
        with memory_errors_name(clips, STATISTICS_CURES), self.precision.autocast():
            return self.average.averaged(self.pack(to_device(clips, self.device)))


def _zero_momenta(optimizer: torch.optim.Optimizer) -> None:
    """Start the momenta of SGD at zero.

    Fused SGD (torch 2.13) allocates them without initialization in its first step. If the scaler skips this step, they
    stay so, and the next step reads them. With SOLVER.DAMPENING, the first step is damped like all others.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"] if group.get("momentum") else ():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
