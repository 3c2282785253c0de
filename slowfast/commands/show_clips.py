"""Draw the clips that a network receives: %(prog)s --cfg YAML [--split train|val|test] [KEY VALUE ...].

The clips come from the loader of the training or the test, and pass through the same normalization and pathways, which
are undone for the pictures. For every shape of the training's schedule, or for every video of a validation or a test,
there is a contact sheet (PNG) and a video (MP4).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from slowfast.config.node import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.interfaces import SizedDataset
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.pathways import PackPathways
from slowfast.engine.schedule import build_schedule
from slowfast.engine.seen_clips import network_order, seen_clips, shown_names
from slowfast.errors import UserError
from slowfast.multigrid import ClipIndex, Shape, ShortCycleBatchSampler, build_plan, first_iterations
from slowfast.utils.logging import with_bar
from slowfast.utils.parser import argument_parser, fail_cleanly, load_config, parse_args, positive
from slowfast.utils.world import World, clips_per_video
from slowfast.visualization.clips import clip_video, contact_sheet
from slowfast.visualization.media_files import write_mp4, write_picture

FPS = 8  # of the videos
Part = tuple[str, str, list]  # name of its files, title, indices of its clips


@fail_cleanly()
def main(argv: list[str] | None = None) -> int:
    """Write the sheets and the videos of the command line's config."""
    args = parse_args(argv, make_parser())
    if len(args.cfg_files) > 1:
        raise UserError("--cfg: give one config")
    cfg = load_config(args)
    show(cfg, args.split, args.videos, Path(args.out or Path(cfg.OUTPUT_DIR) / "clips"))
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argument_parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="whose clips (train)")
    parser.add_argument("--videos", type=positive, default=4, metavar="N", help="videos of a shape or a split (4)")
    parser.add_argument("--out", metavar="DIR", help="folder of the pictures; default: OUTPUT_DIR/clips")
    return parser


def show(cfg: CfgNode, split: str, videos: int, out: Path) -> None:
    """Write a sheet and a video to `out` for every shape of the training, or for the videos of another split."""
    dataset = build_dataset(cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET, cfg, split)
    parts = list(PARTS[split](cfg, dataset, videos))
    pack, names = PackPathways.from_cfg(cfg), shown_names(cfg, dataset)
    loader = construct_loader(cfg, split, dataset, [indices for _, _, indices in parts])
    order = f"{network_order(dataset, pack)} channels"
    for (name, title, indices), batch in zip(parts, with_bar(loader, len(parts), "part"), strict=True):
        clips = seen_clips(batch, dataset, split, pack, names, indices)
        write_picture(out / f"{name}.png", contact_sheet(f"{title}, {order}", clips))
        write_mp4(out / f"{name}.mp4", clip_video(f"{title}, {order}", clips), FPS)
        print(f"{out / name}.png and .mp4: {title}, {order}", flush=True)


def _of_training(cfg: CfgNode, dataset: SizedDataset, videos: int) -> Iterator[Part]:
    """Yield the clips of the first videos in the first batch of every shape of the schedule."""
    schedule, world, repeats = build_schedule(cfg), World.from_cfg(cfg).size, clips_per_video(cfg)
    legs = build_plan(schedule, len(dataset), world)
    sampler = ShortCycleBatchSampler(legs, len(dataset), cfg.RNG_SEED, 0, world)
    first: dict[Shape, tuple[str, list[ClipIndex]]] = {}
    for kind, (leg, i) in first_iterations(legs).items():
        low, high = leg.phase.stride
        stride = f"stride {low}" if low == high else f"stride {low} to {high}"
        first.setdefault(kind.shape, (stride, sampler.batch(leg, i)[:videos]))
    for number, (shape, (stride, indices)) in enumerate(first.items(), start=1):
        text = f"{shape.batch_size}x{shape.frames}x{shape.crop}"
        clips = f"{shape.batch_size * repeats} clips x {shape.frames} frames x {shape.crop} px"
        yield f"train_{number:02}_{text}", f"training, shape {number} of {len(first)}: {clips}, {stride}", indices


def _of_validation(cfg: CfgNode, dataset: SizedDataset, videos: int) -> Iterator[Part]:
    """Yield the center clips of videos at equal distances in the list."""
    data = cfg.DATA
    title = f"validation: {data.NUM_FRAMES} frames x {data.TRAIN_CROP_SIZE} px, stride {data.SAMPLING_RATE}"
    yield "val", title, _videos(dataset, videos)


def _of_test(cfg: CfgNode, dataset: SizedDataset, videos: int) -> Iterator[Part]:
    """Yield all views of each of some videos at equal distances in the list."""
    data = cfg.DATA
    views = f"{cfg.TEST.NUM_ENSEMBLE_VIEWS} clips x {cfg.TEST.NUM_SPATIAL_CROPS} crops of a video"
    title = f"test: {views}, {data.NUM_FRAMES} frames x {data.TEST_CROP_SIZE} px, stride {data.SAMPLING_RATE}"
    for number, video in enumerate(_videos(dataset, videos), start=1):
        yield f"test_{number:02}", title, [video]


def _videos(dataset: SizedDataset, most: int) -> list[int]:
    """Return the numbers of at most `most` videos, at equal distances in the list, which is often sorted by class."""
    count = min(most, len(dataset))
    return [i * len(dataset) // count for i in range(count)]


PARTS = {"train": _of_training, "val": _of_validation, "test": _of_test}
