#!/usr/bin/env python3
"""Run everything that this project wants to know of a GPU, in the order of value, within a time limit.

run.py [SECTION ...] [--out FOLDER] [--device cuda|cpu] [--limit SECONDS]

Every section has a limit of its own. After each of them, FOLDER (default: $OUT) gets `summary.json` and
`gpu_logs.tar.gz`, so that what is finished survives the end of the machine. `--device cpu` is a dry run with smaller
models, which shows that the commands work.

The machine needs CUDA's torch, NumPy, OpenCV and pytest. What else is missing comes from the wheels in `.whl`, which
`benchmarks/gpu/wheels.sh` collects. This file needs the standard library only.
"""

import argparse
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("torch", "numpy", "cv2", "pytest", "av", "fvcore", "iopath", "yacs", "termcolor", "simplejson")
GRACE_SEC = 10.0  # from SIGINT to SIGKILL
SHOWN_LINES = 40


class Section(NamedTuple):
    """Commands, of which each runs whether or not those before it succeed, and their limit together."""

    name: str
    seconds: float
    commands: tuple[str, ...]


DEMO = "configs/Demo/SLOWFAST_4x8_R26_W16_multigrid.yaml"
R50 = "configs/multigrid_paper/SLOWFAST_32x2_R50_multigrid.yaml"
VIDEOS = "--cfg {demo} DATA.PATH_TO_DATA_DIR {data} DATA.PATH_PREFIX {data}"
STORE = VIDEOS + " DATA.PREPARED_DIR {store} NUM_GPUS {gpus} DATA_LOADER.NUM_WORKERS {workers} {smaller}"
MAKE_VIDEOS = "{python} tools/make_demo_data.py {data} {videos}"
PREPARE_VIDEOS = "{python} tools/prepare_videos.py {store} --splits train " + VIDEOS
CHECKS = "{python} benchmarks/gpu/checks.py --device {device} {quick} --json {figures}"
TESTS = "{python} -m pytest -q -p benchmarks.gpu.device_plugin -p no:cacheprovider --maxfail 30 --tb line"
SPEEDUP = "{python} projects/multigrid/speedup.py --paper --split {steps} --device {device} --json {figures}"
MODERN = "{python} projects/multigrid/speedup.py --cfg {modern} --split {steps} --device {device} --json {figures}"
TRAIN = "{python} tools/run_net.py " + STORE + " LOG_PERIOD 20 OUTPUT_DIR {logs}/demo"
WAITING = "{python} benchmarks/gpu/waiting.py {logs}/demo"
MICRO = "{python} benchmarks/gpu/micro.py --device {device} {quick} --rounds {rounds}"
NORM = "{python} projects/multigrid/bench_batch_norm.py --device {device} --rounds {rounds}"
BENCHMARK = "{python} tools/benchmark.py {section} --device {device} --repeats {repeats} --json {figures} "
MIXED, FULL_PRECISION = " TRAIN.MIXED_PRECISION True", " TRAIN.MIXED_PRECISION False"
MAKE = Section("videos", 75, (MAKE_VIDEOS, PREPARE_VIDEOS))
SECTIONS = (
    Section("smi", 10, ("{smi}",)),
    MAKE,
    Section("checks", 180, (CHECKS + " --without compiled",)),
    Section("tests", 60, (TESTS + " -k 'not process' {tests}",)),
    Section("speedup_bf16", 110, (SPEEDUP + MIXED,)),
    Section("modern_bf16", 60, (MODERN + MIXED,)),
    Section("demo_bf16", 45, (TRAIN + MIXED, WAITING)),
    Section("demo_fp32", 45, (TRAIN + FULL_PRECISION, WAITING)),  # resumes if the other was stopped
    Section("micro", 60, (MICRO,)),
    Section("norm_bf16", 25, (NORM + " --dtype bfloat16",)),
    Section("norm_fp32", 25, (NORM + " --dtype float32",)),
    Section("speedup_fp32", 110, (SPEEDUP + FULL_PRECISION,)),
    Section("model", 60, (BENCHMARK + "--cfg {model}" + MIXED,)),
    Section("train", 30, (BENCHMARK + STORE + MIXED,)),
    Section("test", 30, (BENCHMARK + STORE + MIXED + " TEST.RANDOM_WEIGHTS True",)),
    Section("data", 30, (BENCHMARK + STORE,)),
    Section("compiled", 120, (CHECKS + " --only compiled",)),
)
FULL = {
    "demo": DEMO,
    "model": R50,
    "modern": "configs/Kinetics/X3D_M_multigrid.yaml configs/Kinetics/MVITv2_S_16x4_multigrid.yaml",
    "smi": "nvidia-smi",
    "quick": "",
    "steps": "--iterations 6 --warmup 2",
    "rounds": "15",
    "repeats": "3",
    "gpus": "1",
    "workers": "8",
    "videos": "",
    "smaller": "DATA_LOADER.PIN_MEMORY True",
    "tests": "tests/multigrid/test_batch_norm.py tests/models tests/optim",
}
DRY = {
    "demo": DEMO,
    "model": DEMO + " TRAIN.BATCH_SIZE 1",
    "modern": "configs/Demo/X3D_16x2_W8_multigrid.yaml configs/Demo/MVITv2_16x2_W32_multigrid.yaml",
    "smi": "uname -a",
    "quick": "--quick",
    "steps": "--reduced --iterations 1 --warmup 0 TRAIN.BATCH_SIZE 8",
    "rounds": "1",
    "repeats": "1",
    "gpus": "0",
    "workers": "1",
    "videos": "--train-per-class 4 --val-per-class 1 --test-per-class 1",
    "smaller": "TRAIN.BATCH_SIZE 1 SOLVER.MAX_EPOCH 2 SOLVER.STEPS [0,1] SOLVER.LRS [1,0.1] SOLVER.WARMUP_EPOCHS 0",
    "tests": "tests/optim",
}


