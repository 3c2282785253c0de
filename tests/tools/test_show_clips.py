"""show_clips: the pictures are the frames that the network receives, and the texts say which."""

import av
import cv2
import numpy as np
import pytest
import torch

from slowfast.commands import show_clips
from slowfast.config.load import load_cfg
from slowfast.datasets.build import DATASET_REGISTRY, build_dataset
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.pathways import PackPathways
from slowfast.engine.seen_clips import network_order, seen_clips, shown_names
from slowfast.multigrid import ClipIndex
from slowfast.visualization.clips import CELL, Pathway, SeenClip, contact_sheet
from tests.datasets.data import frame_rows, write_frame_list, write_frames
from tests.engine.tiny import BOTH_CYCLES, tiny_options, write_dataset
from tests.videos import read_numbers, write_video

WHOLE = {"DATA__TRAIN_JITTER_SCALES": [32, 32], "DATA__RANDOM_FLIP": False}  # a crop shows the whole square picture


def options(folder, **changes):
    return tiny_options(folder, folder / "out", **changes)


def seen(folder, split, indices, **changes):
    """The clips of one batch of the loader, as show_clips gets them."""
    cfg = load_cfg(None, options(folder, **changes))
    dataset, pack = build_dataset(cfg.TRAIN.DATASET, cfg, split), PackPathways.from_cfg(cfg)
    (batch,) = construct_loader(cfg, split, dataset, [indices])
    clips = seen_clips(batch, dataset, split, pack, shown_names(cfg, dataset), indices)
    return clips, network_order(dataset, pack)


def numbered_videos(folder, labels=("0", "1", "2")):
    paths = [write_video(folder / f"{n}.mp4", 40, (48, 48)) for n in range(len(labels))]
    for split in ("train", "val", "test"):
        lines = (f"{path} {label}\n" for path, label in zip(paths, labels, strict=True))
        (folder / f"{split}.csv").write_text("".join(lines))


def numbered_images(folder):
    rows = [
        row for n in range(3) for row in frame_rows(f"v{n}", n, write_frames(folder, f"v{n}", 40, (48, 48)), ["1"] * 40)
    ]
    for split in ("train", "val"):
        write_frame_list(folder / f"{split}.csv", rows)


def is_red_above_blue(pictures):
    return (pictures[..., 0].astype(int) > pictures[..., 2]).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_pictures_are_the_frames_that_their_numbers_name(tmp_path, reverse):
    numbered_videos(tmp_path)
    indices = [ClipIndex(2, 3, 8, 32), ClipIndex(0, 3, 8, 32)]
    clips, order = seen(tmp_path, "train", indices, **WHOLE, DATA__REVERSE_INPUT_CHANNEL=reverse)
    assert order == ("BGR" if reverse else "RGB")
    assert [clip.details[0].split("/")[-1] for clip in clips] == ["2.mp4", "0.mp4"]
    for clip in clips:
        assert [(pathway.name, len(pathway.frames)) for pathway in clip.pathways] == [("slow", 2), ("fast", 8)]
        for pathway in clip.pathways:
            assert read_numbers(pathway.pictures) == list(pathway.frames)
            assert is_red_above_blue(pathway.pictures)


def test_a_list_of_images_shows_its_colors_and_frames(tmp_path):
    numbered_images(tmp_path)
    changes = {"TRAIN__DATASET": "charades", "DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit"}
    clips, order = seen(tmp_path, "train", [ClipIndex(1, 0, 8, 32)], **WHOLE, **changes)
    assert order == "BGR"
    assert clips[0].heading == "class 1"
    assert read_numbers(clips[0].pathways[1].pictures) == list(clips[0].pathways[1].frames)
    assert is_red_above_blue(clips[0].pathways[1].pictures)


def test_every_view_of_a_test_video_has_its_own_frames(tmp_path):
    numbered_videos(tmp_path)
    clips, _ = seen(tmp_path, "test", [1], **WHOLE)
    assert len(clips) == 6
    assert clips[4].details[1].startswith("view 5 of 6; frames")
    assert [read_numbers(clip.pathways[0].pictures) for clip in clips] == [list(c.pathways[0].frames) for c in clips]
    assert clips[0].pathways[0].frames != clips[5].pathways[0].frames


def test_every_augmented_clip_of_a_video_is_shown_with_its_operations_and_boxes(tmp_path):
    numbered_videos(tmp_path)
    changes = WHOLE | {"AUG__ENABLE": True, "AUG__NUM_SAMPLE": 2, "AUG__AA_TYPE": "rand-m0-n9", "AUG__RE_PROB": 1.0}
    clips, _ = seen(tmp_path, "train", [ClipIndex(2, 3, 8, 32), ClipIndex(0, 3, 8, 32)], **changes)
    assert [clip.details[0].split("/")[-1] for clip in clips] == ["2.mp4", "2.mp4", "0.mp4", "0.mp4"]
    assert [clip.details[1][:11] for clip in clips] == ["view 1 of 2", "view 2 of 2"] * 2
    assert len({clip.details[2] for clip in clips}) == 4  # the operations
    assert clips[0].pathways[1].frames == clips[1].pathways[1].frames
    plain, _ = seen(tmp_path, "train", [ClipIndex(2, 3, 8, 32)], **(changes | {"AUG__RE_PROB": 0.0}))
    assert (plain[0].pathways[1].pictures != clips[0].pathways[1].pictures).any()
    contact_sheet("title", clips)


