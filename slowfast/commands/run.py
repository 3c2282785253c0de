"""Train, then test, the config of each --cfg file; several run one after another.

TRAIN.ENABLE and TEST.ENABLE of a config switch its training and its test.
"""

import sys
import traceback
from argparse import ArgumentParser

from slowfast.engine.dry_run import DRY_RUN, dry_run
from slowfast.engine.launch import run
from slowfast.utils.launch import RankError
from slowfast.utils.logging import setup_logging
from slowfast.utils.parser import argument_parser, fail_cleanly, load_config, parse_args
from slowfast.utils.stop import INTERRUPTED


def main(
    argv: list[str] | None = None,
    parser: ArgumentParser | None = None,
    with_training: bool = True,
    with_test: bool = True,
) -> None:
    """Run the configs of a command line, and exit with a message and a status where something goes wrong."""
    try:
        with fail_cleanly():
            setup_logging()
            args = parse_args(argv, parser or make_parser())
            cfgs = [load_config(args, path) for path in args.cfg_files]
            names = args.cfg_files if len(cfgs) > 1 else ()
            if getattr(args, "dry_run", False):
                return dry_run(*cfgs, names=names, init_method=args.init_method)
            run(*cfgs, names=names, init_method=args.init_method, with_training=with_training, with_test=with_test)
    except RankError as error:  # the message holds the traceback
        sys.exit(str(error))
    except KeyboardInterrupt as stop:
        traceback.clear_frames(stop.__traceback__)  # releases loaders, which end their workers
        print("stopped; earlier checkpoints are intact", file=sys.stderr)
        sys.exit(INTERRUPTED)


def make_parser(description: str | None = __doc__) -> ArgumentParser:
    """Return the parser of a command that trains."""
    parser = argument_parser(description)
    parser.add_argument("--dry-run", action="store_true", help=DRY_RUN)
    return parser
