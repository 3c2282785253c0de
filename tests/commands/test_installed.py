"""The package as `pip install` of an archive leaves it: it works in any folder, without the checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from slowfast import commands

ROOT = Path(__file__).parents[2]
PARTS = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "slowfast", "configs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built from a copy of the sources and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        (folder / "source").mkdir(exist_ok=True)
        copy(ROOT / part, folder / "source" / part)
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=folder / "source", check=True, capture_output=True)
    shutil.rmtree(folder / "source")
    (path,) = folder.glob("slowfast-*-none-any.whl")
    with zipfile.ZipFile(path) as file:
        file.extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture
def slowfast(wheel, tmp_path):
    """Run `slowfast` of the wheel in an empty folder. Return its status and what it prints."""

    def run(*words: str) -> tuple[int, str]:
        environment = os.environ | {"PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "slowfast", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_wheel_has_every_recipe_and_the_marker_of_types(wheel):
    folders = ROOT / "configs", wheel / "slowfast" / "recipes"
    first, second = ({path.relative_to(folder) for path in folder.rglob("*.yaml")} for folder in folders)
    assert first == second
    assert len(first) > 50
    assert (wheel / "slowfast" / "py.typed").exists()
    assert {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")} == {"slowfast"}


def test_the_wheel_installs_the_command_and_its_extras(wheel):
    (info,) = wheel.glob("*.dist-info")
    assert "slowfast = slowfast.commands:main" in (info / "entry_points.txt").read_text()
    required = re.findall(r'^Requires-Dist: ([\w-]+).*extra == "(\w+)"', (info / "METADATA").read_text(), re.MULTILINE)
    assert {(name, package.extra) for name, package in commands.EXTRAS.items()} <= set(required)


def test_a_recipe_is_planned_by_its_name_without_a_checkout(slowfast):
    status, printed = slowfast(
        "plan", "--cfg", "Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid", "--num-videos", "240000"
    )
    assert (status, "3.42 x fewer iterations" in printed) == (0, True), printed
