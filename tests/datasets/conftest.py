import pytest

from tests.datasets.data import write_list
from tests.videos import write_video

NUM_VIDEOS, NUM_FRAMES = 6, 40


@pytest.fixture(scope="session")
def video_dir(tmp_path_factory):
    """Six numbered videos v0.mp4..v5.mp4 of 40 frames, 64 x 48 px, 25 a second."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_VIDEOS):
        write_video(folder / f"v{number}.mp4", NUM_FRAMES)
    return folder


@pytest.fixture
def kinetics_dir(tmp_path, video_dir):
    """Lists of the six videos, with classes 0, 1, 2, 0, 1, 2."""
    for split in ("train", "val", "test"):
        write_list(tmp_path / f"{split}.csv", [f"{video_dir}/v{n}.mp4 {n % 3}" for n in range(NUM_VIDEOS)])
    return tmp_path
