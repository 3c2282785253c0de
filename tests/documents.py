"""The documents of the repository as blocks, and a scratch folder in which their blocks run in seconds.

In the scratch folder the recipes under configs/ have the same names and structure, but small networks and clips; the
placeholders of the documents (`my_data`, `path/to/kinetics`, checkpoints) are small stand-ins.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import torch
import yaml

from slowfast.commands import demo_data
from slowfast.config.load import load_cfg
from slowfast.models import build_model
from tests.engine.tiny import CLASSES, moving_stripes, tiny_cfg, write_dataset
from tests.videos import write_video

ROOT = Path(__file__).parents[1]
HIDDEN = {".venv", ".pytest_cache", "build", "demo_output", "runs", "node_modules"}
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not HIDDEN.intersection(path.parts) and path.name != "CHANGELOG.md"
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"# (\S+\.(?:py|yaml))\n")  # a block that begins with the name of a file is saved there


class Block(NamedTuple):
    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def file(self) -> str | None:
        named = SAVED.match(self.text)
        return named[1] if named else None


def blocks() -> list[Block]:
    return [
        Block(path, text.count("\n", 0, match.start()) + 1, *match.groups())
        for path in DOCUMENTS
        for text in [path.read_text(encoding="utf-8")]
        for match in BLOCK.finditer(text)
    ]


def prose(path: Path) -> str:
    """The text of a document without its blocks."""
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def make_scratch(folder: Path) -> Path:
    for name in ("tools", "projects", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "setup.py", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    for path in (ROOT / "configs").rglob("*.yaml"):
        small = folder / path.relative_to(ROOT)
        small.parent.mkdir(parents=True, exist_ok=True)
        small.write_text(yaml.safe_dump(shrink(yaml.safe_load(path.read_text()))))
    make_programs(folder / ".venv" / "bin")
    make_data(folder)
    for name in ("Kinetics/SLOWFAST_8x8_R50", "SSv2/SLOWFAST_16x8_R50"):
        cfg = load_cfg(folder / "configs" / f"{name}.yaml")
        torch.save({"model_state": build_model(cfg).state_dict()}, folder / f"{Path(name).name}.pkl")
    make_run(folder)
    return folder


RECORDS = [
    {"_type": "start", "time": "2026-01-01T00:00:00+00:00", "iterations": 2, "clips": 8},
    {"_type": "train_epoch", "epoch": "1/1", "iteration": 2, "position": 1.0, "clips": 8, "seconds": 2.0, "loss": 1.1},
    {
        "_type": "val_epoch",
        "epoch": "1/1",
        "iteration": 2,
        "position": 1.0,
        "clips": 8,
        "seconds": 3.0,
        "top1_acc": 50.0,
    },
]


def make_run(folder: Path) -> None:
    """Make the folder of a run, with a checkpoint of random weights, and videos to use it on."""
    cfg = tiny_cfg(folder / "my_data", Path("runs/mine"))
    content = {"model_state": build_model(cfg).state_dict(), "cfg": cfg.dump(), "epoch": 0}
    content["class_names"] = ["archery", "bowling", "climbing"]
    (folder / "runs/mine/checkpoints").mkdir(parents=True)
    torch.save(content, folder / "runs/mine/checkpoints/checkpoint_epoch_00001.pyth")
    (folder / "runs/mine/json_stats.log").write_text("".join(f"{json.dumps(row)}\n" for row in RECORDS))
    write_video(folder / "video.mp4", frames=moving_stripes(0))
    write_video(folder / "long.mp4", num_frames=100)


def shrink(recipe: dict) -> dict:
    """Return a recipe for a small network, small clips and few epochs, on the CPU."""
    solver = {"MAX_EPOCH": 1} | recipe.get("SOLVER", {})  # a recipe may be for a test alone
    pathways = len(recipe["DATA"]["INPUT_CHANNEL_NUM"])
    epochs = 4 if "STEPS" in solver else 1  # multigrid needs an iteration for every shape of every stage
    scale = epochs / solver["MAX_EPOCH"]
    scaled = {"MAX_EPOCH": epochs, "WARMUP_EPOCHS": scale * solver.get("WARMUP_EPOCHS", 0)}
    scaled |= {"STEPS": [scale * step for step in solver["STEPS"]]} if "STEPS" in solver else {}
    changes = {
        "DATA": {"NUM_FRAMES": min(16, recipe["DATA"]["NUM_FRAMES"]), "TRAIN_CROP_SIZE": 64, "TEST_CROP_SIZE": 64}
        | {"TRAIN_JITTER_SCALES": [66, 76]},
        "RESNET": {"DEPTH": 18, "WIDTH_PER_GROUP": 8, "NUM_BLOCK_TEMP_KERNEL": [[2] * pathways] * 4}
        | ({} if "X3D" in recipe else {"TRANS_FUNC": "basic_transform"}),
        "NONLOCAL": {"LOCATION": [[[]] * pathways] * 4},
        "SOLVER": scaled,
        "TRAIN": {"BATCH_SIZE": 2},
        "TEST": {"BATCH_SIZE": 4, "NUM_ENSEMBLE_VIEWS": 1, "NUM_SPATIAL_CROPS": 1},
        "BN": {"NUM_BATCHES_PRECISE": 1, "NUM_SYNC_DEVICES": 1},
        "DATA_LOADER": {"NUM_WORKERS": 0},
        "NUM_GPUS": 0,
        "NUM_SHARDS": 1,
    }
    if "X3D" in recipe:
        changes["X3D"] = {"WIDTH_FACTOR": 1, "DEPTH_FACTOR": 1, "BOTTLENECK_FACTOR": 1, "DIM_C5": 32}
    small = {key: recipe.get(key, {}) | value if isinstance(value, dict) else value for key, value in changes.items()}
    return recipe | small


PIP = """#!{python}
import re, sys
from pathlib import Path
extras = [name for word in sys.argv for match in re.findall(r"\\[(.*)\\]", word) for name in match.split(",")]
files = [sys.argv[i + 1] for i, word in enumerate(sys.argv) if word == "-c"]
assert sys.argv[1] == "install" and {{".", *files}} <= {{word.split("[")[0] for word in sys.argv}}
assert all(f'"{{name}}":' in Path("setup.py").read_text() for name in extras), extras
assert all(Path(name).exists() for name in files), files
"""
# Names of recipes stand for the small ones.
SLOWFAST = """#!{python}
import sys
from pathlib import Path
from slowfast.config import recipes
recipes.FOLDERS = (Path("{configs}"),)
from slowfast.commands import main
if __name__ == "__main__":
    sys.exit(main())
