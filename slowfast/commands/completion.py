"""The words that a shell offers: commands, options, recipes, YAML files and keys. Needs argcomplete."""

import argparse
import os

import argcomplete

from slowfast.commands import COMMANDS, module_of
from slowfast.config.defaults import get_cfg
from slowfast.config.node import flatten
from slowfast.config.recipes import recipes

TAKE_CONFIGS = ("cfg_files", "cfg", "opts", "text", "words")  # destinations of arguments


def complete() -> None:
    """Write the words that may come next in the line of the shell, and end the program."""
    words = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])].split(" ")
    parser = argparse.ArgumentParser(prog="slowfast")
    commands = parser.add_subparsers()
    for name, (_, line) in COMMANDS.items():
        command = commands.add_parser(name, help=line, parents=[_options(name, words)], add_help=False)
        for action in command._actions:
            if action.dest in TAKE_CONFIGS:
                action.completer = config_words  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _options(name: str, words: list[str]) -> argparse.ArgumentParser:
    """Return the parser of a command if the last of `words` may be one of its options or choices.

    Elsewhere it may be a recipe, a file or a key, for which the module of the command is not imported: that takes
    seconds.
    """
    if name in words[1:2] and (words[-1].startswith("-") or len(words) == 3):
        return module_of(name).make_parser()
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--cfg", nargs="*")
    parser.add_argument("words", nargs="*")
    return parser


def config_words(prefix: str, **_: object) -> list[str]:
    """Return the recipes, YAML files and keys that start with `prefix`."""
    files = argcomplete.FilesCompleter(("yaml", "yml"))(prefix)
    keys = (key for key, _ in flatten(get_cfg()))
    return [word for word in [*recipes(), *keys, *files] if word.startswith(prefix)]
