#!/usr/bin/env python3
"""Kill a training at random moments, resume it each time, and compare its result with that of an unbroken run.

soak.py OUT [--kills 30] [--processes 1] [--launcher run_net] --cfg FILE [KEY VALUE ...]

The final weights, their averages, running statistics and momenta must be equal bit for bit. A training that ends before
all kills are done starts again. The exit status is 1 if anything differs, or if a run ends in another way than by its
signal.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from slowfast.errors import UserError
from slowfast.utils.checkpoint_file import read_checkpoint
from slowfast.utils.checkpoint_folder import last_checkpoint
from slowfast.utils.machine import processor_name
from slowfast.utils.parser import argument_parser, fail_cleanly, parse_args
from slowfast.utils.stop import EXIT_CODES

RUN_NET = str(Path(__file__).with_name("run_net.py"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SAVE_MINUTES = 0.02  # so that some kills come between two checkpoints, and some inside one
END_SEC = 60  # for all processes of a run to end after their launcher


def main() -> None:
    with fail_cleanly():
        parser = argument_parser(__doc__)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("out", type=Path, help="folder of the runs")
        parser.add_argument("--kills", type=int, default=30)
        parser.add_argument("--processes", type=int, default=1)
        parser.add_argument("--launcher", choices=["run_net", "torchrun"], default="run_net")
        parser.add_argument("--seed", type=int, default=0, help="of the moments and signals")
        args = parse_args(None, parser)
        words = ["--cfg", *args.cfg_files, *args.opts, "TEST.ENABLE", "False", "NUM_GPUS"]
        words += ["0" if args.processes == 1 or args.launcher == "torchrun" else str(args.processes)]
        print(f"{os.cpu_count()} x {processor_name()}, torch {torch.__version__}, {args.processes} process(es)")
        sys.exit(soak(command(args.launcher, args.processes) + words, args.out, args.kills, args.seed))


def command(launcher: str, processes: int) -> list[str]:
    """Return the command line that starts a run, without its config."""
    if launcher == "run_net":
        return [sys.executable, RUN_NET]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", RUN_NET]


def soak(words: list[str], out: Path, kills: int, seed: int) -> int:
    """Run the unbroken training and the broken ones, print a table, and return the number of failures."""
    if out.exists():
        raise UserError(f"{out} exists already; name a new folder")
    start = time.monotonic()
    code = run(words, out / "unbroken", out / "unbroken.txt")
    if code:
        raise UserError(f"the unbroken run ended with status {code}: see {out / 'unbroken.txt'}")
    seconds = time.monotonic() - start
    print(f"unbroken run: {seconds:.0f} s\n\nkill  after s  signal    to        status  next run resumes at")
    moments = random.Random(seed)
    failures, broken = 0, out / "broken"
    for number in range(1, kills + 1):
        at, how, to_all = moments.uniform(0, seconds), moments.choice(SIGNALS), moments.random() < 0.5
        code = run(words, broken, out / f"{number}.txt", at, how, to_all)
        expected = {EXIT_CODES.get(how), -how, 0}
        failures += code not in expected
        to = "all" if to_all else "launcher"
        print(f"{number:4}  {at:7.1f}  {how.name:8}  {to:8}  {code:6}  {progress(broken)}", flush=True)
        if code == 0:
            failures += compare(out / "unbroken", broken)
            shutil.rmtree(broken)
    code = run(words, broken, out / "last.txt")
    failures += bool(code) or compare(out / "unbroken", broken)
    print(f"\n{kills} kills, {failures} failures")
    return min(failures, 1)


def run(
    words: list[str],
    output: Path,
    log: Path,
    at: float | None = None,
    how: signal.Signals = signal.SIGKILL,
    to_all: bool = True,
) -> int:
    """Run a training, and after `at` seconds send it a signal. Return its status when all its processes have ended."""
    output.mkdir(parents=True, exist_ok=True)
    with open(log, "w") as file:
        keys = ["OUTPUT_DIR", str(output), "TRAIN.CHECKPOINT_MINUTES", str(SAVE_MINUTES)]
        process = subprocess.Popen([*words, *keys], stdout=file, stderr=file, start_new_session=True)
        try:
            process.wait(at)
        except subprocess.TimeoutExpired:
            (os.killpg if to_all else os.kill)(process.pid, how)
        code = process.wait()
    wait_for_group(process.pid)
    return code


def wait_for_group(group: int) -> None:
    """Wait until no process of a group is left. Raise UserError if some stay."""
    deadline = time.monotonic() + END_SEC
    while list(members(group)):
        if time.monotonic() > deadline:
            raise UserError(f"processes {list(members(group))} are left {END_SEC} s after their launcher has ended")
        time.sleep(0.05)


def members(group: int) -> Iterator[int]:
    """Yield the processes of a group that run (Linux)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended
            continue
        if int(its_group) == group and state != "Z":
            yield int(path.parent.name)


def progress(output: Path) -> str:
    last = last_checkpoint(output)
    return f"epoch {read_checkpoint(last)['position']:.3f}" if last else "epoch 0"


def compare(unbroken: Path, broken: Path) -> int:
    """Print whether two trainings have ended with the same state, bit for bit. Return 1 if not."""
    states = [dict(_tensors(read_checkpoint(last_checkpoint(folder)))) for folder in (unbroken, broken)]
    differing = [name for name, tensor in states[0].items() if not torch.equal(tensor, states[1][name])]
    print(f"      done: {len(differing)} of {len(states[0])} tensors differ from the unbroken run", flush=True)
    return bool(differing)


def _tensors(content: dict) -> Iterator[tuple[str, torch.Tensor]]:
    for part in ("model_state", "trained_state"):  # an average of weights, and the weights
        yield from ((f"{part}.{name}", tensor) for name, tensor in content.get(part, {}).items())
    for number, state in content["optimizer_state"]["state"].items():
        yield from ((f"{number}.{name}", value) for name, value in state.items() if isinstance(value, torch.Tensor))


if __name__ == "__main__":
    main()
