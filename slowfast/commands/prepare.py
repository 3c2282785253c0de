"""Write small copies of a config's videos that are fast to decode: %(prog)s --cfg YAML OUT [KEY VALUE ...].

The copies have the few sizes that the training of the config asks for. Train with DATA.PREPARED_DIR OUT; the lists and
the videos are not changed. The same command resumes after an interruption, and adds new or changed videos.
"""

import argparse
import os
import shutil
import time
from collections.abc import Iterator

from slowfast.datasets.augment.clips import Augmentation
from slowfast.datasets.files import one_line, walk_videos
from slowfast.datasets.grid import SamplingGrid
from slowfast.datasets.ladder import choose_levels, level_shares, short_side_shares
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.prepare import Outcome, Preparation, prepare_all, prepared_entries, start_store
from slowfast.datasets.scan import Videos, media_of_config, scan, write_report
from slowfast.datasets.video import DEFAULT_LIMITS, SETTLED_SECONDS, Limits, index_writer
from slowfast.engine.schedule import build_schedule
from slowfast.errors import UserError
from slowfast.utils.logging import is_progress_due, with_bar
from slowfast.utils.parser import change_devices, fail_cleanly, load_config, parse_args
from slowfast.utils.run_lock import run_lock
from slowfast.utils.training_meters import clock_text

SAMPLE = 16  # videos that the estimate is made from


@fail_cleanly()
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv, make_parser())
    args.cfg_files, args.out = [args.cfg], os.path.abspath(args.out)
    change_devices(args)
    args.opts += ["DATA.PREPARED_DIR", ""]  # the sources are read, even if the config trains with copies
    cfg = load_config(args, args.cfg)
    ladder = print_levels(cfg)
    paths = source_paths(cfg, args.splits)
    prepare = Preparation(args.out, ladder, Limits(cfg.DATA.MAX_DECODE_SEC, cfg.DATA.MAX_PIXELS))
    with run_lock(args.out, "OUT"):
        start_store(args.out, ladder)
        return run(paths, prepare, args)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", help="the folder of the store: new, or one to be continued")
    parser.add_argument("--cfg", metavar="YAML", required=True, help="a config file or a recipe")
    parser.add_argument("--splits", nargs="+", default=["train", "val", "test"], help="whose videos are prepared (all)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    parser.add_argument("--num-devices", type=int, help="devices of a machine; default: NUM_GPUS")
    parser.add_argument("--estimate", action="store_true", help=f"stop after a sample of {SAMPLE} videos")
    return parser


def print_levels(cfg) -> list[int]:
    """Choose the levels for the training of a config, and print what each is for."""
    shares = short_side_shares(build_schedule(cfg), SamplingGrid.from_cfg(cfg), Augmentation.from_cfg(cfg))
    ladder = choose_levels(shares)
    print(f"training draws short sides from {min(shares)} to {max(shares)} px; the levels for them:")
    for level, share in level_shares(shares, ladder).items():
        print(f"{level:6} px: {share:6.1%} of the clips")
    return ladder


def source_paths(cfg, splits: list[str]) -> list[str]:
    """Return the absolute paths of the video files of a config, each once."""
    media = media_of_config(cfg, splits)
    if not all(isinstance(medium, VideoFiles) for medium in media):
        raise UserError(f"{cfg.TRAIN.DATASET} has videos that are not video files; only these can be prepared")
    return list(dict.fromkeys(os.path.abspath(medium.path_of(i)) for medium in media for i in range(len(medium))))


def run(paths: list[str], prepare: Preparation, args: argparse.Namespace) -> int:
    """Prepare the videos that are not prepared yet, first a sample of them. Return the exit status."""
    done = prepared_entries(args.out)
    missing = [path for path in paths if path not in done]
    print(f"{len(paths)} videos, of which {len(paths) - len(missing)} are prepared already")
    sample = dict.fromkeys(missing[:: -(-len(missing) // SAMPLE) or 1])
    rest = [path for path in missing if path not in sample]
    progress = Progress(len(missing))
    progress.follow(prepare_all(list(sample), prepare, args.workers))
    if rest:
        print_estimate(progress, len(rest), args)
    if not args.estimate:
        progress.follow(prepare_all(rest, prepare, args.workers))
        if progress.done:
            time.sleep(SETTLED_SECONDS)  # a file that has just been written may still change
        index_copies(args.out, args.workers)
    return progress.report(args.out)


def index_copies(out: str, workers: int) -> None:
    """Build the index of the copies, without those that are in it already."""
    copies = Videos([VideoFiles(walk_videos(out))], DEFAULT_LIMITS, out)
    with index_writer(out) as index:
        for path, error in with_bar(scan(copies.resumed(), workers, index), len(copies), "copy to index"):
            if error:
                print(one_line(f"{path}: {error}"), flush=True)


class Progress:
    """Counts and shows what has been prepared."""

    def __init__(self, total: int):
        self.total, self.done, self.num_bytes, self.cpu_sec = total, 0, 0, 0.0
        self.bad: list[tuple[str, str]] = []
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def follow(self, outcomes: Iterator[Outcome]) -> None:
        for outcome in with_bar(outcomes, self.total, "video", self.done):
            self.done += 1
            self.cpu_sec += outcome.cpu_sec
            self.num_bytes += outcome.entry.num_bytes if outcome.entry else 0
            if outcome.error:
                self.bad.append((outcome.path, outcome.error))
                print(one_line(f"{outcome.path}: {outcome.error}"), flush=True)
            if is_progress_due(self.done, self.total):
                print(f"{self.done} of {self.total} videos, {self.seconds:.0f} s", flush=True)

    def report(self, out: str) -> int:
        """Print what has been done, and write the list of the videos that cannot be read. Return the exit status."""
        if count := self.done - len(self.bad):
            each, minutes = self.num_bytes / 1e6 / count, self.cpu_sec / 60 * 1000 / self.done
            print(f"{count} videos prepared in {clock_text(self.seconds)}: {self.num_bytes / 1e9:.3g} GB")
            print(f"{each:.3g} MB a video, {minutes:.3g} CPU minutes for 1000 videos")
        bad_list = os.path.join(out, "bad_videos.csv")
        write_report(bad_list, self.bad)
        if self.bad:
            print(f"{len(self.bad)} videos cannot be prepared and are read from their own files: see {bad_list}")
        print(f"train with DATA.PREPARED_DIR {out}")
        return 1 if self.bad else 0


def print_estimate(progress: Progress, rest: int, args: argparse.Namespace) -> None:
    """Print what the other videos will take. Raises UserError where the disk has less space."""
    num_bytes = progress.num_bytes / progress.done * rest
    free = shutil.disk_usage(args.out).free
    print(
        f"estimate for {rest} more videos, from {progress.done}: {num_bytes / 1e9:.3g} GB (free: {free / 1e9:.3g} GB), "
        f"{clock_text(progress.seconds / progress.done * rest)} in {args.workers} processes",
        flush=True,
    )
    if num_bytes > free:
        raise UserError(f"OUT {args.out!r}: the disk has less space than the estimate; what is prepared stays")