"""
# Nothing is installed, and the tests are not run in a test: these targets are printed instead, which checks their names
MAKE = """#!/bin/sh
case "$1" in demo) exec {make} -o install demo;; *) exec {make} -n "$@";; esac
"""


def make_programs(folder: Path) -> None:
    """Write the programs of an installed environment, with stand-ins for those that would install something."""
    folder.mkdir(parents=True)
    for name in ("python", "python3"):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "slowfast").write_text(SLOWFAST.format(python=sys.executable, configs=folder.parents[1] / "configs"))
    (folder / "pip").write_text(PIP.format(python=sys.executable))
    (folder / "torchrun").write_text(f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n')
    (folder / "make").write_text(MAKE.format(make=shutil.which("make")))
    (folder / "activate").write_text(f'export PATH="{folder}:$PATH"\n')
    for program in folder.iterdir():
        program.chmod(0o755)


def make_data(folder: Path) -> None:
    make_lists(folder / "path/to/kinetics")
    make_lists(folder / "my_data")
    for split, count in (("train", 12), ("val", 3), ("test", 3)):
        for number in range(count):
            target = folder / "my_data" / split / f"class{number % CLASSES}" / f"{number}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "my_data" / f"{number}.mp4", target)
    make_ssv2(folder / "path/to/lists", folder / "path/to/frames_or_videos")
    make_demo(folder / "demo_output" / "data")


def make_lists(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_dataset(folder)
    for path in folder.glob("*.csv"):  # the folder is copied, so the paths start from the list
        repeats = 4 if path.stem == "train" else 1  # multigrid has batches of 32 clips
        path.write_text(repeats * path.read_text().replace(f"{folder}/", ""))


def make_ssv2(lists: Path, videos: Path) -> None:
    lists.mkdir(parents=True)
    videos.mkdir(parents=True)
    for number in range(3):
        write_video(videos / f"{number}.webm", frames=moving_stripes(number), codec="libvpx")
    named = "something-something-v2"
    (lists / f"{named}-labels.json").write_text('{"Moving something": "0", "Turning something": "1"}')
    for split in ("train", "validation"):
        rows = ", ".join(f'{{"id": "{n}", "template": "Moving [something]"}}' for n in range(3))
        (lists / f"{named}-{split}.json").write_text(f"[{rows}]")


def make_demo(out: Path) -> None:
    """Make demo data with few videos, marked as what `make demo` writes."""
    demo_data.make(str(out), {"train": 3, "val": 1, "test": 1})
    defaults = demo_data.make_parser().parse_args([str(out)])
    per_class = {split: getattr(defaults, f"{split}_per_class") for split in demo_data.SPLITS}
    arguments = {"version": demo_data.VERSION, "seed": 0, "per_class": per_class}
    (out / demo_data.MARKER).write_text(json.dumps(arguments))
