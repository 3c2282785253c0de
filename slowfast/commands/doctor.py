"""Examine the installation and the machine: %(prog)s [--cfg YAML] [KEY VALUE ...].

Each line is ok, a warning or a problem, with its fix. The report has no names of users and no paths, so that it can be
pasted into an issue. With --cfg, the needs of a config are compared with the machine, and a few of its clips are
loaded and trained on. The exit status is 1 if there is a problem.
"""

import argparse
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from slowfast.engine.findings import PROBLEM, Finding, lines_of, summary, versions


def main(argv: list[str] | None = None) -> int:
    """Print the report, and return the exit status."""
    parser = make_parser()
    args, overrides = parser.parse_known_args(argv)
    if overrides and not args.cfg:
        parser.error(f"{overrides[0]}: KEY VALUE pairs change a config: give --cfg")
    private = {str(Path.home()): "~", **({args.cfg: "CONFIG"} if args.cfg else {})}
    found = list(_printed(versions(), private))
    if not any(finding.level == PROBLEM for finding in found):
        found += _printed(_examination(args.cfg, overrides, private), private)
    print(summary(found))
    return int(any(finding.level == PROBLEM for finding in found))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", metavar="YAML", help="a config whose needs are checked too")
    return parser


def _printed(findings: Iterable[Finding], private: dict[str, str]) -> Iterator[Finding]:
    """Print every finding as soon as it is made."""
    for finding in findings:
        print(*lines_of(finding, private), sep="\n", flush=True)
        yield finding


def _examination(path: str | None, overrides: list[str], private: dict[str, str]) -> Iterator[Finding]:
    """Yield all findings but the versions. `private` gets the paths of the config."""
    from slowfast.engine import machine_checks, trials  # they need the packages that `versions` has found

    if path is None:
        yield from machine_checks.machine()
        yield machine_checks.writing(Path.cwd(), "this folder")
        yield from (_tried("decoding", trials.decode), _tried("training", trials.tiny_step))
        return
    found, cfg, training = _built(path, overrides)
    private |= _paths(cfg) if cfg is not None else {}
    yield found
    yield from machine_checks.machine(trials.needs(training) if training else machine_checks.UNKNOWN)
    if training and (files := trials.some_files(training)):
        yield machine_checks.reading(files)
    yield machine_checks.writing(Path(cfg.OUTPUT_DIR if cfg is not None else "."), "OUTPUT_DIR")
    yield from (_tried("decoding", trials.decode), _tried("training", trials.tiny_step))
    if training:
        yield _tried("its batch", trials.config_step, training)


def _built(path: str, overrides: list[str]) -> tuple[Finding, Any, Any]:
    """Return the finding about a config, the config if it can be read, and its training if it can be built."""
    from slowfast.engine.trials import build
    from slowfast.errors import UserError
    from slowfast.utils.parser import load_config, parse_args

    cfg = None
    try:
        args = parse_args([*overrides, "--cfg", path])
        cfg = load_config(args)
        found, training = build(cfg)
    except (UserError, OSError) as error:
        return Finding("config", PROBLEM, str(error)), cfg, None
    return found, cfg, training


def _paths(cfg: Any) -> dict[str, str]:
    """Return the paths of a config with their keys."""
    keys = {"OUTPUT_DIR": cfg.OUTPUT_DIR}
    keys |= {f"DATA.{name}": cfg.DATA[name] for name in ("PREPARED_DIR", "PATH_PREFIX", "PATH_TO_DATA_DIR")}
    given = {path.rstrip(os.sep): key for key, path in keys.items() if os.sep in path.rstrip(os.sep)}
    return given | {os.path.abspath(path): key for key, path in keys.items() if path}


def _tried(subject: str, trial: Any, *arguments: Any) -> Finding:
    """Return the finding of a trial, or its error as a problem."""
    import av

    try:
        return trial(*arguments)
    except (av.FFmpegError, OSError, RuntimeError, ValueError, ImportError) as error:
        return Finding(subject, PROBLEM, " ".join(str(error).split()) or type(error).__name__)
