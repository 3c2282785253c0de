"""The command that exports a model."""

import importlib.util
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import slowfast
from slowfast.commands.export import main
from slowfast.inference import export as exporting
from slowfast.models import MODEL_REGISTRY
from slowfast.models.heads import Head
from slowfast.models.slowfast import SlowFast
from tests.inference.conftest import NAMES, cfg_of


def clips_of(count):
    return torch.randint(0, 256, (count, 8, 32, 32, 3), dtype=torch.uint8)


class Short(SlowFast):
    """A SlowFast without its residual stages, which takes a fraction of the time to export."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.parts, self.head = ["s1", "s1_fuse", "head"], Head([6, 1], cfg.MODEL.NUM_CLASSES)
        del self.s2, self.s3, self.s4, self.s5


@pytest.fixture
def short(videos, tmp_path):
    """The path of a checkpoint, and its model."""
    MODEL_REGISTRY._obj_map["Short"] = Short
    cfg = cfg_of(videos, tmp_path, MODEL__MODEL_NAME="Short")
    content = {"model_state": Short(cfg).state_dict(), "cfg": cfg.dump(), "class_names": NAMES, "epoch": 0}
    torch.save(content, tmp_path / "short.pyth")
    yield tmp_path / "short.pyth", slowfast.load(tmp_path / "short.pyth")
    del MODEL_REGISTRY._obj_map["Short"]


def test_programs_have_the_scores_of_the_model_for_any_number_of_clips(short, tmp_path, capsys):
    path, model = short
    assert main([str(path), str(tmp_path / "a.pt2"), str(tmp_path / "a.onnx")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == [f"{tmp_path}/a.pt2", f"{tmp_path}/a.onnx"]
    names = {"class_names.json": ""}
    program = torch.export.load(tmp_path / "a.pt2", extra_files=names).module()
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    for count in (1, 2, 5):
        clips = clips_of(count)
        expected = model(clips)
        torch.testing.assert_close(program(clips), expected)
        (scores,) = session.run(["scores"], {"clips": np.asarray(clips)})
        torch.testing.assert_close(torch.tensor(scores), expected, rtol=1e-4, atol=1e-5)
    assert json.loads(names["class_names.json"]) == NAMES
    saved = {entry.key: entry.value for entry in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert json.loads(saved["class_names"]) == NAMES


def test_a_program_with_other_scores_is_removed(run, model, tmp_path, monkeypatch, capsys):
    def write(program, clips, model, path):
        (tmp_path / "a.pt2").write_text("a program")

    monkeypatch.setitem(exporting.FORMATS, ".pt2", (write, lambda path, device: lambda clips: 1.1 * model(clips)))
    with pytest.raises(SystemExit) as end:
        main([str(run), str(tmp_path / "a.pt2")])
    assert end.value.code == 2
    assert "its scores differ from those of the model by 0.1; it was removed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_packages_and_other_formats_are_mistakes(run, tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "onnx" in name else find(name))
    for name, message in {
        "a.onnx": "needs onnx, onnxscript, onnxruntime: pip install onnx onnxscript onnxruntime (extra 'onnx')",
        "a.pb": "'a.pb' must end in .pt2 or .onnx",
        "no/a.pt2": "OUT: the folder 'no' does not exist",
    }.items():
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as end:
            main([str(run), name])
        assert end.value.code == 2
        assert message in capsys.readouterr().err
