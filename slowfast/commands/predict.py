"""Predict the classes of videos with a trained model.

%(prog)s runs/mine video.mp4 folder_of_videos
%(prog)s runs/mine long.mp4 --window 4 --step 2 --csv scores.csv --plot scores.png
%(prog)s runs/mine video.mp4 --annotate annotated.mp4 --gradcam archery where.mp4

CHECKPOINT is a file, or the folder of a run, whose last checkpoint is taken. The confidence of a class is the score of
one view, on average over all views. A video that cannot be read gets a line with the reason, and the others are done.
Exit status: 1 if there is such a video, 2 for a mistake in the command.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import torch

from slowfast.datasets.files import one_line
from slowfast.datasets.scan import listed_paths
from slowfast.datasets.video import VideoError
from slowfast.errors import UserError
from slowfast.inference import VideoModel
from slowfast.inference.drawing import drawable
from slowfast.inference.gradcam import class_number
from slowfast.inference.options import add_model_options, add_view_options, check_output, load_model, num_workers
from slowfast.inference.rendering import annotate, render_gradcam
from slowfast.inference.reports import CsvReport, JsonReport, Report, Row, Table, opened
from slowfast.utils.parser import fail_cleanly, parse_args, positive
from slowfast.utils.suffixes import IMAGE_SUFFIXES
from slowfast.visualization.scores import plot_scores
from slowfast.visualization.style import COLORS, require_matplotlib

END_OF_CYRILLIC = "\u0530"
FIGURES = (".png", ".svg", ".pdf")
OF_ONE_VIDEO = ("plot", "annotate", "gradcam")


@fail_cleanly()
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv, make_parser())
    paths = [path for video in args.videos for path in (listed_paths(video) if os.path.isdir(video) else [video])]
    check_options(args, len(paths))
    model = load_model(args)
    label = class_number(args.gradcam[0], model.class_names) if args.gradcam else 0
    rows = report(model, paths, args)
    if any(row.error for row in rows):
        return 1
    if len(paths) == 1:
        draw(model, rows, label, args)
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("videos", metavar="VIDEO", nargs="+", help="video files, and folders of them")
    add_view_options(parser)
    parser.add_argument("--top", type=positive, default=5, help="classes to show (5)")
    parser.add_argument("--json", metavar="FILE", help="write a JSON file; - prints JSON instead of the table")
    parser.add_argument("--csv", metavar="FILE", help="write a CSV file; - prints CSV instead of the table")
    over_time = parser.add_argument_group("over time")
    over_time.add_argument("--window", type=float, metavar="SECONDS", help="predict every part of this length")
    over_time.add_argument("--step", type=float, metavar="SECONDS", help="from one part to the next (half a window)")
    over_time.add_argument("--plot", metavar="PNG", help="draw the confidences over time; needs matplotlib")
    shown = parser.add_argument_group("videos of one VIDEO")
    shown.add_argument("--annotate", metavar="MP4", help="write the video with its classes, those of each --window")
    shown.add_argument(
        "--gradcam",
        nargs=2,
        metavar=("CLASS", "MP4|PNG"),
        help="write where a class, a name or a number, is seen (Grad-CAM)",
    )
    return parser


def check_options(args: argparse.Namespace, num_videos: int) -> None:
    """Raise UserError for options that do not go together, and for files that cannot be written."""
    for name in ("step", "plot"):
        if getattr(args, name) is not None and args.window is None:
            raise UserError(f"--{name} is for predictions over time: give --window SECONDS too")
    for name in OF_ONE_VIDEO:
        if getattr(args, name) and num_videos > 1:
            raise UserError(f"--{name} is for one video, and {num_videos} were given")
    if args.json == args.csv == "-":
        raise UserError("--json - and --csv - would print into each other: give one of them a file")
    check_outputs(args)


def check_outputs(args: argparse.Namespace) -> None:
    """Raise UserError for figures and videos that cannot be written."""
    if args.plot:
        require_matplotlib("--plot")
    outputs = [("--plot", args.plot, FIGURES), ("--annotate", args.annotate, (".mp4",))]
    outputs += [("--gradcam", args.gradcam and args.gradcam[1], (".mp4", *IMAGE_SUFFIXES))]
    for option, path, suffixes in outputs:
        if path:
            check_output(option, path, suffixes)


def report(model: VideoModel, paths: Sequence[str], args: argparse.Namespace) -> list[Row]:
    """Predict the videos, and print or write each result when it is known.

    Return the results with errors, and all results of a single video, which can be drawn.
    """
    kept = []
    with ExitStack() as stack:
        reports = open_reports(model, paths, args, stack)
        for row in predictions(model, paths, args):
            if row.error or len(paths) == 1:
                kept.append(row)
            for one in reports:
                one.add(row)
        for one in reports:
            one.close()
    return kept


def open_reports(model: VideoModel, paths: Sequence[str], args: argparse.Namespace, stack: ExitStack) -> list[Report]:
    reports: list[Report] = []
    if args.json:
        reports.append(JsonReport(stack.enter_context(opened(args.json, "--json")), args.top))
    if args.csv:
        file = stack.enter_context(opened(args.csv, "--csv"))
        reports.append(CsvReport(file, args.top, model.class_names, args.window is not None))
    return reports if "-" in (args.json, args.csv) else [Table(paths, args.top), *reports]


def predictions(model: VideoModel, paths: Sequence[str], args: argparse.Namespace) -> Iterator[Row]:
    """Yield the results of all videos, or of their parts."""
    if args.window is not None:
        for path in paths:
            yield from over_time(model, path, args)
        return
    results = model.stream(paths, model.scores, args.views, args.crops, num_workers(args, len(paths)))
    for path, result in zip(paths, results, strict=True):
        prediction = None if result.scores is None else model.prediction(result.scores)
        yield Row(path, prediction, error=result.error.partition("\t")[2])


def over_time(model: VideoModel, path: str, args: argparse.Namespace) -> Iterator[Row]:
    """Yield the results of the parts of a video, and the error where reading it ends."""
    try:
        for start, end, prediction in model.windows(path, args.window, args.step, args.views, args.crops):
            yield Row(path, prediction, (start, end))
    except VideoError as error:
        yield Row(path, error=str(error).removeprefix(f"{one_line(path)}: "))


def draw(model: VideoModel, rows: Sequence[Row], label: int, args: argparse.Namespace) -> None:
    """Write the figure and the videos that the options ask for, and print their names."""
    path = rows[0].path
    if args.plot:
        plot_scores([row.span for row in rows if row.span], curves(rows, args.top), os.path.basename(path), args.plot)
    if args.annotate:
        annotate(model, path, rows, args.top, args.annotate)
    if args.gradcam:
        render_gradcam(model, path, label, args.gradcam[1])
    for file in filter(None, (args.plot, args.annotate, args.gradcam and args.gradcam[1])):
        print(f"saved {file}", file=sys.stderr)  # not into the JSON or CSV of --json - and --csv -


def curves(rows: Sequence[Row], top: int) -> dict[str, list[float]]:
    """Return the confidences over time of the classes that are highest at some time."""
    matrix = torch.stack([row.prediction.confidences for row in rows if row.prediction is not None])
    names = next(row.prediction.class_names for row in rows if row.prediction is not None)
    chosen = matrix.amax(0).topk(min(top, len(names), len(COLORS))).indices.tolist()
    return {for_figures(names[number], number): matrix[:, number].tolist() for number in chosen}


def for_figures(name: str, number: int) -> str:
    """Return the name of a class in the scripts that the font of figures has: Latin, Greek and Cyrillic."""
    return name if max(name) < END_OF_CYRILLIC else drawable(name, number)
