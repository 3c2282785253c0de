"""Decode every video of a list, and report those that cannot be used.

%(prog)s LIST                        a list of `path label` lines, or a folder of video files
%(prog)s --cfg YAML [KEY VALUE ...]  the data sets of a config, lists of images included

The report has a line `path,error` for each bad video. Exit status: 1 if there is one, 2 for a mistake in the command.
It also builds the index of the videos, video_index.bin beside the lists, with which training opens them faster. Videos
that are in it and have not changed are not decoded again, so the same command resumes after an interruption.
"""

import argparse
import os
from contextlib import nullcontext

from slowfast.datasets.files import one_line
from slowfast.datasets.scan import Videos, scan, videos_of_config, videos_of_list, write_report
from slowfast.datasets.video import IndexWriter, Limits, index_writer, open_index
from slowfast.utils.logging import is_progress_due, with_bar
from slowfast.utils.parser import add_list_options, fail_cleanly, load_config, parse_args


@fail_cleanly()
def main(argv: list[str] | None = None) -> int:
    parser = make_parser()
    args = parse_args(argv, parser)
    if (args.list is None) == (args.cfg is None):
        parser.error("give a LIST or a --cfg")
    if args.cfg:
        videos = videos_of_config(load_config(args, args.cfg), args.splits)
    else:
        videos = videos_of_list(
            args.list, args.separator, args.prefix, args.skip_rows, Limits(args.max_seconds, args.max_pixels)
        )
    with nullcontext() if args.no_index else index_writer(videos.folder) as index:
        bad = find_bad(videos if args.again or args.no_index else videos.resumed(), args.workers, index)
    write_report(args.output, bad)
    if index is not None and (built := open_index(videos.folder)):
        print(f"{len(built)} videos are in the index {built.path}")
    print(f"{len(videos) - len(bad)} of {len(videos)} videos are fine; {len(bad)} are listed in {args.output}")
    return 1 if bad else 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", metavar="LIST", nargs="?")
    add_list_options(parser)
    parser.add_argument("--max-seconds", type=float, default=Limits.seconds, help="DATA.MAX_DECODE_SEC (60)")
    parser.add_argument("--max-pixels", type=int, default=Limits.pixels, help="of a frame: DATA.MAX_PIXELS")
    parser.add_argument("--cfg", metavar="YAML", help="a config file or a recipe")
    parser.add_argument("--splits", nargs="+", default=["train", "val", "test"], help="of the config's data sets")
    parser.add_argument("--output", default="bad_videos.csv", help="the report (bad_videos.csv)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (one per core)")
    parser.add_argument("--again", action="store_true", help="decode also videos that are in the index already")
    parser.add_argument("--no-index", action="store_true", help="check only: it takes less than half the time")
    return parser


def find_bad(videos: Videos, workers: int, index: IndexWriter | None) -> list[tuple[str, str]]:
    """Return (path, error) of the bad videos, and add the others to the index."""
    bad: list[tuple[str, str]] = []
    for done, (path, error) in enumerate(with_bar(scan(videos, workers, index), len(videos), "video"), start=1):
        if error:
            bad.append((path, error))
            print(one_line(f"{path}: {error}"), flush=True)
        if is_progress_due(done, len(videos)):
            print(f"{done} of {len(videos)} videos, {len(bad)} bad", flush=True)
    return bad
