"""Small data sets for the tests of this folder."""

import json
from pathlib import Path

import cv2

from slowfast.config.defaults import get_cfg
from tests.videos import numbered_frame

HEADER = "original_vido_id video_id frame_id path labels"


def small_cfg(data_dir, **overrides):
    """Clips of 4 x 32 x 32; overrides by key with __ for the dot: DATA__NUM_FRAMES=8."""
    cfg = get_cfg()
    cfg.merge_from_list(
        ["DATA.PATH_TO_DATA_DIR", str(data_dir), "DATA.NUM_FRAMES", 4, "DATA.SAMPLING_RATE", 2]
        + ["DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 32, "DATA.TRAIN_JITTER_SCALES", [36, 48]]
        + ["DATA.TARGET_FPS", 25, "MODEL.NUM_CLASSES", 3, "TRAIN.BATCH_SIZE", 2, "TEST.BATCH_SIZE", 4]
        + ["TEST.NUM_ENSEMBLE_VIEWS", 2, "TEST.NUM_SPATIAL_CROPS", 3, "NUM_GPUS", 0, "SLOWFAST.ALPHA", 2]
        + ["DATA_LOADER.NUM_WORKERS", 0, "DATA_LOADER.PIN_MEMORY", False]
    )
    for key, value in overrides.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    cfg.freeze()
    return cfg


def write_list(path, lines) -> Path:
    Path(path).write_text("".join(f"{line}\n" for line in lines))
    return Path(path)


def write_frames(folder, video: str, num_frames: int, size=(64, 48)) -> list[str]:
    """Images of a video, numbered from 0, and their names from `folder` on."""
    (Path(folder) / video).mkdir(parents=True, exist_ok=True)
    names = [f"{video}/{video}_{number + 1:06d}.jpg" for number in range(num_frames)]
    for number, name in enumerate(names):
        cv2.imwrite(str(Path(folder) / name), numbered_frame(number, size)[..., ::-1])
    return names


def frame_rows(video: str, number: int, names: list[str], labels=None) -> list[str]:
    labels = labels or [""] * len(names)
    rows = zip(names, labels, strict=True)
    return [f'{video} {number} {frame} {name} "{label}"' for frame, (name, label) in enumerate(rows)]


def write_frame_list(path, rows: list[str]) -> Path:
    return write_list(path, [HEADER, *rows])


def write_ssv2_json(folder, split: str, items: dict[str, str]) -> None:
    """Labels of three templates; `items`: id -> template."""
    folder = Path(folder)
    labels = {"Pushing something": "0", "Pulling something": "1", "Lifting something up": "2"}
    (folder / "something-something-v2-labels.json").write_text(json.dumps(labels))
    entries = [{"id": key, "template": template} for key, template in items.items()]
    (folder / f"something-something-v2-{split}.json").write_text(json.dumps(entries))
