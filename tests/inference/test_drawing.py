import numpy as np
import pytest

from slowfast.datasets.video import open_video
from slowfast.inference import Label
from slowfast.inference.drawing import draw_heat, draw_labels, drawable, side_by_side
from slowfast.visualization.media_files import write_mp4

DRAWABLE = {
    "playing guitar": "playing guitar",
    "Käse schneiden": "Kase schneiden",
    "Grüße, Łódź, Ærø": "Grusse, Lodz, AEro",
    "it’s “this”": 'it\'s "this"',
    "naïve\tcafé": "naive?cafe",
    "青い物": "class 7",
    "вода": "class 7",
    "🎸 guitar": "? guitar",
    "": "",
}


@pytest.mark.parametrize(("name", "text"), DRAWABLE.items(), ids=ascii)
def test_names_are_drawn_in_ascii(name, text):
    assert drawable(name, 7) == text


LABELS = [Label("one", 0.9), Label("a class with a name that is too long for most pictures", 0.4), Label("three", 0.0)]


@pytest.mark.parametrize("size", [(36, 48), (112, 128), (256, 340), (426, 240), (720, 1280), (2160, 3840)])
def test_labels_are_at_the_top_in_proportion_to_the_picture(size):
    picture = np.full((*size, 3), 200, np.uint8)
    drawn = draw_labels(picture, LABELS)
    assert drawn.shape == picture.shape
    assert (picture == 200).all()
    changed = np.flatnonzero((drawn != picture).any((1, 2)))
    line = np.clip(round(size[0] / 18), 11, 64)
    lines = min(3, max(1, size[0] // 2 // line))
    assert (changed[0], changed[-1] + 1) == (0, lines * line)
    for row in range(lines):
        text = (drawn[row * line : (row + 1) * line] > 150).all(-1)
        assert text[:, : size[1] // 2].any()  # the name
        assert text[:, -size[1] // 3 :].any()  # the confidence
        assert not text[0].any()
        height = np.ptp(np.flatnonzero(text.any(1))) + 1
        assert 0.4 * line <= height <= line  # of letters


def test_a_bar_is_as_long_as_the_confidence():
    picture = np.full((360, 500, 3), 100, np.uint8)
    band = draw_labels(picture, [Label("", 0.5)])[1]
    assert len(np.unique(band, axis=0)) == 2
    assert (band[:250] == band[0]).all()
    assert not (band[250:] == band[0]).all(-1).any()


def test_heat_colors_what_counts_and_leaves_the_rest():
    picture = np.full((40, 60, 3), 100, np.uint8)
    heat = np.zeros((4, 6), np.float32)
    heat[3, 5] = 1
    drawn = draw_heat(picture, heat).astype(int)
    assert (drawn[:20, :30] == 100).all()
    red, green, blue = drawn[-1, -1]
    assert red > 100 > max(green, blue)


def test_a_sheet_has_rows_of_pictures():
    sheet = side_by_side([np.full((2, 3, 3), value, np.uint8) for value in range(1, 6)], columns=3)
    assert sheet[::2, ::3, 0].tolist() == [[1, 2, 3], [4, 5, 0]]


@pytest.mark.parametrize("size", [(36, 48), (101, 61)])
@pytest.mark.parametrize("fps", [25, 30000 / 1001])
def test_a_written_video_has_the_pictures_and_the_rate(size, fps, tmp_path):
    pictures = [np.full((*size, 3), value, np.uint8) for value in range(0, 250, 25)]
    write_mp4(tmp_path / "a.mp4", pictures, fps)
    with open_video(tmp_path / "a.mp4") as video:
        assert video.fps == pytest.approx(fps)
        assert (video.height, video.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
        assert np.abs(video.read(range(10)).mean((1, 2, 3)) - np.arange(0, 250, 25)).max() < 4
