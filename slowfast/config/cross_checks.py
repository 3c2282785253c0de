"""Checks of keys that must fit together and belong to no builder; `CHECKS` is the table that runs them."""

from slowfast.config.node import CfgNode
from slowfast.errors import UserError

FRAME_LIST_DATASETS = ("charades", "ssv2")  # their one-crop tests bring the short side to the crop itself


def refuse(key: str, value, problem: str, fix: str) -> None:
    """Raise the error that names key, value, problem and fix."""
    raise UserError(f"{key}: {value!r} {problem}; {fix}")


def check_train_space(cfg: CfgNode) -> None:
    """The training crop fits into every short side that can be drawn."""
    scales, crop = cfg.DATA.TRAIN_JITTER_SCALES, cfg.DATA.TRAIN_CROP_SIZE
    if len(scales) != 2 or scales[0] > scales[1]:
        refuse("DATA.TRAIN_JITTER_SCALES", scales, "is not a range", "give [lowest, highest] short side in px")
    if crop > scales[0]:
        problem = f"px is larger than the resized short side, {scales[0]} px in DATA.TRAIN_JITTER_SCALES {scales}"
        refuse("DATA.TRAIN_CROP_SIZE", crop, problem, f"give at most {scales[0]} or raise the scales")


def check_test_space(cfg: CfgNode) -> None:
    """The one crop of a test on video files fits into their short side."""
    crop, short_side = cfg.DATA.TEST_CROP_SIZE, cfg.DATA.TRAIN_JITTER_SCALES[0]
    resized_to_crop = cfg.TEST.NUM_SPATIAL_CROPS == 3 or cfg.TEST.DATASET.lower() in FRAME_LIST_DATASETS
    if cfg.TEST.ENABLE and not resized_to_crop and crop > short_side:
        problem = f"px is larger than the resized short side of one-crop tests, {short_side} px"
        fix = f"give at most {short_side}, raise DATA.TRAIN_JITTER_SCALES or set TEST.NUM_SPATIAL_CROPS 3"
        refuse("DATA.TEST_CROP_SIZE", crop, problem, fix)


CHECKS = (check_train_space, check_test_space)
