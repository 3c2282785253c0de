"""Write the features of many videos, the input of the last layer of a trained model, to one array.

%(prog)s runs/mine videos.csv features     a list of `path` or `path label` lines
%(prog)s runs/mine folder features         all video files in a folder

OUT gets features.npy, float32 of N x D, which numpy.load(..., mmap_mode="r") maps; paths.txt with the path of each row;
and errors.csv with the videos that cannot be read, whose rows are NaN. Features are averaged over positions and views.
The same command resumes after an interruption, and tries again what could not be read.
Exit status: 1 if there are such videos, 2 for a mistake in the command.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slowfast.datasets.files import one_line, stamp_of
from slowfast.datasets.lists.rows import Format, Labels
from slowfast.datasets.scan import listed_paths
from slowfast.inference import VideoModel
from slowfast.inference.feature_store import ERRORS, FeatureStore
from slowfast.inference.options import add_model_options, add_view_options, load_model, num_workers
from slowfast.utils.logging import is_progress_due, with_bar
from slowfast.utils.parser import add_list_options, fail_cleanly, parse_args
from slowfast.utils.run_lock import run_lock
from slowfast.utils.stop import INTERRUPTED


@fail_cleanly()
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv, make_parser())
    form = Format(args.separator, args.skip_rows, Labels.ANY)
    paths = list(listed_paths(args.list, form, args.prefix))
    model = load_model(args)
    with run_lock(args.out, "OUT"):
        store = FeatureStore(args.out, paths, source_of(model, paths, args))
        missing = store.missing()
        print(f"{len(paths)} videos, of which {len(paths) - len(missing)} are done already", flush=True)
        try:
            bad = extract(model, store, paths, missing, args)
        except KeyboardInterrupt:
            print("stopped; the same command resumes", file=sys.stderr)
            return INTERRUPTED
        path = store.finish()
    print(f"{len(paths) - bad} of {len(paths)} videos are in {path}" if path else "no video can be read")
    if bad:
        print(f"{bad} videos cannot be read: see {Path(args.out, ERRORS)}")
    return 1 if bad else 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("list", metavar="LIST", help="a list, or a folder of video files")
    parser.add_argument("out", metavar="OUT", help="the folder of the features: new, or one to be continued")
    add_view_options(parser)
    add_list_options(parser)
    return parser


def source_of(model: VideoModel, paths: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    """Return what the features depend on: the list, the weights and the keys of the config."""
    checkpoint = model.cfg.TEST.CHECKPOINT_FILE_PATH
    dataset = model.dataset(paths[:1], args.views, args.crops)
    listed = hashlib.sha1("\n".join(paths).encode("utf-8", "surrogateescape")).hexdigest()
    return {
        "list": [len(paths), listed],
        "checkpoint": [os.path.basename(checkpoint), *stamp_of(checkpoint)],
        "preprocessing": repr(dataset.grid),
        "data set": model.cfg.TEST.DATASET.lower(),
    }


def extract(
    model: VideoModel, store: FeatureStore, paths: Sequence[str], missing: Sequence[int], args: argparse.Namespace
) -> int:
    """Compute the missing features, and return the number of videos that cannot be read."""
    if not missing:
        return 0
    workers, bad = num_workers(args, len(missing)), 0
    results = model.stream([paths[i] for i in missing], model.clip_features, args.views, args.crops, workers)
    for done, (number, result) in enumerate(zip(missing, with_bar(results, len(missing), "video"), strict=True), 1):
        if result.scores is None:
            bad += 1
            error = result.error.partition("\t")[2]
            store.put_error(number, error)
            print(one_line(f"{paths[number]}: {error}"), flush=True)
        else:
            store.put(number, result.scores.mean(0).numpy())  # (V, D) -> (D,)
        if is_progress_due(done, len(missing)):
            print(f"{done} of {len(missing)} videos, {bad} cannot be read", flush=True)
    return bad
