"""The files that each data set reads from DATA.PATH_TO_DATA_DIR, for the message about a wrong folder."""

import os

from slowfast.errors import UserError

LAYOUTS = {
    "kinetics": "train.csv, val.csv and test.csv with lines 'path label'; or folders as for 'folder'",
    "folder": "train/<class>/*.mp4, val/<class>/*.mp4 and test/<class>/*.mp4, or other video files",
    "ucf101": "classInd.txt, trainlist01.txt and testlist01.txt",
    "hmdb51": "<class>_test_split1.txt",
    "ssv2": "something-something-v2-labels.json, -train.json and -validation.json; train.csv and val.csv for images",
    "charades": "train.csv and val.csv of frames; or Charades_v1_train.csv and Charades_v1_test.csv",
}
SPLITS = ("train", "val", "test")


def require(path: str, data_dir: str) -> str:
    """Return the path of a file in DATA.PATH_TO_DATA_DIR. Raises UserError where it does not exist."""
    if not os.path.isfile(path):
        raise wrong_folder(f"{os.path.abspath(path)} does not exist", data_dir)
    return path


def wrong_folder(problem: str, data_dir: str) -> UserError:
    """Return the error for a folder without the files that a data set needs."""
    what = "which is not a folder" if not os.path.isdir(data_dir) else f"which has {_content(data_dir)}"
    above, name = os.path.split(data_dir.rstrip("/"))
    if name in SPLITS and os.path.isdir(data_dir):
        above = above or "."
        return UserError(f"{problem}: DATA.PATH_TO_DATA_DIR is {data_dir!r}. Set it to the folder above: {above!r}")
    layouts = "".join(f"\n  {name:9} {layout}" for name, layout in LAYOUTS.items())
    return UserError(
        f"{problem}: DATA.PATH_TO_DATA_DIR is {data_dir!r}, {what}. Set it to the folder of the data, and "
        f"TRAIN.DATASET and TEST.DATASET to one of:{layouts}"
    )


def _content(folder: str) -> str:
    names = sorted(name for name in os.listdir(folder or ".") if not name.startswith("."))
    return ", ".join([*names[:5], "..."] if len(names) > 5 else names) or "no files"
