"""tools/report.py: one well-formed page for every kind of run, in which nothing of the user's is HTML."""

import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from slowfast.commands.report import contents_of, example_of, main, worst_classes
from slowfast.engine.test_net import run_test
from slowfast.engine.train_net import train
from slowfast.utils.result_files import CONFUSED_PAIRS, PER_CLASS, PREDICTIONS, write_table
from slowfast.visualization.logs import read_run
from slowfast.visualization.report_page import duration
from tests.engine.tiny import moving_stripes, tiny_cfg, write_dataset
from tests.videos import write_video
from tests.visualization.logs import TEST, config, end_of_epoch, iteration, records, write_log

VOID = {"meta", "img", "br"}
EVIL = "<script>alert('1')</script> & \"quoted\" \u202e\x07"


class Page(HTMLParser):
    """Fails where an element is not closed, and collects the elements, their attributes and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text += " " * (tag in ("td", "th"))

    def handle_data(self, data):
        self.text += data if self.open[-1:] != ["style"] else ""

    def count(self, tag):
        return sum(tag == element for element, _ in self.elements)

    def has(self, words):
        return words in re.sub(r"\s+", " ", self.text)


def report(folder, *options):
    assert main([str(folder), *options]) == 0
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def write_predictions(folder, rows):
    header = ("path", "label", "label_name", "error", "prediction", "prediction_name", "score")
    write_table(folder / PREDICTIONS, header, rows)


def test_a_real_run_is_reported_with_its_wrong_predictions(tmp_path):
    (tmp_path / "data").mkdir()
    short = {"SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0], "SOLVER__LRS": [1]}
    cfg = tiny_cfg(write_dataset(tmp_path / "data"), tmp_path / "run", **short)
    train(cfg)
    figures = run_test(cfg)
    page = report(tmp_path / "run")
    assert page.has("finished: 3 of 3 iterations, epoch 1/1")
    assert page.has(f"test {figures['top1_acc']:.2f} % ")
    assert page.has("6 videos (0 failed) on 2 clips x 3 crops of 32 px, 8 frames x stride 2, short side 32 px")
    assert page.has("SOLVER.BASE_LR 0.1 0.01")
    assert page.has("1 0 0.00-1.00 4x8x32 2 0.01 1 of 4 clips 3 100.0%")
    assert page.has("torch 2.")
    wrong = round(6 * (1 - figures["top1_acc"] / 100))
    assert page.has(f"{wrong} videos of the test have a wrong prediction")
    frames = [attributes for tag, attributes in page.elements if attributes.get("alt", "").startswith("frame ")]
    assert len(frames) == 4 * wrong
    assert all(frame["src"].startswith("data:image/jpeg;base64,") for frame in frames)


def test_names_and_paths_are_text_and_a_page_needs_nothing_from_outside(tmp_path):
    folder = write_log(tmp_path / "run", [*records(), {"_type": "start", "time": EVIL, "videos": 1, "torch": EVIL}])
    write_table(folder / PER_CLASS, ("class", "name", "videos", "top1_acc", "protocol"), [(0, EVIL, 4, "25.00", EVIL)])
    header = ("label", "label_name", "prediction", "prediction_name", "videos", "percent_of_label", "protocol")
    write_table(folder / CONFUSED_PAIRS, header, [(0, EVIL, 1, EVIL, 3, "75.00", EVIL)])
    write_predictions(folder, [(f"/{EVIL}/caf\udce9.mp4", 0, EVIL, "", 1, EVIL, 0.5)])
    write_table(folder / "bad_videos.csv", ("path", "error"), [(EVIL, EVIL)])
    page = report(folder)
    assert not {"script", "link", "iframe", "object"}.intersection(tag for tag, _ in page.elements)
    addresses = [attributes.get("src") for tag, attributes in page.elements if tag == "img"]
    assert len(addresses) >= 6
    assert all(address.startswith("data:image/") for address in addresses)
    assert page.has(r"caf\xe9.mp4")
    shown = "<script>alert('1')</script> & \"quoted\" \ufffd\ufffd"
    assert page.text.count(shown) >= 8
    assert not re.search(r"[\x07\u202e]", page.text)


def test_wrong_predictions_are_those_with_the_highest_scores_and_of_sets_those_outside_the_set(tmp_path):
    rows = [("right", "1", "", "", 1, "", 9), ("set", "0,1", "", "", 1, "", 9), ("bad", "0", "", "cut off")]
    rows += [(f"/wrong{k}", "0,2", "a; c", "", 1, "b", k) for k in (3, 11, 7)]
    write_predictions(tmp_path, rows)
    contents = contents_of(read_run(write_log(tmp_path, records())), num_examples=2)
    assert contents.num_wrong == 3
    assert [(e.path, e.label, e.prediction, e.score) for e in contents.examples] == [
        ("/wrong11", "a; c", "b", "11"),
        ("/wrong7", "a; c", "b", "7"),
    ]
    assert contents.examples[0].note.startswith("the video cannot be read here")


def test_frames_of_videos_and_of_folders_of_images_are_small(tmp_path):
    frames = moving_stripes(0, height=300, width=400)
    video = write_video(tmp_path / "v.mp4", frames=frames)
    (tmp_path / "images").mkdir()
    for i, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.jpg"), frame[..., ::-1])
    rows = [{"label": "0", "label_name": "", "prediction": "1", "prediction_name": "", "score": "1"}] * 2
    examples = [
        example_of(row | {"path": str(path)}) for row, path in zip(rows, (video, tmp_path / "images"), strict=True)
    ]
    pictures = [[cv2.imdecode(np.frombuffer(frame, np.uint8), 1) for frame in e.frames] for e in examples]
    assert [picture.shape for of_one in pictures for picture in of_one] == [(128, 171, 3)] * 8
    same = np.abs(np.array(pictures[0], float) - np.array(pictures[1], float)).mean()
    assert same < 12  # the same frames with the same colors


def test_one_class_of_many_has_results(tmp_path):
    rows = [(k, f"class {k}", 0, 0, "", "p") for k in range(400)]
    rows[7] = (7, "class 7", 5, 2, "40.00", "p")
    write_table(tmp_path / PER_CLASS, ("class", "name", "videos", "correct", "top1_acc", "protocol"), rows)
    assert worst_classes(tmp_path).rows == [("class 7", "40.00\u00a0%", "5")]


MULTI_LABEL = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit", "MODEL__HEAD_ACT": "sigmoid"}
OLD_TEST = {"_type": "test_epoch", "top1_acc": 1.0, "videos": 2, "failed": 0, "views": 1, "crops": 3}
SETS = TEST | {"map": 0.25, "top1_acc": None, "top5_acc": None}
KINDS = {  # records, changes of the config or None without one, words of the page
    "still going": (records(epochs=3, test=False), {}, "not finished (still going, or interrupted): 12 of 32 iter"),
    "just started": ([records()[0], iteration(1)], {}, "1 of 32 iterations, epoch 1/8, 2 s."),
    "no results yet": ([iteration(1) | {"top1_acc": 5.0}], {}, "There is no accuracy in the log"),
    "no validation": ([iteration(1), end_of_epoch("train_epoch", 8, loss=1.0)], {}, "There is no accuracy in the log"),
    "a test alone": ([TEST], {}, "a test without a training"),
    "sets of labels": ([iteration(1), SETS], MULTI_LABEL, "mAP measured on test 25.00 % 6 videos (1 failed)"),
    "an old log": ([iteration(1), OLD_TEST], None, "2 videos (0 failed) on 1 clips x 3 crops"),
    "no plan": (records(), {"TRAIN__BATCH_SIZE": 3, "NUM_GPUS": 2}, "TRAIN.BATCH_SIZE: 3 is not divisible"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_has_a_page(kind, tmp_path):
    found, changes, words = KINDS[kind]
    page = report(write_log(tmp_path, found, None if changes is None else config(tmp_path, **changes)))
    assert page.has(words)


def test_times_are_in_words():
    assert [duration(seconds) for seconds in (5.4, 65, 3_720, 360_000)] == [
        *("5 s", "1 min 5 s", "1 h 2 min", "100 h 0 min")
    ]
