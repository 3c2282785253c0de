"""The demo data: valid files and lists, the same pixels every time, and classes that differ only in motion."""

import csv
import json
from collections import Counter

import av
import numpy as np
import pytest

from slowfast.commands import demo_data as demo

PER_CLASS = {"train": 2, "val": 1, "test": 0}
NAMES = list(demo.MOTIONS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "data"
    assert demo.make(str(out), PER_CLASS, seed=3)
    return out


def rows(data, split: str) -> list[tuple[str, int]]:
    with open(data / f"{split}.csv", newline="") as file:
        return [(path, int(label)) for path, label in csv.reader(file, delimiter=" ")]


def frames(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_lists_name_every_file_and_have_as_many_videos_of_every_class(data):
    listed = []
    for split, count in PER_CLASS.items():
        assert Counter(label for _, label in rows(data, split)) == Counter(list(range(len(NAMES))) * count)
        listed += [path for path, _ in rows(data, split)]
    assert sorted(listed) == sorted(str(path.relative_to(data)) for path in data.rglob("*.mp4"))
    assert json.loads((data / "classnames.json").read_text()) == {name: i for i, name in enumerate(NAMES)}


def test_files_are_h264_of_varied_length_size_and_rate(data):
    sizes, rates, lengths = set(), set(), set()
    for path, _ in rows(data, "train"):
        with av.open(str(data / path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            sizes.add((stream.width, stream.height))
            rates.add(float(stream.average_rate))
            lengths.add(sum(1 for _ in container.decode(video=0)))
    assert len(rates) == len(demo.FRAME_RATES)
    assert any(w > h for w, h in sizes)
    assert any(w < h for w, h in sizes)
    assert demo.FRAME_COUNTS[0] <= min(lengths) < max(lengths) <= demo.FRAME_COUNTS[1]


def test_the_size_of_a_file_follows_from_its_length_and_drawn_bit_rate(tmp_path):
    path = tmp_path / "video.mp4"
    for i, motion in enumerate(demo.MOTIONS.values()):
        demo.write_video(str(path), motion, (0, 0, i % 3))
        look = next(demo.render(motion, (0, 0, i % 3)))
        assert path.stat().st_size == pytest.approx(look.bytes_per_frame * look.num_frames, rel=0.12)


def test_neither_names_nor_order_of_the_files_depend_on_the_class(data):
    labels = [label for _, label in rows(data, "train")]
    assert labels != sorted(labels)
    assert {path.split("/")[-1] for path, _ in rows(data, "train")} == {f"{i:05d}.mp4" for i in range(len(labels))}


def test_the_same_seed_gives_the_same_pixels_and_another_seed_different_ones(tmp_path):
    motion = demo.MOTIONS["moving up left"]
    for name, seed in (("a", (0, 0, 1)), ("b", (0, 0, 1)), ("c", (1, 0, 1))):
        demo.write_video(str(tmp_path / f"{name}.mp4"), motion, seed)
    first, second, other = (frames(tmp_path / f"{name}.mp4") for name in "abc")
    assert np.array_equal(first, second)
    assert np.shape(first) != np.shape(other) or not np.array_equal(first, other)


def test_everything_but_motion_is_independent_of_the_class():
    looks = [next(demo.render(motion, (0, 0, 5))) for motion in demo.MOTIONS.values()]
    for look in looks[1:]:
        assert look[:5] == looks[0][:5]
        assert np.array_equal(look.background, looks[0].background)
        assert np.array_equal(look.shake_px, looks[0].shake_px)
        for one, other in zip(look.sprites, looks[0].sprites, strict=True):
            assert np.array_equal(one.colors, other.colors)
            assert np.array_equal(one.mask, other.mask)


@pytest.mark.parametrize("name", NAMES)
def test_any_one_frame_has_the_same_uniform_distribution_in_every_class(name):
    extent, draws = (1.5, 1.0), 1500
    rng = np.random.default_rng(0)
    phases = np.empty((4, draws))
    for i in range(draws):
        states = demo.states(demo.MOTIONS[name], rng, rng.uniform(0, 8, 1), extent)
        zoom = np.log(states.size / demo.MIN_SIZE) / np.log(demo.MAX_SIZE / demo.MIN_SIZE)
        phases[:, i] = [states.x[0] / extent[0], states.y[0] / extent[1], states.angle_rad[0] / 2 / np.pi, zoom[0]]
    ordered = np.sort(phases % 1, axis=1)
    distance = np.abs(ordered - np.linspace(0, 1, draws)).max(axis=1)  # of the cumulative distribution to a uniform one
    assert distance.max() < 0.045


STEPS = {  # of x, y (downwards), angle and size, from one frame to the next
    "moving left": (-1, 0, 0, 0),
    "moving right": (1, 0, 0, 0),
    "moving up": (0, -1, 0, 0),
    "moving down": (0, 1, 0, 0),
    "moving up left": (-1, -1, 0, 0),
    "moving up right": (1, -1, 0, 0),
    "moving down left": (-1, 1, 0, 0),
    "moving down right": (1, 1, 0, 0),
    "spinning clockwise": (0, 0, 1, 0),
    "spinning counter-clockwise": (0, 0, -1, 0),
    "growing": (0, 0, 0, 1),
    "shrinking": (0, 0, 0, -1),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_motion_moves_objects_as_its_name_describes(name):
    times_sec = np.linspace(0, 0.1, 4)
    states = demo.states(demo.MOTIONS[name], np.random.default_rng(1), times_sec, (1.0, 1.0))
    for values, sign in zip(states, STEPS[name], strict=True):
        assert np.allclose(np.sign(np.diff(values)), sign)


def test_every_motion_played_backwards_is_another_class():
    backwards = {demo.Motion(*(-sign for sign in motion)) for motion in demo.MOTIONS.values()}
    assert backwards == set(demo.MOTIONS.values())


def test_objects_move_equally_fast_in_every_direction():
    times_sec = np.array([0.0, 1.0])
    slides = [motion for motion in demo.MOTIONS.values() if motion.slide_x or motion.slide_y]
    seen = [demo.states(motion, np.random.default_rng(1), times_sec, (1.0, 1.0)) for motion in slides]
    assert len(slides) == 8
    assert np.ptp([np.hypot(*np.diff([s.x, s.y]))[0] for s in seen]) < 1e-9


def test_objects_that_leave_the_frame_appear_on_the_opposite_side():
    frame = np.zeros((40, 60, 3), np.uint8)
    square = (demo.SPRITE_PX, demo.SPRITE_PX)
    sprite = demo.Sprite(np.full((*square, 3), 200, np.uint8), np.full(square, 255, np.uint8))
    demo.paint(frame, sprite, (0.0, 20.0), 16.0, 0.0)
    assert frame[20, 4].min() > 150
    assert frame[20, -4].min() > 150
    assert frame[20, 30].max() == 0


def test_a_finished_data_set_is_kept_and_another_one_replaces_it(data):
    before = (data / "train.csv").stat().st_mtime_ns
    assert not demo.make(str(data), PER_CLASS, seed=3)
    assert (data / "train.csv").stat().st_mtime_ns == before
    assert not demo.is_complete(str(data), {"version": demo.VERSION, "seed": 4, "per_class": PER_CLASS})


def test_an_incomplete_data_set_is_replaced(tmp_path):
    left_over = tmp_path / "data.part" / "videos"
    left_over.mkdir(parents=True)
    (left_over / "old.mp4").write_bytes(b"half")
    assert demo.make(str(tmp_path / "data"), {"train": 0, "val": 0, "test": 1})
    assert not (tmp_path / "data.part").exists()
    assert not (tmp_path / "data" / "videos" / "old.mp4").exists()


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not a demo data set"):
        demo.make(str(tmp_path), PER_CLASS)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
