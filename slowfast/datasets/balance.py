"""The classes of the training videos, for DATA.CLASS_BALANCED."""

import logging

import numpy as np

from slowfast.config.node import CfgNode
from slowfast.datasets.interfaces import SizedDataset
from slowfast.errors import UserError

logger = logging.getLogger(__name__)

KEY = "DATA.CLASS_BALANCED"


def classes_to_balance(cfg: CfgNode, dataset: SizedDataset) -> np.ndarray | None:
    """Return the class of every video, or None if classes are not to be balanced.

    Raises UserError for sets of labels, and for a data set that does not know its labels.
    """
    if not cfg.DATA.CLASS_BALANCED:
        return None
    if cfg.DATA.MULTI_LABEL:
        raise UserError(f"{KEY}: True is for videos of one class each, and DATA.MULTI_LABEL is True; set one to False")
    classes = np.asarray(getattr(dataset, "labels", None))
    if classes.shape != (len(dataset),) or classes.dtype.kind not in "iu":
        raise UserError(
            f"{KEY}: True needs the labels of all videos: define the attribute `labels` of "
            f"{type(dataset).__name__}, a class number for each of the {len(dataset)} videos"
        )
    counts = np.bincount(classes)[np.unique(classes)]
    logger.info(
        "class-balanced sampling: each of %d classes, of %d to %d videos, has %.4g clips in an epoch, so a video is "
        "in it %.2g to %.2g times on average",
        *(len(counts), counts.min(), counts.max(), len(classes) / len(counts)),
        *(len(classes) / len(counts) / count for count in (counts.max(), counts.min())),
    )
    return classes
