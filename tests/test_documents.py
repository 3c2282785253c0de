"""The documents are right: every block runs as written, and the links, keys, files and recipes that they name exist."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from slowfast.commands import plan
from slowfast.config.defaults import get_cfg
from slowfast.config.load import load_cfg
from slowfast.config.node import flatten
from slowfast.engine.schedule import build_baseline, build_schedule
from slowfast.models import MODEL_REGISTRY, build_model
from slowfast.multigrid import build_plan
from tests.documents import DOCUMENTS, ROOT, Block, blocks, make_scratch, prose

LANGUAGES = {"bash", "python", "yaml", "text"}
RUN = [block for block in blocks() if block.language in ("bash", "python") and not block.file]
DIFFERENT = list({block.text: block for block in reversed(RUN)}.values())[::-1]  # two documents may show a command
FOR_A_TEST = {
    "NUM_GPUS 8": "NUM_GPUS 1",
    "--paper": "--paper --iterations 1 --warmup 0",
    "MAX_EPOCH 20": "MAX_EPOCH 2",
    "tools/benchmark.py": "tools/benchmark.py --repeats 1 --clips 2 --iterations 1",
    "--batches 24": "--batches 10 --repeats 1 --shapes 2x4x32",
    "--clips 20": "--clips 1 --batches 1 --repeats 1",
    "--repeats 5": "--repeats 1",
    "slowfast tune": "slowfast tune --iterations 100 --max-batch 4",
}
HANGS_SEC = 600  # on a busy machine nothing takes this long
KEYS = {key for key, _ in flatten(get_cfg())}
SECTIONS = {key.split(".")[0] for key in KEYS if "." in key}
ids = {"ids": lambda path: path.relative_to(ROOT).as_posix()}


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return make_scratch(tmp_path_factory.mktemp("documents") / "scratch")


@pytest.fixture
def copy(scratch, tmp_path):
    """A copy of the scratch folder, for one block."""
    folder = tmp_path / "here"
    shutil.copytree(scratch, folder, symlinks=True)
    for path in (folder / ".venv" / "bin").iterdir():
        path.write_text(path.read_text().replace(str(scratch), str(folder)))
    return folder


def on_this_machine(text: str) -> str:
    """Return a command with fewer GPUs, iterations and epochs, and a free port where two machines meet."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    for written, here in {**FOR_A_TEST, ":9999": f":{port}"}.items():
        text = text.replace(written, here)
    return text


