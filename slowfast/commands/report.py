"""Write one HTML page about a run, which needs no network: %(prog)s RUN [--out FILE.html].

RUN is the OUTPUT_DIR of a training or a test, which may still be running. Frames of videos with wrong predictions are
shown if the videos are where they were in the test.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from slowfast.config.compare import differences
from slowfast.config.defaults import get_cfg
from slowfast.config.node import CfgNode, shown
from slowfast.datasets.files import one_line
from slowfast.datasets.frame_media import read_image
from slowfast.datasets.video import Limits, VideoError, open_video
from slowfast.engine.bad_videos import BAD_VIDEOS
from slowfast.engine.schedule import build_baseline, build_schedule
from slowfast.errors import UserError, errors_name_output
from slowfast.optim.lr_policy import policy_rate
from slowfast.utils.logging import quiet
from slowfast.utils.parser import fail_cleanly
from slowfast.utils.result_files import CONFUSED_PAIRS, PER_CLASS, PREDICTIONS, read_table
from slowfast.utils.suffixes import IMAGE_SUFFIXES
from slowfast.visualization.logs import Run, read_run
from slowfast.visualization.plan import describe_plan, plan_header, plan_rows
from slowfast.visualization.report_page import Contents, Example, Table, render
from slowfast.visualization.style import require_matplotlib

FRAMES = 4  # of an example
FRAME_PX = 128  # short side of a frame of an example
ROWS = 10  # of the tables of classes
BAD_ROWS = 50
LIMITS = Limits(seconds=10.0)


@fail_cleanly()
def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    require_matplotlib("report")
    run = read_run(args.run)
    out = args.out or run.folder / "report.html"
    page = render(run, contents_of(run, args.examples))
    with errors_name_output(out, "--out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8", errors="backslashreplace")
    print(f"{out} ({len(page) / 1e6:.1f} MB)")
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="OUTPUT_DIR of a run")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the page (RUN/report.html)")
    parser.add_argument("--examples", metavar="N", type=int, default=12, help="wrong predictions to show (12)")
    return parser


def contents_of(run: Run, num_examples: int) -> Contents:
    """Return what a page shows of a run besides its figures."""
    wrong = wrong_predictions(read_table(run.folder / PREDICTIONS))
    schedule, notes = schedule_table(run)
    starts = run.of("start")
    return Contents(
        schedule=schedule,
        schedule_notes=notes,
        worst_classes=worst_classes(run.folder),
        confused_pairs=confused_pairs(run.folder),
        examples=[example_of(row) for row in wrong[:num_examples]],
        num_wrong=len(wrong),
        bad_videos=bad_videos(run.folder),
        changed_keys=None if run.cfg is None else changed_keys(run.cfg),
        environment={name: value for name, value in run.start.items() if name not in ("_type", "time", "clip_costs")},
        starts=[str(record.get("time")) for record in starts],
    )


def schedule_table(run: Run) -> tuple[Table | None, Sequence[str]]:
    """Return the phases of a training as `slowfast plan` prints them, and notes about them."""
    videos, processes = run.start.get("videos"), run.start.get("processes", 1)
    if run.cfg is None or videos is None:
        return None, ["The plan is not known: the log does not have the number of videos, or there is no config."]
    try:
        with quiet():
            schedule, baseline = build_schedule(run.cfg), build_baseline(run.cfg)
            plan = describe_plan(schedule, baseline, policy_rate(run.cfg, schedule), videos, processes)
    except UserError as error:
        return None, [f"The plan cannot be made here: {error}"]
    return Table(plan_header(plan), plan_rows(plan, processes)), plan["warnings"]


def worst_classes(folder: Path) -> Table | None:
    """Return the classes with the lowest results of a test; None if it wrote none."""
    rows = read_table(folder / PER_CLASS)
    column = "top1_acc" if rows and "top1_acc" in rows[0] else "average_precision"
    known = [row for row in rows if row[column]]
    if not known:
        return None
    found = sorted((row for row in known if float(row[column]) < 100), key=lambda row: float(row[column]))
    head = {"top1_acc": "top-1", "average_precision": "average precision"}[column]
    table = [(row["name"], f"{row[column]}\u00a0%", row["videos"]) for row in found[:ROWS]]
    return Table(("class", head, "videos"), table, len(found))


def confused_pairs(folder: Path) -> Table:
    """Return the pairs of classes that a test confused most."""
    rows = read_table(folder / CONFUSED_PAIRS)
    table = [
        (r["label_name"], r["prediction_name"], r["videos"], f"{r['percent_of_label']}\u00a0%") for r in rows[:ROWS]
    ]
    return Table(("label", "prediction", "videos", "of the label"), table, len(rows))


def bad_videos(folder: Path) -> Table | None:
    """Return the videos that could not be read; None if there are none."""
    rows = read_table(folder / BAD_VIDEOS)
    return Table(("video", "error"), [(r["path"], r["error"]) for r in rows[:BAD_ROWS]], len(rows)) if rows else None


def changed_keys(cfg: CfgNode) -> Table:
    """Return the keys of a config that differ from the defaults."""
    rows = [(one.key, shown(one.there), shown(one.here)) for one in differences(get_cfg(), cfg)]
    return Table(("key", "default", "here"), rows, len(rows))


def wrong_predictions(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows of a table of predictions whose prediction is not a label, the highest score first."""
    wrong = [row for row in rows if row["label"] and row["prediction"] and row["prediction"] not in _labels(row)]
    return sorted(wrong, key=lambda row: -float(row["score"]))


def _labels(row: dict[str, str]) -> list[str]:
    return row["label"].split(",")


def example_of(row: dict[str, str]) -> Example:
    """Return a wrong prediction with frames of its video, or with the reason why there are none."""
    label, prediction = (row[f"{column}_name"] or row[column] for column in ("label", "prediction"))
    example = Example(one_line(row["path"]), label, prediction, row["score"])
    try:
        return replace(example, frames=[jpeg(frame) for frame in read_frames(Path(row["path"]))])
    except VideoError as error:
        return replace(example, note=f"the video cannot be read here: {error}")


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """Yield some RGB frames over the length of a video, or of a folder with one image for each frame.

    Raises VideoError.
    """
    if path.is_dir():
        images = sorted(
            (p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=lambda p: (len(p.name), p.name)
        )
        if not images:
            raise VideoError("the folder has no images")
        yield from (np.flip(read_image(str(images[i]), LIMITS), 2) for i in spread(len(images)))  # BGR -> RGB
        return
    with open_video(path, LIMITS) as video:
        scale = min(FRAME_PX / min(video.width, video.height), 1.0)
        size = max(round(scale * video.width), 1), max(round(scale * video.height), 1)
        yield from video.read(spread(video.num_frames), size)


def spread(length: int) -> list[int]:
    """Return the places of some frames, spread over a video of `length` frames."""
    return [int(length * (i + 0.5) / FRAMES) for i in range(FRAMES)]


def jpeg(frame: np.ndarray[Any, Any]) -> bytes:
    """Return a small JPEG file of an RGB frame."""
    height, width = frame.shape[:2]
    scale = min(FRAME_PX / min(height, width), 1.0)
    size = (max(round(scale * width), 1), max(round(scale * height), 1))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
