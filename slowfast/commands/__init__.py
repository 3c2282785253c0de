"""The commands of the package: `slowfast NAME` and the scripts in tools/ start them.

Nothing here imports torch: the module of a command is imported when the command starts.
"""

import difflib
import importlib
import signal
import sys

from slowfast import __version__

# Name: the module, which has main(argv) and make_parser(), and its line in the list of commands.
COMMANDS = {
    "train": ("slowfast.commands.train", "train a config"),
    "test": ("slowfast.commands.test", "test a checkpoint"),
    "run": ("slowfast.commands.run", "train, then test, as TRAIN.ENABLE and TEST.ENABLE of the config say"),
    "plan": ("slowfast.commands.plan", "print the schedule of a config: shapes, learning rates, iterations"),
    "check": ("slowfast.commands.check", "decode every video of a data set, and list those that cannot be used"),
    "prepare": ("slowfast.commands.prepare", "write small copies of the videos that are fast to decode"),
    "show-clips": ("slowfast.commands.show_clips", "draw the clips that a network receives"),
    "doctor": ("slowfast.commands.doctor", "examine the installation, the machine and the needs of a config"),
    "benchmark": ("slowfast.commands.benchmark", "measure the speed of a config on this machine"),
    "recipes": ("slowfast.commands.recipes", "list the recipes that --cfg takes by name"),
    "demo-data": ("slowfast.commands.demo_data", "write a small data set of moving shapes to try things with"),
}
EXIT_USER_ERROR = 2


def main(argv: list[str] | None = None) -> int | None:
    """Run the command line `slowfast COMMAND ...`, and return its exit status."""
    name, *words = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("-h", "--help"):
        print(help_text())
        return 0
    if name == "--version":
        print(f"slowfast {__version__}")
        return 0
    if name not in COMMANDS:
        print(help_text() if not name else mistake(name), file=sys.stderr)
        return EXIT_USER_ERROR
    sys.argv[0] = f"slowfast {name}"  # the name that the help of the command shows
    return start(name, words)


def start(name: str, argv: list[str] | None = None) -> int | None:
    """Import the module of a command and run it. Ctrl-C during the import ends the program without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    module = importlib.import_module(COMMANDS[name][0])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return module.main(argv)


def help_text() -> str:
    """Return the list of commands."""
    rows = [f"  {name:12}{line}" for name, (_, line) in COMMANDS.items()]
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
