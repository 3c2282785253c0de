"""The command line that the commands share, and the configuration it describes.

slowfast run --cfg FILE [FILE ...] [--opts] [KEY VALUE ...] [--shard_id I --num_shards N --init_method URL]
"""

import argparse
import contextlib
import os
import re
import select
import sys
import time
import traceback

from slowfast.config.defaults import get_cfg
from slowfast.config.load import load_cfg
from slowfast.config.node import CfgNode, flatten
from slowfast.errors import UserError, user_message
from slowfast.utils.logging import wrapped
from slowfast.utils.suffixes import FILE_SUFFIXES

KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Za-z0-9_]+)*:?")
LOWER_KEY = re.compile(r"\w+(\.\w+)+:?")
SECTIONS = {name for name, value in get_cfg().items() if isinstance(value, CfgNode)}
EXIT_USER_ERROR = 2
STDOUT = 1  # the number of the file
EXIT_BROKEN_PIPE = 141  # as of a program that SIGPIPE ends
LINGER_SEC = 3.0
ALLOW_UNKNOWN = "--allow-unknown-keys"


def argument_parser(description: str | None = None) -> argparse.ArgumentParser:
    """Return a parser of the options that all commands have.

    A command adds its own and passes the parser to `parse_args`.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog="KEY VALUE pairs after the options change single keys of the configuration, e.g. TRAIN.BATCH_SIZE 16; "
        "of several values for a key the last one counts",
    )
    parser.add_argument(
        "--cfg",
        dest="cfg_files",
        metavar="FILE",
        nargs="+",
        required=True,
        help="config files or recipes, run one after another",
    )
    parser.add_argument("--opts", metavar="KEY VALUE", nargs="*", help="keys to change; --opts itself is optional")
    parser.add_argument(ALLOW_UNKNOWN, action="store_true", help="keep keys that this project does not know")
    parser.add_argument("--shard_id", type=int, help="number of this machine, from 0 (changes SHARD_ID)")
    parser.add_argument("--num_shards", type=int, help="number of machines (changes NUM_SHARDS)")
    parser.add_argument("--init_method", help="address of machine 0, tcp://HOST:PORT, for several machines")
    return parser


def add_list_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that reads a list of videos without a config."""
    parser.add_argument("--separator", default=" ", help="between path and label: DATA.PATH_LABEL_SEPARATOR")
    parser.add_argument("--skip-rows", type=int, default=0, help="at the start of the list: DATA.SKIP_ROWS")
    parser.add_argument("--prefix", default="", help="the folder that the paths start from: DATA.PATH_PREFIX")


def positive(word: str) -> int:
    """Return a number of at least 1: the type of an option that counts something."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def parse_args(argv: list[str] | None = None, parser: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """Return the options of a command line. `opts` is a flat list `[KEY, VALUE, ...]`."""
    words, overrides = split_overrides(sys.argv[1:] if argv is None else list(argv))
    args = (parser or argument_parser()).parse_args(words)
    args.opts = overrides
    return args


def change_devices(args: argparse.Namespace) -> None:
    """Set NUM_GPUS to `args.num_devices` if that is given."""
    if args.num_devices is not None:
        args.opts += ["NUM_GPUS", str(args.num_devices)]


def split_overrides(words: list[str]) -> tuple[list[str], list[str]]:
    """Return (other words, KEY VALUE pairs) of a command line, in which the pairs may be anywhere."""
    known = {key for key, _ in flatten(get_cfg())}
    others, pairs = [], []
    position, in_opts = 0, False
    while position < len(words):
        word = words[position]
        if word.startswith("--"):
            in_opts = word == "--opts"
            others += [] if in_opts else [word]
        elif "=" in word and _is_key(word.split("=")[0], others[-1] if others else "", known):
            pairs += word.split("=", 1)
        elif in_opts or _is_key(word, others[-1] if others else "", known):
            value = _value_in(words[position + 1 : position + 2], known)
            pairs += [word, *value]
            position += len(value)
        else:
            others.append(word)
        position += 1
    return others, pairs


def _value_in(following: list[str], known: set[str]) -> list[str]:
    """Return the value of a key in the words that follow it, or an empty list if another key or option comes first."""
    return [word for word in following if word not in known and not word.startswith("--")]


def _is_key(word: str, before: str, known: set[str]) -> bool:
    """Return whether a word is a key, perhaps a misspelled one, and not a file or the value of the option `before`."""
    if word.upper() in known:
        return True
    if os.path.splitext(word)[1].lower() in FILE_SUFFIXES or os.path.exists(word):
        return False
    if LOWER_KEY.fullmatch(word) and word.upper().split(".")[0] in SECTIONS:
        return True
    is_value_of_option = before.startswith("--") and before not in ("--cfg", ALLOW_UNKNOWN)
    return bool(KEY.fullmatch(word)) and not is_value_of_option


def load_config(args: argparse.Namespace, path_to_config=None) -> CfgNode:
    """Return the checked, frozen configuration of a command line.

    `path_to_config` is one of the `--cfg` files, and optional if there is only one.
    """
    files = getattr(args, "cfg_files", None) or []
    if path_to_config is None and len(files) > 1:
        raise UserError(f"--cfg: {len(files)} files were given, load them one by one with load_config(args, path)")
    path = path_to_config if path_to_config is not None else next(iter(files), None)
    overrides = [*(getattr(args, "opts", None) or []), *_machine_overrides(args)]
    return load_cfg(path, overrides, getattr(args, "allow_unknown_keys", False))


def _machine_overrides(args: argparse.Namespace) -> list:
    given = {"SHARD_ID": getattr(args, "shard_id", None), "NUM_SHARDS": getattr(args, "num_shards", None)}
    return [word for key, value in given.items() if value is not None for word in (key, value)]


@contextlib.contextmanager
def fail_cleanly():
    """Turn a mistake of the user into the message `error: ...` and exit status 2, without a traceback.

    Mistakes are `UserError`, and `OSError` for files that cannot be read or written.
    """
    try:
        yield
    except (UserError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            _exit_if_nobody_reads()
        traceback.clear_frames(error.__traceback__)  # frees the loaders, which then end their workers
        if os.environ.get("RANK", "0") != "0":
            time.sleep(LINGER_SEC)  # torchrun ends this process once rank 0 has reported the same mistake
        print(wrapped(f"error: {user_message(error)}", sys.stderr), file=sys.stderr, flush=True)
        sys.exit(EXIT_USER_ERROR)


def _exit_if_nobody_reads() -> None:
    """Exit without a message if the program that reads the output, such as `head`, has ended."""
    output = select.poll()
    output.register(STDOUT, 0)  # reports POLLERR and POLLHUP only
    if output.poll(0):
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # for the flush at the exit
        sys.exit(EXIT_BROKEN_PIPE)
