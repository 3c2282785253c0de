"""Train and test: run_net.py --cfg FILE [FILE ...] [KEY VALUE ...]; several configs run one after the other."""

from slowfast.engine.launch import run
from slowfast.utils.parser import fail_cleanly, load_config, parse_args


def main(argv: list[str] | None = None, with_training: bool = True, with_test: bool = True) -> None:
    with fail_cleanly():
        args = parse_args(argv)
        for path in args.cfg_files:
            run(load_config(args, path), args.init_method, with_training, with_test)


if __name__ == "__main__":
    main()