def test_classes_have_the_names_of_the_file_beside_the_lists(tmp_path):
    numbered_videos(tmp_path, ["0,2", "1", '""'])
    (tmp_path / "classes.json").write_text('["Äpfel schälen", "$unusual_name$", "走る"]')
    changes = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit"}
    clips, _ = seen(tmp_path, "val", [0, 1, 2], **WHOLE, **changes)
    assert [clip.heading for clip in clips] == ["Äpfel schälen, 走る", "$unusual_name$", "no label"]
    contact_sheet("title", clips)


def test_a_video_that_replaces_a_bad_one_is_shown_with_the_error(tmp_path):
    numbered_videos(tmp_path)
    (tmp_path / "1.mp4").write_bytes(b"no video")
    (clip,), _ = seen(tmp_path, "train", [ClipIndex(1, 0, 8, 32)], **WHOLE)
    assert "in place of" in clip.details[0]
    assert "1.mp4" in clip.details[0].split("in place of")[1]
    assert read_numbers(clip.pathways[1].pictures) == list(clip.pathways[1].frames)
    (clip,), _ = seen(tmp_path, "val", [1], **WHOLE)
    assert clip.details[0].startswith("cannot be decoded")


def test_undoing_the_normalization_gives_the_decoded_pixels():
    clips = torch.randint(256, (2, 4, 5, 7, 3), dtype=torch.uint8)
    for reverse in (False, True):
        pack = PackPathways([0.4, 0.5, 0.6], [0.2, 0.3, 0.4], reverse)
        assert torch.equal(pack.pictures(pack(clips)[0], reverse), clips)


def red_clip(heading, frames, side=37):
    pictures = np.zeros((frames, side, side, 3), np.uint8)
    pictures[..., 0] = 255
    pathways = [Pathway("slow", pictures[:2], [0, frames - 1]), Pathway("fast", pictures, range(frames))]
    return SeenClip(heading, ["a/very" * 60 + ".mp4", "frames 0 to 7 " * 20], pathways)


@pytest.mark.parametrize(("frames", "shown"), [(2, 4), (7, 9), (64, 18)])
def test_no_text_covers_a_picture_of_a_sheet(frames, shown):
    sheet = contact_sheet("title " * 200, [red_clip("W" * 300, frames), red_clip("class", frames)])
    assert (sheet == [255, 0, 0]).all(-1).sum() == 2 * shown * CELL**2


def test_the_tool_writes_a_sheet_and_a_video_for_every_shape(tmp_path, capsys):
    write_dataset(tmp_path)
    changes = BOTH_CYCLES | {"DATA__TRAIN_CROP_SIZE": 63, "TEST__NUM_ENSEMBLE_VIEWS": 1}
    config = tmp_path / "config.yaml"
    config.write_text(load_cfg(None, options(tmp_path, **changes)).dump())
    words = ["--cfg", str(config), "--videos", "3", "--out", str(tmp_path / "sheets")]
    assert show_clips.main(words) == 0
    names = sorted(path.name for path in (tmp_path / "sheets").glob("train*.png"))
    assert names == [f"train_0{n}_{shape}.png" for n, shape in enumerate(SHAPES, start=1)]
    assert capsys.readouterr().out.count("training, shape") == len(SHAPES)
    for name in names:
        assert cv2.imread(str(tmp_path / "sheets" / name)) is not None
        with av.open(str(tmp_path / "sheets" / name.replace(".png", ".mp4"))) as video:
            assert sum(1 for _ in video.decode(video=0)) >= 24
    assert show_clips.main([*words, "--split", "test"]) == 0
    assert len(list((tmp_path / "sheets").glob("test_*.png"))) == 3


SHAPES = ["8x4x45", "2x8x63", "4x8x45", "8x8x32"]  # of which the plan has iterations


def test_mistakes_on_the_command_line_are_reported(tmp_path, capsys):
    write_dataset(tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text(load_cfg(None, options(tmp_path)).dump())
    with pytest.raises(SystemExit) as end:
        show_clips.main(["--cfg", str(config), "--videos", "0"])
    assert end.value.code == 2
    assert "argument --videos: 0 is below 1" in capsys.readouterr().err


class Pathways(torch.utils.data.Dataset):
    """A data set in the published form, whose frames are normalized and split into pathways."""

    def __init__(self, cfg, mode, num_retries=10):
        self.mean, self.std = cfg.DATA.MEAN[0], cfg.DATA.STD[0]

    def __len__(self):
        return 12

    def __getitem__(self, index):
        fast = torch.full((3, 8, 32, 32), (index / 255 - self.mean) / self.std)
        return [fast[:, ::4], fast], index % 3, index, {}


if "Pathways" not in DATASET_REGISTRY:
    DATASET_REGISTRY.register(Pathways)


@pytest.mark.parametrize(("dataset", "split"), [("pathways", "train"), ("synthetic", "val"), ("synthetic", "test")])
def test_data_sets_of_other_kinds_are_shown_without_the_numbers_of_frames(tmp_path, dataset, split):
    (clip, *_), _ = seen(tmp_path, split, [ClipIndex(7, 0, 8, 32) if split == "train" else 5], TRAIN__DATASET=dataset)
    assert [(pathway.name, len(pathway.pictures)) for pathway in clip.pathways] == [("slow", 2), ("fast", 8)]
    assert clip.pathways[1].frames is None
    if dataset == "pathways":
        assert (clip.pathways[0].pictures == 7).all()
    assert clip.details[0] in ("video 7", "video 5")
    contact_sheet("title", [clip])
