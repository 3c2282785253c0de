"""The options of command lines that use a model."""

import argparse
import os
from collections.abc import Sequence

from slowfast.errors import UserError
from slowfast.inference.load import load
from slowfast.inference.model import VideoModel

MOST_WORKERS = 4


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add CHECKPOINT and the options of `load`."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file, or the folder of a run")
    parser.add_argument("--cfg", metavar="YAML", help="for a checkpoint without its config")
    parser.add_argument("--class-names", metavar="FILE", help="for a checkpoint without class names")
    parser.add_argument("--device", help="such as cpu or cuda:1 (the GPU if there is one)")
    parser.add_argument("--opts", nargs="*", metavar="KEY VALUE", help="keys to change; --opts itself is optional")


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `VideoModel.stream`."""
    parser.add_argument("--views", type=int, help="clips of a video (TEST.NUM_ENSEMBLE_VIEWS), or of a --window")
    parser.add_argument("--crops", type=int, choices=(1, 3), help="crops of a clip (TEST.NUM_SPATIAL_CROPS)")
    parser.add_argument(
        "--workers", type=int, help=f"processes that read several videos (one per core, at most {MOST_WORKERS})"
    )


def load_model(args: argparse.Namespace) -> VideoModel:
    """Return the model of a command line."""
    return load(args.checkpoint, args.cfg, opts=args.opts, class_names=args.class_names, device=args.device)


def num_workers(args: argparse.Namespace, num_videos: int) -> int:
    """Return the number of processes that read videos; 0: the main process reads them."""
    default = min(os.cpu_count() or 1, MOST_WORKERS) if num_videos > 1 else 0
    return default if args.workers is None else args.workers


def check_output(option: str, path: str, suffixes: Sequence[str]) -> None:
    """Raise UserError for a file that cannot be written: of another format, or in a folder that does not exist."""
    if not path.lower().endswith(tuple(suffixes)):
        raise UserError(f"{option}: {path!r} must end in {' or '.join(suffixes)}")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UserError(f"{option}: the folder {folder!r} does not exist")
