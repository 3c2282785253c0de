"""The command `slowfast`: its help, its commands, and what it does about mistakes."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast import __version__, commands
from slowfast.utils.program import SCRIPTS

ROOT = Path(__file__).parents[2]
SLOWFAST = [sys.executable, "-m", "slowfast"]


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Add a command `mine` with the text of its module."""

    def write(text: str) -> None:
        (tmp_path / "my_command.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "my_command", raising=False)
        monkeypatch.setitem(commands.COMMANDS, "mine", ("my_command", "a command of a test"))

    return write


@pytest.fixture(autouse=True)
def _program_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["slowfast"])


@pytest.mark.parametrize("option", ["-h", "--help", "help"])
def test_the_help_lists_every_command(option, capsys):
    assert commands.main([option]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: slowfast COMMAND [options] [KEY VALUE ...]"
    assert [line.split()[0] for line in lines[lines.index("commands:") + 1 :]] == list(commands.COMMANDS)


def test_help_version_and_mistakes_import_no_torch():
    lines = ["import sys", "from slowfast.commands import main"]
    lines += ["print([main([word]) for word in ('--help', '--version', 'trian')], 'torch' in sys.modules)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == [f"slowfast {__version__}", "[0, 0, 2] False"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trian", "error: 'trian' is not a command of slowfast: did you mean train?"),
        ("bench", "did you mean benchmark?"),
        ("xyz", "give one of train, test, run,"),
        ("--cfg", "give one of train, test, run,"),
    ],
)
def test_a_word_that_is_not_a_command_is_an_error_with_the_nearest_one(word, message, capsys):
    assert commands.main([word, "--cfg", "a.yaml"]) == 2
    assert message in capsys.readouterr().err


def test_no_command_is_an_error_with_the_help(capsys):
    assert commands.main([]) == 2
    assert "commands:" in capsys.readouterr().err


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_has_its_help_and_a_parser(name, capsys):
    with pytest.raises(SystemExit) as end:
        commands.main([name, "--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: slowfast {name} [-h]")
    assert not printed.split("\n\n")[1].startswith("options:")
    assert importlib.import_module(commands.COMMANDS[name][0]).make_parser().format_usage()


def test_a_script_of_tools_starts_its_command_and_does_nothing_else():
    doors = {path.name: path.read_text() for path in (ROOT / "tools").glob("*.py") if "commands" in path.read_text()}
    assert sorted(doors) == sorted(SCRIPTS.values())
    for name, script in SCRIPTS.items():
        _, docstring, *code = doors[script].splitlines()
        assert docstring.endswith(f': this is `slowfast {name}`."""')
        assert code[-2:] == ['if __name__ == "__main__":', f'    sys.exit(start("{name}"))']
        assert len(code) == 7


def test_a_command_gets_its_words_and_gives_its_status(add):
    add("def main(argv): return len(argv)")
    assert commands.main(["mine", "a", "--cfg", "b"]) == 3


@pytest.mark.parametrize("place", ["", "def main(argv): "])
def test_a_package_that_is_not_installed_is_named_with_its_extra(place, add, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    add(f"{place}import matplotlib.figure")
    assert commands.main(["mine"]) == 2
    assert capsys.readouterr().err == "error: mine needs matplotlib: pip install matplotlib (extra 'plot')\n"


def test_a_module_that_is_missing_for_another_reason_keeps_its_traceback(add):
    add("import no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        commands.main(["mine"])


def test_ctrl_c_ends_a_command_without_a_traceback(add, capsys):
    add("def main(argv): raise KeyboardInterrupt")
    assert commands.main(["mine"]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_ctrl_c_during_an_import_ends_the_program_at_once(tmp_path):
    (tmp_path / "slow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('imported')")
    lines = ["from slowfast import commands", "commands.COMMANDS['slow'] = ('slow', '')", "commands.main(['slow'])"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


SPAWNS = """
import multiprocessing

def main(argv):
    print("command", flush=True)
    process = multiprocessing.get_context("spawn").Process(target=print, args=("process",))
    process.start()
    process.join()
"""
SCRIPT = "import sys\nfrom slowfast.commands import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


@pytest.mark.parametrize("program", [SLOWFAST, [sys.executable, "slowfast_script"]], ids=["module", "script"])
def test_a_process_that_a_command_spawns_does_not_run_the_command_again(program, tmp_path):
    (tmp_path / "my_command.py").write_text(SPAWNS)
    (tmp_path / "slowfast_script").write_text(SCRIPT)  # what pip writes for the command
    added = "from slowfast import commands\ncommands.COMMANDS['mine'] = ('my_command', '')"
    (tmp_path / "sitecustomize.py").write_text(added)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([*program, "mine"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "command\nprocess\n", "")


def test_recipes_are_listed_and_printed(capsys):
    assert not commands.main(["recipes", "ssv2"])
    listed = capsys.readouterr().out.splitlines()
    assert listed[3:5] == ["SSv2/SLOWFAST_16x8_R50", "SSv2/SLOWFAST_16x8_R50_multigrid"]
    assert all("ssv2" in name.lower() for name in listed)
    assert not commands.main(["recipes", "--show", listed[0]])
    assert "DATASET: ssv2" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["nothing like it"], ["--show", "SSv2/SLOWFAST"]])
def test_a_recipe_that_does_not_exist_is_an_error(words, capsys):
    with pytest.raises(SystemExit) as end:
        commands.main(["recipes", *words])
    assert end.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_a_command_ends_quietly_when_nobody_reads_its_output():
    command = f"{sys.executable} -m slowfast recipes | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")
