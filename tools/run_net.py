#!/usr/bin/env python3
"""Train and test: run_net.py --cfg FILE [FILE ...] [KEY VALUE ...]. Several configs run one after another."""

import sys
import traceback

from slowfast.engine.launch import run
from slowfast.errors import errors_name
from slowfast.utils.distributed import INTERRUPTED, RankError
from slowfast.utils.parser import fail_cleanly, load_config, parse_args


def main(argv: list[str] | None = None, with_training: bool = True, with_test: bool = True) -> None:
    """Run the configs of a command line, and exit with a message and a status where something goes wrong."""
    try:
        with fail_cleanly():
            args = parse_args(argv)
            configs = [load_config(args, path) for path in args.cfg_files]  # all of them before the first one trains
            for path, cfg in zip(args.cfg_files, configs, strict=True):
                with errors_name(path if len(configs) > 1 else None):
                    run(cfg, args.init_method, with_training, with_test)
    except RankError as error:  # its text is the traceback of the rank that failed
        sys.exit(str(error))
    except KeyboardInterrupt as stop:
        traceback.clear_frames(stop.__traceback__)  # frees the loaders, which then end their workers
        print("stopped; earlier checkpoints are intact", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
