"""The end of a training whose evaluations no longer improve."""

import logging
from collections.abc import Iterable, Iterator
from typing import Protocol

from slowfast.config.node import CfgNode
from slowfast.errors import UserError
from slowfast.multigrid import Leg
from slowfast.utils.distributed import all_gather_object
from slowfast.utils.training_meters import accuracy_text

logger = logging.getLogger(__name__)


class Evaluated(Protocol):
    """The best accuracy so far, with its `epoch`, and the number of evaluations since."""

    best: dict[str, float]
    without_gain: int


def check_early_stop(cfg: CfgNode) -> None:
    """Raise UserError where there is no evaluation for TRAIN.EARLY_STOP."""
    if cfg.TRAIN.EARLY_STOP and not cfg.TRAIN.EVAL_PERIOD:
        raise UserError(
            f"TRAIN.EARLY_STOP: {cfg.TRAIN.EARLY_STOP} counts evaluations, and TRAIN.EVAL_PERIOD 0 has none; "
            "set TRAIN.EVAL_PERIOD to the epochs between evaluations"
        )


def until_early_stop(legs: Iterable[Leg], patience: int, evaluated: Evaluated) -> Iterator[Leg]:
    """Yield `legs` until the last `patience` evaluations were not better than the best one before; 0: all.

    All ranks iterate together, and rank 0 decides.
    """
    for leg in legs:
        if patience and all_gather_object(evaluated.without_gain >= patience)[0]:
            logger.info(
                "stopped early (TRAIN.EARLY_STOP %d): the last %d evaluations were not better than the best one, %s "
                "after epoch %d. With a higher TRAIN.EARLY_STOP the same command continues",
                *(patience, evaluated.without_gain, accuracy_text(evaluated.best), evaluated.best["epoch"]),
            )
            return
        yield leg
