"""Data sets of video clips and their labels. Importing the package registers the data sets."""

from slowfast.datasets import charades, folder, kinetics, splits, ssv2  # noqa: F401 (they register themselves)
from slowfast.datasets.build import DATASET_REGISTRY, build_dataset

__all__ = ["DATASET_REGISTRY", "build_dataset"]
