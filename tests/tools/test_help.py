"""Every script prints its help, and does nothing else."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for top in ("tools", "projects") for path in (ROOT / top).rglob("*.py"))
SCRIPTS += sorted(path for path in (ROOT / "benchmarks").rglob("*.py") if "__main__" in path.read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_a_script_prints_its_help(script, option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setattr(sys, "argv", [str(script), option])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(script), run_name="__main__")
    assert end.value.code in (0, None)
    printed = capsys.readouterr()
    assert printed.out.startswith(f"usage: {script.name} ")
    description = printed.out.split("\n\n")[1]
    assert not description.startswith("options:")
    assert printed.err == ""
    assert not list(tmp_path.iterdir())
