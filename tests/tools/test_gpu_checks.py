"""The checks for a GPU, in a dry run on the CPU, and how their failures are reported."""

import json

import torch

from benchmarks.gpu import checks
from benchmarks.gpu.checking import Check, Runner, Settings, cases, report
from tests.tools import example_checks as example

FAST = ("versions", "batch_norm", "no_waiting", "layouts", "convolution", "resume", "world_of_one")
FAST += ("pinned_evaluation", "out_of_memory")


def test_the_fast_checks_pass_on_a_cpu(tmp_path, capsys):
    file = tmp_path / "checks.json"
    status = checks.main(["--device", "cpu", "--quick", "--json", str(file), "--only", *FAST])
    printed, results = capsys.readouterr().out, json.loads(file.read_text())
    assert status == 0, printed
    expected = [check for check in checks.CHECKS if check.name in FAST]
    assert [result["kind"] for result in results] == [check.kind for check in expected for _ in check.cases]
    assert [line.split()[0] for line in printed.splitlines()][:-1] == [result["kind"] for result in results]
    assert printed.splitlines()[-1] == f"{len(results) - 1} PASS, 0 FAIL, 1 INFO"


def test_a_check_that_fails_crashes_or_hangs_is_reported_and_the_others_run(tmp_path, capsys):
    last = Check("right", example.right, cases(number=(1, 2)))
    table = [
        Check("wrong", example.wrong),
        Check("crashing", example.crashing),
        Check("hanging", example.hanging, seconds=0.1),
        last,
    ]
    results = list(Runner(Settings(torch.device("cpu"))).results(table))
    assert report(results, tmp_path / "checks.json") == 1
    assert [result.kind for result in results] == ["FAIL"] * 3 + ["PASS"] * 2
    assert results[0].text == "KeyError: 'what is missing'"
    assert "in wrong" in "".join(results[0].trace)
    assert "BrokenProcessPool" in results[1].text
    assert results[2].text == "no result within its time"
    assert [result.name for result in results[3:]] == ["right 1", "right 2"]
    assert results[3].text == "1 on cpu"
    assert "2 PASS, 3 FAIL, 0 INFO" in capsys.readouterr().out