class Run:
    """The sections of one visit. Each writes its log to `logs`, and then archives all of them in `out`."""

    def __init__(self, device: str, logs: Path, out: Path, limit: float, python_path: str):
        self.logs, self.out, self.deadline = logs, out, perf_counter() + limit
        folders = {"logs": self.logs, "data": self.logs / "videos", "store": self.logs / "prepared"}
        self.words = (FULL if device == "cuda" else DRY) | {"device": device, "python": shlex.quote(sys.executable)}
        self.words |= {name: shlex.quote(str(folder)) for name, folder in folders.items()}
        self.environment = os.environ | {"PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1", "TEST_DEVICE": device}
        self.summary: list[dict] = []

    def section(self, section: Section, scale: float = 1.0) -> None:
        """Run a section, print the end of its log, and archive it."""
        seconds = min(section.seconds * scale, self.deadline - perf_counter())
        begun, log, statuses = perf_counter(), self.logs / f"{section.name}.log", []
        figures = shlex.quote(str(log.with_suffix(".json")))
        print(f"=== {section.name}, at most {max(seconds, 0):.0f} s", flush=True)
        for command in section.commands if seconds >= 1 else ():
            words = shlex.split(command.format_map(self.words | {"section": section.name, "figures": figures}))
            statuses.append(run_command(words, begun + seconds - perf_counter(), log, self.environment))
        spent = perf_counter() - begun
        print_end(log)
        print(f"=== {section.name}: {', '.join(statuses) or 'no time left'}, after {spent:.0f} s", flush=True)
        self.summary.append({"section": section.name, "statuses": statuses, "seconds": round(spent, 1)})
        self._archive()

    def _archive(self) -> None:
        replace_file(self.out / "summary.json", lambda path: path.write_text(json.dumps(self.summary, indent=1)))
        replace_file(self.out / "gpu_logs.tar.gz", self._write_archive)

    def _write_archive(self, path: Path) -> None:
        """Archive the logs and figures, and no videos or checkpoints."""
        files = [file for end in ("log", "json") for file in self.logs.glob(f"*.{end}")]
        with tarfile.open(path, "w:gz") as archive:
            for file in [*files, *self.logs.glob("demo/*.log")]:
                archive.add(file, file.relative_to(self.logs))


def run_command(words: Sequence[str], seconds: float, log: Path, environment: dict[str, str]) -> str:
    """Run a command, append its output to `log`, and return how it ended. At its limit it is stopped."""
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(words)}\n".encode())
        output.flush()
        try:
            process = subprocess.Popen(
                words, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            return f"status {process.wait(max(seconds, 1.0))}"
        except OSError as error:
            return f"cannot start: {error.strerror}"
        except subprocess.TimeoutExpired:
            return f"stopped at its limit with status {stop(process)}"


def stop(process: subprocess.Popen) -> int:
    """End a process and all that it has started, and return its status."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE_SEC)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def print_end(log: Path) -> None:
    """Print the last lines of a log."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    print("\n".join(line[:400] for line in lines[-SHOWN_LINES:]), flush=True)


def replace_file(path: Path, write) -> None:
    """Call `write` with a new path, and give the file its name when it is complete."""
    part = path.with_name(f"{path.name}.part")
    write(part)
    part.replace(path)


def missing_modules(site: Path) -> list[str]:
    """Return the modules that this interpreter cannot import, looking in `site` too."""
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    return [name for name in MODULES if importlib.util.find_spec(name) is None]


def install_wheels(wheels: Path, site: Path) -> None:
    """Unpack wheels into `site`, without network. Exit where modules are still missing."""
    files = sorted(map(str, wheels.glob("*.whl")))
    if files and missing_modules(site):
        options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade", "--target", str(site)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *files], check=True)
    if missing := missing_modules(site):
        sys.exit(f"missing: {', '.join(missing)}; collect wheels with benchmarks/gpu/wheels.sh, and bring {wheels}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [section.name for section in SECTIONS]
    parser.add_argument("sections", metavar="SECTION", nargs="*", default=[], help=", ".join(names))
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT", "gpu_logs"), help="folder of the results")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--limit", type=float, default=540, help="seconds for everything (540)")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".whl", help="folder of wheels (.whl)")
    args = parser.parse_args(argv)
    if unknown := set(args.sections).difference(names):
        parser.error(f"unknown sections: {', '.join(sorted(unknown))}; choose from {', '.join(names)}")
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = with_videos([section for section in SECTIONS if section.name in args.sections or not args.sections])
    scale = max(1.0, args.limit / sum(section.seconds for section in chosen))  # few sections share all the time
    with tempfile.TemporaryDirectory(prefix="gpu_") as folder:
        site = Path(folder) / "site"
        install_wheels(args.wheels, site)
        path = f"{site}:{ROOT}:{os.environ.get('PYTHONPATH', '')}"
        run = Run(args.device, Path(folder), args.out, args.limit, path)
        for section in chosen:
            run.section(section, scale)
    print(f"results: {args.out / 'gpu_logs.tar.gz'}")
    return int(any(not is_good(status) for entry in run.summary for status in entry["statuses"]))


def with_videos(sections: list[Section]) -> list[Section]:
    """Put the section that makes the videos in front of `sections`, if one of them reads videos."""
    reads = any("{store}" in command for section in sections for command in section.commands)
    return [MAKE, *sections] if reads and MAKE not in sections else sections


def is_good(status: str) -> bool:
    """Return whether a command succeeded or was stopped at its limit."""
    return status == "status 0" or status.startswith("stopped")


if __name__ == "__main__":
    sys.exit(main())
