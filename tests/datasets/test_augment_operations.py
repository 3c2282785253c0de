"""The operations of RandAugment against their definitions, written here in numpy."""

import numpy as np
import pytest

from slowfast.datasets.augment.operations import OPERATIONS, Applied, apply_operations

HEIGHT, WIDTH = 30, 41
ROUNDING = 1  # of a gray level


@pytest.fixture(scope="module")
def frames():
    """Two frames of noise and gradients, without the darkest and the brightest values."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 120, WIDTH)[None, :, None] + np.linspace(20, 60, HEIGHT)[:, None, None]
    return (ramp + rng.integers(0, 50, (2, HEIGHT, WIDTH, 3))).astype(np.uint8)


def applied(frames, name, argument=0.0, resampling="bicubic"):
    result = apply_operations(frames, [Applied(name, argument, (resampling,))])
    assert result.shape == frames.shape
    assert result.dtype == np.uint8
    return result.astype(int)


def gray(frames):
    red, green, blue = np.moveaxis(frames.astype(int), -1, 0)
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


def mixed(poorer, frames, factor):
    return np.clip(poorer + factor * (frames.astype(float) - poorer), 0, 255).astype(int)


def per_channel(function, frames):
    result = np.empty(frames.shape, int)
    for t, frame in enumerate(frames):
        for c in range(3):
            result[t, ..., c] = function(frame[..., c].astype(int))
    return result


def autocontrast(channel):
    low, high = channel.min(), channel.max()
    scale = 255 / (high - low)
    return np.clip((channel * scale - low * scale).astype(int), 0, 255)


def equalize(channel):
    counts = np.bincount(channel.ravel(), minlength=256)
    step = (counts.sum() - counts[channel.max()]) // 255
    below = np.cumsum(counts) - counts
    return np.minimum(255, (step // 2 + below) // step)[channel]


def smooth(frame):
    kernel, padded = np.ones((3, 3)), np.pad(frame.astype(float), ((1, 1), (1, 1), (0, 0)))
    kernel[1, 1] = 5
    total = sum(kernel[i, j] * padded[i : i + HEIGHT, j : j + WIDTH] for i in range(3) for j in range(3))
    result = frame.astype(int)
    result[1:-1, 1:-1] = np.floor(total / 13 + 0.5)[1:-1, 1:-1]
    return result


def test_values_are_changed_as_defined(frames):
    v = frames.astype(int)
    assert (applied(frames, "AutoContrast") == per_channel(autocontrast, frames)).all()
    assert (applied(frames, "Equalize") == per_channel(equalize, frames)).all()
    assert (applied(frames, "Invert") == 255 - v).all()
    assert (applied(frames, "Posterize", 3) == v // 32 * 32).all()
    assert (applied(frames, "Posterize", 0) == 0).all()
    assert (applied(frames, "Solarize", 100) == np.where(v < 100, v, 255 - v)).all()
    assert (applied(frames, "Solarize", 256) == v).all()
    assert (applied(frames, "SolarizeAdd", 90) == np.where(v < 128, np.minimum(255, v + 90), v)).all()


@pytest.mark.parametrize("factor", [0.1, 0.77, 1.0, 1.4, 1.9])
def test_pictures_are_mixed_with_poorer_ones(frames, factor):
    grays = gray(frames)[..., None]
    means = np.floor(grays.mean((1, 2, 3), keepdims=True) + 0.5)
    expected = {"Color": grays, "Contrast": means, "Brightness": 0, "Sharpness": np.stack(list(map(smooth, frames)))}
    for name, poorer in expected.items():
        assert np.abs(applied(frames, name, factor) - mixed(poorer, frames, factor)).max() <= ROUNDING, name
    assert means[0] != means[1]  # each frame has its own


def test_a_picture_of_one_color_stays_as_it_is():
    flat = np.full((1, 8, 8, 3), 77, np.uint8)
    for name in ("AutoContrast", "Equalize"):
        assert (applied(flat, name) == 77).all()


def cubic(x):
    """The cubic of Pillow's affine transform, whose slope at distance 1 is -1."""
    x = abs(x)
    return x**3 - 2 * x**2 + 1 if x < 1 else -(x**3) + 5 * x**2 - 8 * x + 4 if x < 2 else 0.0


