"""The end of a training whose evaluations no longer improve."""

import logging
from collections.abc import Mapping

from slowfast.config.node import CfgNode
from slowfast.errors import UserError
from slowfast.utils.distributed import all_gather_object
from slowfast.utils.training_meters import accuracy_text

logger = logging.getLogger(__name__)


def check_early_stop(cfg: CfgNode) -> None:
    """Raise UserError where there is no evaluation for TRAIN.EARLY_STOP."""
    if cfg.TRAIN.EARLY_STOP and not cfg.TRAIN.EVAL_PERIOD:
        raise UserError(
            f"TRAIN.EARLY_STOP: {cfg.TRAIN.EARLY_STOP} counts evaluations, and TRAIN.EVAL_PERIOD 0 has none; "
            "set TRAIN.EVAL_PERIOD to the epochs between evaluations"
        )


def stops_early(patience: int, without_gain: int, best: Mapping[str, float]) -> bool:
    """Return whether the last `patience` evaluations, of `without_gain` since the `best`, were not better; 0: never.

    All ranks call this together, and rank 0 decides.
    """
    if not patience or not all_gather_object(without_gain >= patience)[0]:
        return False
    logger.info(
        "stopped early (TRAIN.EARLY_STOP %d): the last %d evaluations were not better than the best one, %s after "
        "epoch %d. With a higher TRAIN.EARLY_STOP the same command continues",
        *(patience, without_gain, accuracy_text(best), best["epoch"]),
    )
    return True
