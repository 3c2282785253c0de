"""List the recipes that --cfg takes by name, or print one of them."""

import argparse

from slowfast.config.recipes import find_config, recipes
from slowfast.errors import UserError
from slowfast.utils.parser import fail_cleanly


@fail_cleanly()
def main(argv: list[str] | None = None) -> None:
    args = make_parser().parse_args(argv)
    if args.show:
        print(find_config(args.show).read_text(encoding="utf-8"), end="")
        return
    names = [name for name in recipes() if args.text.lower() in name.lower()]
    if not names:
        raise UserError(f"no recipe has {args.text!r} in its name; `slowfast recipes` lists all")
    print("\n".join(names))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", metavar="TEXT", nargs="?", default="", help="list the names with this text only")
    parser.add_argument("--show", metavar="NAME", help="print a recipe, to write one of your own from it")
    return parser