def start(block: Block, folder: Path, machine: int) -> subprocess.Popen:
    programs = f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": programs, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"FIRST_MACHINE": "localhost", "I": str(machine)}
    script = folder / f"block{machine}"
    script.write_text(on_this_machine(block.text) if machine == 0 else (folder / "block0").read_text())
    program = [sys.executable] if block.language == "python" else ["bash", "-e", "-u", "-o", "pipefail"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([*program, str(script)], cwd=folder, env=environment, **pipes)


@pytest.mark.parametrize("block", DIFFERENT, ids=str)
def test_a_block_runs_as_written(block, copy):
    for other in blocks():
        if other.file and other.document == block.document:
            (copy / other.file).write_text(other.text)
    if "OUTPUT_DIR runs/mine" in block.text:
        shutil.rmtree(copy / "runs/mine")  # a training starts there
    machines = 2 if "$I" in block.text else 1
    running = [start(block, copy, machine) for machine in range(machines)]
    for process in running:
        text = process.communicate(timeout=HANGS_SEC)[0]
        assert process.returncode == 0, text
        assert "Traceback" not in text


def test_every_file_that_a_block_shows_is_used_by_a_command():
    named = [block for block in blocks() if block.file]
    commands = {path: "".join(block.text for block in RUN if block.document == path) for path in DOCUMENTS}
    assert named
    assert not [str(block) for block in named if block.file not in commands[block.document]]


def test_every_block_has_a_language_and_no_placeholder_in_it():
    assert not [str(block) for block in blocks() if block.language not in LANGUAGES]
    assert not [str(block) for block in RUN if re.search(r"^\s*[$>] |\.\.\.|<\w+>|\bYAML\b", block.text, re.MULTILINE)]
    fences = sum(len(re.findall("^ *```", path.read_text(), re.MULTILINE)) for path in DOCUMENTS)
    assert fences == 2 * len(blocks())


def test_the_site_builds_without_a_warning(tmp_path):
    words = ["-c", "docs", "-b", "html", "-q", "-W", "--keep-going", ".", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "sphinx", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "docs/reference/multigrid.html").read_text()
    assert "many small clips early" in reference
    pages = [path.read_text() for path in tmp_path.rglob("*.html")]
    assert not [link for page in pages for link in re.findall(r'<(?:script|link|img)[^>]*"(https?://[^"]+)"', page)]


def test_the_notebook_runs(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    NotebookClient(notebook, timeout=HANGS_SEC).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert re.search(r"^ *\d\.\d{3}  \w", "".join(output.get("text", "") for output in outputs), re.MULTILINE)


def test_every_document_is_a_page_of_the_site():
    index = (ROOT / "docs" / "index.rst").read_text()
    pages = [os.path.relpath(path.with_suffix(""), ROOT / "docs") for path in DOCUMENTS]
    assert not [page for page in pages if not re.search(rf"[ <]{re.escape(page)}[>\n]", index)]


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, **ids)
def test_links_lead_to_files_and_headings(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file) if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", DOCUMENTS, **ids)
def test_keys_that_a_document_names_exist(path):
    named = re.findall(r"\b([A-Z][A-Z0-9_]*\.[A-Z][A-Z0-9_]*)\b(?!\.)", path.read_text())
    assert not [key for key in named if key.split(".")[0] in SECTIONS and key not in KEYS]


@pytest.mark.parametrize("path", DOCUMENTS, **ids)
def test_files_of_the_repository_that_a_document_names_exist(path):
    tops = "configs|tools|projects|slowfast|tests|docs|benchmarks"
    for name in re.findall(rf"(?<![\w/])((?:{tops})/[\w/.\-]+\.(?:py|yaml|md))", path.read_text()):
        assert (ROOT / name).exists(), name


ROW = re.compile(r"^\| .*`(configs/[^`]+\.yaml)`.*$", re.MULTILINE)
ARCHITECTURES = {"C2D": "c2d", "I3D": "i3d", "Slow": "slow", "SlowFast": "slowfast"}


def rows(section: str) -> list[tuple[list[str], dict]]:
    """The cells and the config of every recipe in a section of the model zoo."""
    text = (ROOT / "MODEL_ZOO.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [
        ([cell.strip() for cell in match[0].strip("|").split("|")], load_cfg(ROOT / match[1]))
        for match in ROW.finditer(text)
    ]


def slow_frames(cfg) -> tuple[int, int]:
    """Frames and stride of the slow pathway."""
    alpha = cfg.SLOWFAST.ALPHA if cfg.MODEL.ARCH == "slowfast" else 1
    return cfg.DATA.NUM_FRAMES // alpha, cfg.DATA.SAMPLING_RATE * alpha


def test_the_table_of_kinetics_checkpoints_is_that_of_the_configs():
    table = rows("Kinetics-400")
    assert len(table) == 8
    for (model, clip, *_, config, file), cfg in table:
        architecture, *non_local, depth = model.split()
        assert ARCHITECTURES[architecture] == cfg.MODEL.ARCH, config
        assert int(depth.removeprefix("R")) == cfg.RESNET.DEPTH
        assert any(any(places) for stage in cfg.NONLOCAL.LOCATION for places in stage) == bool(non_local)
        assert slow_frames(cfg) == tuple(map(int, clip.split(" x "))), config
        assert Path(file.strip("`")).stem == Path(config.strip("`")).stem
        assert (cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS, cfg.DATA.TEST_CROP_SIZE) == (10, 3, 256)
        assert (cfg.DATA.ENSEMBLE_METHOD, cfg.MODEL.NUM_CLASSES) == ("sum", 400)
        assert cfg.MODEL.MODEL_NAME in MODEL_REGISTRY


def test_the_table_of_the_other_data_sets_is_that_of_the_configs():
    table = rows("Something-Something V2 and Charades")
    assert len(table) == 4
    protocol = ""
    for (data, model, cell, _, config), cfg in table:
        protocol = protocol if cell == "the same" else cell
        views, crops, size = map(int, re.search(r"(\d+) clips?.* x (\d) crops? of (\d+) px", protocol).groups())
        assert (views, crops, size) == (
            cfg.TEST.NUM_ENSEMBLE_VIEWS,
            cfg.TEST.NUM_SPATIAL_CROPS,
            cfg.DATA.TEST_CROP_SIZE,
        ), config
        assert {"Something-Something V2": "ssv2", "Charades": "charades"}[data] == cfg.TEST.DATASET
        assert (cfg.DATA.ENSEMBLE_METHOD == "max", cfg.DATA.MULTI_LABEL) == ("mAP" in protocol, "mAP" in protocol)
        assert ("multigrid" in model,) * 2 == (cfg.MULTIGRID.LONG_CYCLE, cfg.MULTIGRID.SHORT_CYCLE)
        assert slow_frames(cfg) == (16, 8)


def test_the_table_of_x3d_is_that_of_the_configs():
    table = rows("X3D")
    assert len(table) == 4
    for (model, clip, train_crop, test_crop, parameters, *_, config), cfg in table:
        assert Path(config.strip("`")).stem == model.replace("-", "_")
        assert slow_frames(cfg) == tuple(map(int, clip.split(" x "))), config
        assert (int(train_crop), int(test_crop)) == (cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TEST_CROP_SIZE), config
        assert (cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS, cfg.MODEL.MODEL_NAME) == (10, 3, "X3D")
        with torch.device("meta"):
            counted = sum(parameter.numel() for parameter in build_model(cfg).parameters())
        assert f"{counted / 1e6:.2f} M" == parameters, config


def test_the_other_checkpoints_of_the_zoo_are_configs_too():
    text = prose(ROOT / "MODEL_ZOO.md")
    for suffix in re.findall(r"`(_\d+_\d+)`", text):
        assert (ROOT / f"configs/Kinetics/c2/SLOWFAST_8x8_R101{suffix}.yaml").exists()


def test_the_printed_plan_is_what_the_plan_tool_prints(monkeypatch, capsys):
    printed = re.compile(r"(configs/\S+\.yaml): ([\d,]+) videos")
    plans = [(block, match) for block in blocks() if (match := printed.match(block.text))]
    assert plans
    for block, (config, videos) in ((block, match.groups()) for block, match in plans):
        monkeypatch.chdir(ROOT)
        plan.main(["--cfg", config, "--num-videos", videos.replace(",", "")])
        assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
            line.split() for line in block.text.splitlines()
        ]


def test_the_planned_savings_of_the_papers_recipes_are_those_of_the_configs():
    text = prose(ROOT / "projects/multigrid/README.md").split("\n## The paper's settings\n")[1]
    table = re.findall(r"`(\w+_multigrid\.yaml)` \| ([\d.]+) x", text)
    assert {file for file, _ in table} == {
        path.name for path in (ROOT / "configs/multigrid_paper").glob("*_multigrid*")
    }
    for file, planned in table:
        cfg = load_cfg(ROOT / "configs/multigrid_paper" / file)
        videos = {"kinetics": 240_000, "ssv2": 169_000, "charades": 7_985}[cfg.TRAIN.DATASET]
        schedules = build_schedule(cfg), build_baseline(cfg)
        after, before = (sum(leg.iterations for leg in build_plan(s, videos, cfg.NUM_GPUS)) for s in schedules)
        assert f"{before / after:.2f}" == planned, file
