# PYTHON_ARGCOMPLETE_OK
"""The commands of the package: `slowfast NAME` and the scripts in tools/ start them.

Nothing here imports torch: the module of a command is imported when the command starts.
"""

import difflib
import importlib
import os
import signal
import sys
from types import ModuleType

from slowfast import __version__
from slowfast.utils.extras import EXTRAS, missing_text

# Name: the module, which has main(argv) and make_parser(), and its line in the list of commands.
COMMANDS = {
    "train": ("slowfast.commands.train", "train a config"),
    "test": ("slowfast.commands.test", "test a checkpoint"),
    "run": ("slowfast.commands.run", "train, then test, if TRAIN.ENABLE and TEST.ENABLE of the config are set"),
    "plan": ("slowfast.commands.plan", "print the schedule of a config: shapes, learning rates, iterations"),
    "check": ("slowfast.commands.check", "decode every video of a data set, and list those that cannot be used"),
    "tune": ("slowfast.commands.tune", "find a learning rate, and the largest batch that fits"),
    "prepare": ("slowfast.commands.prepare", "write small copies of the videos that are fast to decode"),
    "plot": ("slowfast.commands.plot", "draw runs: accuracy, loss, times, batch shapes, confusion matrix"),
    "report": ("slowfast.commands.report", "write a run as one HTML page"),
    "show-clips": ("slowfast.commands.show_clips", "draw the clips that a network receives"),
    "doctor": ("slowfast.commands.doctor", "examine the installation, the machine and the needs of a config"),
    "predict": ("slowfast.commands.predict", "label videos, over time, as a video, and where a class is seen"),
    "features": ("slowfast.commands.extract_features", "write the features of the videos of a list"),
    "export": ("slowfast.commands.export", "write a model as a torch.export or ONNX program"),
    "benchmark": ("slowfast.commands.benchmark", "measure the speed of a config on this machine"),
    "recipes": ("slowfast.commands.recipes", "list the recipes that --cfg takes by name"),
    "demo-data": ("slowfast.commands.demo_data", "write a small data set of moving shapes to try things with"),
}
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int | None:
    """Run the command line `slowfast COMMAND ...`, and return its exit status."""
    if "_ARGCOMPLETE" in os.environ:  # the shell asks for the words that may come next
        importlib.import_module("slowfast.commands.completion").complete()
    name, *words = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("-h", "--help", "help", "--version"):
        print(f"slowfast {__version__}" if name == "--version" else help_text())
        return 0
    if name not in COMMANDS:
        print(mistake(name) if name else help_text(), file=sys.stderr)
        return EXIT_USER_ERROR
    sys.argv[0] = f"slowfast {name}"  # the name that the help of the command shows
    return start(name, words)


def start(name: str, argv: list[str] | None = None) -> int | None:
    """Run a command, and return its exit status."""
    try:
        return module_of(name).main(argv)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in EXTRAS:
            raise
        print(f"error: {missing_text(name, package)}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_INTERRUPTED


def module_of(name: str) -> ModuleType:
    """Import the module of a command. Ctrl-C during the import ends the program without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    module = importlib.import_module(COMMANDS[name][0])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return module


def help_text() -> str:
    """Return the list of commands."""
    width = max(map(len, COMMANDS)) + 2
    rows = [f"  {name:{width}}{line}" for name, (_, line) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: slowfast COMMAND [options] [KEY VALUE ...]",
            "       slowfast COMMAND --help",
            "       slowfast --version",
            "\nVideo classification with SlowFast networks and multigrid training.\n\ncommands:",
            *rows,
        ]
    )


def mistake(name: str) -> str:
    """Return the message for a word that is not a command."""
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    fix = f"did you mean {near[0]}?" if near else f"give one of {', '.join(COMMANDS)}"
    return f"error: {name!r} is not a command of slowfast: {fix}"
