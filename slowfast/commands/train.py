"""Train the config of each --cfg file, without the test afterwards; several run one after another."""

from argparse import ArgumentParser

from slowfast.commands import run


def main(argv: list[str] | None = None) -> None:
    run.main(argv, make_parser(), with_test=False)


def make_parser() -> ArgumentParser:
    return run.make_parser(__doc__)
