"""Test the config of each --cfg file, without a training; several run one after another."""

from argparse import ArgumentParser

from slowfast.commands import run
from slowfast.utils.parser import argument_parser


def main(argv: list[str] | None = None) -> None:
    run.main(argv, make_parser(), with_training=False)


def make_parser() -> ArgumentParser:
    return argument_parser(__doc__)