def linear(x):
    return max(0.0, 1 - abs(x))


def resampled(frame, position, kernel):
    """Pixel (x, y) is the interpolated input at `position(x + 1/2, y + 1/2)`, gray 128 outside of the picture."""
    result = np.full(frame.shape, 128.0)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            u, v = position(x + 0.5, y + 0.5)
            if 0 <= u < WIDTH and 0 <= v < HEIGHT:
                rows, columns = (np.floor(c - 0.5).astype(int) + np.arange(-1, 3) for c in (v, u))
                down = np.array([kernel(v - 0.5 - row) for row in rows])
                across = np.array([kernel(u - 0.5 - column) for column in columns])
                part = frame[rows.clip(0, HEIGHT - 1)][:, columns.clip(0, WIDTH - 1)].astype(float)
                result[y, x] = np.einsum("i,j,ijc->c", down, across, part)
    return np.clip(result, 0, 255)


def turned(degrees):
    """Where a pixel comes from in a picture that is turned counterclockwise about its center."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))

    def position(x, y):
        dx, dy = x - WIDTH / 2, y - HEIGHT / 2
        return c * dx - s * dy + WIDTH / 2, s * dx + c * dy + HEIGHT / 2

    return position


@pytest.mark.parametrize(("resampling", "kernel"), [("bicubic", cubic), ("bilinear", linear)])
@pytest.mark.parametrize(
    ("name", "argument", "position"),
    [
        ("Rotate", 17.0, turned(17.0)),
        ("ShearX", -0.23, lambda x, y: (x - 0.23 * y, y)),
        ("ShearY", 0.3, lambda x, y: (x, y + 0.3 * x)),
        ("TranslateXRel", 0.21, lambda x, y: (x + 0.21 * WIDTH, y)),
        ("TranslateYRel", -0.41, lambda x, y: (x, y - 0.41 * HEIGHT)),
    ],
)
def test_pictures_are_moved_as_defined(frames, name, argument, position, resampling, kernel):
    expected = resampled(frames[0], position, kernel)
    differences = np.abs(applied(frames[:1], name, argument, resampling)[0] - expected)
    assert differences.max() <= ROUNDING


ARGUMENTS = {  # at level 7 of 10, positive: (argument, that of the increasing set)
    "AutoContrast": (0, 0),
    "Equalize": (0, 0),
    "Invert": (0, 0),
    "Rotate": (21, 21),
    "Posterize": (2, 2),
    "Solarize": (179, 77),
    "SolarizeAdd": (77, 77),
    "Color": (1.36, 1.63),
    "Contrast": (1.36, 1.63),
    "Brightness": (1.36, 1.63),
    "Sharpness": (1.36, 1.63),
    "ShearX": (0.21, 0.21),
    "ShearY": (0.21, 0.21),
    "TranslateXRel": (0.315, 0.315),
    "TranslateYRel": (0.315, 0.315),
}


def test_levels_have_the_published_arguments():
    assert list(ARGUMENTS) == list(OPERATIONS)
    for name, (plain, increasing) in ARGUMENTS.items():
        operation = OPERATIONS[name]
        assert operation.argument(0.7) == pytest.approx(plain)
        assert (operation.increasing or operation.argument)(0.7) == pytest.approx(increasing)
    increasing = {name: operation.increasing for name, operation in OPERATIONS.items()}
    assert increasing["Color"](-0.7) == pytest.approx(0.37)
    assert OPERATIONS["Color"].argument(-0.7) == pytest.approx(1.36)
    assert OPERATIONS["Rotate"].argument(-1) == -30
    assert (increasing["Posterize"](1.0), increasing["Solarize"](1.0)) == (0, 0)


def test_operations_are_applied_in_turn_with_the_filter_of_each_frame(frames):
    operations = [Applied("Invert", 0), Applied("Rotate", 10.0, ("bilinear", "bicubic"))]
    inverted = (255 - frames).astype(np.uint8)
    result = apply_operations(frames, operations)
    assert (result[0] == applied(inverted[:1], "Rotate", 10.0, "bilinear")[0]).all()
    assert (result[1] == applied(inverted[1:], "Rotate", 10.0, "bicubic")[0]).all()
    assert apply_operations(frames, []) is frames
