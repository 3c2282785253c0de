"""The command line shared by the tools, and the configuration it gives.

tools/run_net.py --cfg FILE [FILE ...] [--opts] [KEY VALUE ...] [--shard_id I --num_shards N --init_method URL]
"""

import argparse
import contextlib
import re
import sys
import traceback

from slowfast.config.defaults import get_cfg
from slowfast.config.load import load_cfg
from slowfast.config.node import CfgNode, flatten
from slowfast.errors import UserError, user_message

KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Za-z0-9_]+)*")
YAML_SUFFIXES = (".yaml", ".yml")
EXIT_USER_ERROR = 2


def argument_parser(description: str | None = None) -> argparse.ArgumentParser:
    """The options every tool has; a tool adds its own and hands the parser to `parse_args`."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog="KEY VALUE pairs after the options change single keys of the configuration, e.g. TRAIN.BATCH_SIZE 16",
    )
    parser.add_argument(
        "--cfg", dest="cfg_files", metavar="FILE", nargs="+", required=True, help="config file(s), run in turn"
    )
    parser.add_argument("--opts", metavar="KEY VALUE", nargs="*", help="keys to change (--opts itself may be left out)")
    parser.add_argument("--shard_id", type=int, help="number of this machine, from 0 (changes SHARD_ID)")
    parser.add_argument("--num_shards", type=int, help="number of machines (changes NUM_SHARDS)")
    parser.add_argument("--init_method", help="where several machines meet: URL of machine 0, tcp://HOST:PORT")
    return parser


def parse_args(argv: list[str] | None = None, parser: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """Parse a command line; `opts` of the result is a flat list `[KEY, VALUE, ...]`."""
    words, overrides = split_overrides(sys.argv[1:] if argv is None else list(argv))
    args = (parser or argument_parser()).parse_args(words)
    args.opts = overrides
    return args


def change_devices(args: argparse.Namespace) -> None:
    """Replace NUM_GPUS by `args.num_devices` where it is given."""
    if args.num_devices is not None:
        args.opts += ["NUM_GPUS", str(args.num_devices)]


def split_overrides(words: list[str]) -> tuple[list[str], list[str]]:
    """Take the KEY VALUE pairs out of a command line, wherever they stand: (the other words, the pairs)."""
    known = {key for key, _ in flatten(get_cfg())}
    others, pairs = [], []
    position, in_opts = 0, False
    while position < len(words):
        word = words[position]
        if word.startswith("--"):
            in_opts = word == "--opts"
            others += [] if in_opts else [word]
        elif re.fullmatch(f"{KEY.pattern}=.*", word, re.DOTALL):
            pairs += word.split("=", 1)
        elif in_opts or _is_key(word, others[-1] if others else "", known):
            pairs += words[position : position + 2]
            position += 1
        else:
            others.append(word)
        position += 1
    return others, pairs


def _is_key(word: str, before: str, known: set[str]) -> bool:
    if word in known:
        return True
    is_value_of_option = before.startswith("--") and before != "--cfg"
    return bool(KEY.fullmatch(word)) and not word.lower().endswith(YAML_SUFFIXES) and not is_value_of_option


def load_config(args: argparse.Namespace, path_to_config=None) -> CfgNode:
    """The checked, frozen configuration of a command line.

    `path_to_config` picks one of several `--cfg` files; with a single one it may be left out.
    """
    files = getattr(args, "cfg_files", None) or []
    if path_to_config is None and len(files) > 1:
        raise UserError(f"--cfg: {len(files)} files were given, load them one by one with load_config(args, path)")
    path = path_to_config if path_to_config is not None else next(iter(files), None)
    return load_cfg(path, [*(getattr(args, "opts", None) or []), *_machine_overrides(args)])


def _machine_overrides(args: argparse.Namespace) -> list:
    given = {"SHARD_ID": getattr(args, "shard_id", None), "NUM_SHARDS": getattr(args, "num_shards", None)}
    return [word for key, value in given.items() if value is not None for word in (key, value)]


@contextlib.contextmanager
def fail_cleanly():
    """End the program with `error: ...` and status 2, without a traceback, when the user made a mistake.

    That is a `UserError`, or an `OSError` of a file that cannot be read or written.
    """
    try:
        yield
    except (UserError, OSError) as error:
        traceback.clear_frames(error.__traceback__)  # frees the loaders, which end their workers quietly
        print(f"error: {user_message(error)}", file=sys.stderr, flush=True)
        sys.exit(EXIT_USER_ERROR)
