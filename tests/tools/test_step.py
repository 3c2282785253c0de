"""The comparison of updates and layouts on a CPU."""

from benchmarks import step
from tests.engine.tiny import command


def test_the_choices_of_a_step_are_measured(tmp_path, capsys):
    path = command(tmp_path, tmp_path / "out")[-1]
    step.main(["--cfg", path, "--repeats", "1", "MODEL.NUM_CLASSES", "4"])
    lines = [line.strip("| ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert cells[0] == list(step.UPDATES)
    assert cells[3] == ["clips", "frames", "px", *step.LAYOUTS]
    assert len(cells) == 3 + 2 + len(step.SHAPES)
    assert all(float(cell) > 0 for row in (cells[2], *cells[5:]) for cell in row)
