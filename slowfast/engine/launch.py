"""A config's training and test, on all the processes that it asks for."""

from slowfast.datasets.build import build_dataset
from slowfast.engine.test_net import test
from slowfast.engine.train_net import train
from slowfast.utils.distributed import launch
from slowfast.utils.logging import setup_logging
from slowfast.utils.world import World


def run(cfg, init_method: str | None = None, with_training: bool = True, with_test: bool = True) -> None:
    """Train if TRAIN.ENABLE, then test if TEST.ENABLE."""
    setup_logging()
    with_training, with_test = with_training and cfg.TRAIN.ENABLE, with_test and cfg.TEST.ENABLE
    if with_training and with_test:
        build_dataset(cfg.TEST.DATASET, cfg, "test")  # a mistake in its list is told before the training, not after it
    world = World.from_cfg(cfg)
    if with_training:
        launch(train, (cfg,), world, init_method, cfg.DIST_BACKEND)
    if with_test:
        launch(test, (cfg,), world, init_method, cfg.DIST_BACKEND)
