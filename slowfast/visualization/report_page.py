"""The page that reports on a run: one HTML file with its pictures inside, which needs no network and no scripts.

Names of classes, paths and errors come from users' files: the template escapes every value.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import jinja2

from slowfast.utils.protocol import protocol_text
from slowfast.visualization.accuracy import in_percent
from slowfast.visualization.figures import comparison_figures, missing, run_figures
from slowfast.visualization.logs import Group, Run
from slowfast.visualization.report_template import TEMPLATE
from slowfast.visualization.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
CAPTIONS = {
    "accuracy_wall_clock": "Validation accuracy over the wall-clock time of the training, evaluations included.",
    "accuracy_iterations": "Validation accuracy over iterations.",
    "accuracy_epochs": "Validation accuracy over epochs.",
    "loss": "Loss and learning rate.",
    "batch_shape": "Shape of the batches.",
    "time_split": "Mean time of an iteration in each phase.",
    "confusion": "Confusion matrix of the test.",
    "per_class": "Results of the test by class.",
}
HEADS = {"top1_acc": "top-1", "top5_acc": "top-5", "map": "mAP"}


@dataclass(frozen=True)
class Table:
    """A table of a page: a header, rows, and how many rows there are in all if only the first ones are shown."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    total: int = 0

    @property
    def hidden(self) -> int:
        return max(self.total - len(self.rows), 0)


@dataclass(frozen=True)
class Example:
    """A video with a wrong prediction. `frames` are JPEG files; without any, `note` has the reason."""

    path: str
    label: str
    prediction: str
    score: str
    frames: Sequence[bytes] = ()
    note: str = ""


@dataclass(frozen=True)
class Contents:
    """What a page shows of a run besides its figures."""

    schedule: Table | None = None
    schedule_notes: Sequence[str] = ()
    worst_classes: Table | None = None
    confused_pairs: Table | None = None
    examples: Sequence[Example] = ()
    num_wrong: int = 0
    bad_videos: Table | None = None
    changed_keys: Table | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    starts: Sequence[str] = ()


def render(run: Run, contents: Contents) -> str:
    """Return the page of a run as HTML."""
    figures = comparison_figures([Group(run.name, (run,))]) | run_figures(run)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=printable, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE).render(
        run=run,
        folder=str(run.folder.resolve()),
        contents=contents,
        status=status(run),
        results=results(run),
        protocol=protocol(run),
        notes=missing(run),
        figures={name: Picture(picture_uri(figure), CAPTIONS[name]) for name, figure in figures.items()},
        jpeg=lambda data: data_uri(data, "image/jpeg"),
        now=now,
    )


def printable(value: Any) -> Any:
    """Return a value for the page. Control characters of a text become question marks in a diamond."""
    return CONTROL.sub("\ufffd", value) if type(value) is str else value


@dataclass(frozen=True)
class Picture:
    """A picture of a page and its caption."""

    uri: str
    caption: str


def picture_uri(figure: "Figure") -> str:
    """Return a figure as a data URI of an SVG picture."""
    file = io.BytesIO()
    save_figure(figure, file, "svg")
    return data_uri(file.getvalue(), "image/svg+xml")


def data_uri(data: bytes, kind: str) -> str:
    """Return a file as a URI that holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def status(run: Run) -> str:
    """Return how far a training has come, in words."""
    logged = [record for kind in ("train_iter", "train_epoch") for record in run.of(kind) if "iteration" in record]
    if not logged:
        return "a test without a training"
    last = max(logged, key=lambda record: record["iteration"])
    done, total = last["iteration"], run.start.get("iterations")
    is_finished = done == total or (total is None and _ends_training(last))
    of_total = f" of {total:,}" if total else ""
    took = f", {duration(last['seconds'])}" if "seconds" in last else ""
    text = f"{done:,}{of_total} iterations, epoch {last.get('epoch', '?')}{took}"
    return f"finished: {text}" if is_finished else f"not finished (still going, or interrupted): {text}"


def _ends_training(record: Mapping[str, Any]) -> bool:
    epoch, _, epochs = str(record.get("epoch")).partition("/")
    return record.get("_type") == "train_epoch" and epoch == epochs


def duration(seconds: float) -> str:
    """Return a time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def results(run: Run) -> Table | None:
    """Return the accuracies of the test, of the best and last validation and of the last epoch of the training."""
    validations, epochs = run.of("val_epoch"), run.of("train_epoch")
    metric = run.metric
    if metric is None:
        return None
    best = max((r for r in validations if r.get(metric) is not None), key=lambda r: r[metric], default=None)
    chosen = {
        "test": run.test,
        "validation, best": best,
        "validation, last": validations[-1] if validations else None,
        "training, last epoch": epochs[-1] if epochs else None,
    }
    known = {what: record for what, record in chosen.items() if record}
    if not known:
        return None
    names = [name for name in HEADS if any(record.get(name) is not None for record in known.values())]
    rows = [
        [what, *(_percent(name, record.get(name)) for name in names), _where(run, record)]
        for what, record in known.items()
    ]
    return Table(["", *(HEADS[name] for name in names), "measured on"], rows)


def _percent(name: str, value: Any) -> str:
    return f"{in_percent(name, value):.2f}\u00a0%" if isinstance(value, int | float) else "–"


def _where(run: Run, record: Mapping[str, Any]) -> str:
    """Return in words what the accuracy of a record was measured on."""
    if record["_type"] == "test_epoch":
        return protocol_text(record)
    what = "one clip of every video" if record["_type"] == "val_epoch" else "the training clips of the epoch"
    grid = ""
    if run.cfg is not None and record["_type"] == "val_epoch":
        data = run.cfg.DATA
        grid = f", {data.NUM_FRAMES} frames x stride {data.SAMPLING_RATE}, crop of {data.TRAIN_CROP_SIZE} px"
    failed = f"; {record['bad_videos']} could not be decoded" if record.get("bad_videos") else ""
    return f"{what}{grid}, after epoch {record.get('epoch', '?')}{failed}"


def protocol(run: Run) -> str:
    """Return the protocol of the last test, in words; empty if there is none."""
    return protocol_text(run.test) if run.test else ""
