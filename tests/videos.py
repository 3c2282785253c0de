"""Small video files for tests: every frame bears its own number, so a test can read which frame it was given.

The number is a field of 8 x 2 blocks, one per bit, over the whole picture: it survives compression and
resizing, but not cropping or flipping. Red is above blue in every block, so channel order shows too.
"""

import os
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

COLUMNS, ROWS = 8, 2
ZERO = np.array([95, 40, 10], np.uint8)  # the color (R, G, B) of a bit that is 0
ONE = np.array([250, 215, 130], np.uint8)
MIDDLE = 127  # of the green values


def numbered_frame(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A uint8 (H, W, 3) RGB picture that shows `number` (0 to 65535); `size` is (width, height)."""
    width, height = size
    column = np.arange(width) * COLUMNS // width
    row = np.arange(height) * ROWS // height
    bit = row[:, None] * COLUMNS + column[None, :]
    on = (number >> bit) & 1
    return np.where(on[..., None] == 1, ONE, ZERO).astype(np.uint8)


def read_number(frame: np.ndarray) -> int:
    """The number shown by an RGB (or BGR) picture made by `numbered_frame`, of any size."""
    green = np.asarray(frame)[..., 1].astype(np.float32)
    number = 0
    for row, band in enumerate(np.array_split(green, ROWS, axis=0)):
        for column, block in enumerate(np.array_split(band, COLUMNS, axis=1)):
            number |= int(block.mean() > MIDDLE) << (row * COLUMNS + column)
    return number


def read_numbers(frames: np.ndarray) -> list[int]:
    return [read_number(frame) for frame in frames]


@contextmanager
def unchanged_priority():
    """Restore the scheduling of the process: the encoder SVT-AV1 raises it to real time where it may (as root).

    Processes that a later test starts would inherit it, and keep the cores from those that they wait for.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


@unchanged_priority()
def write_video(
    path,
    num_frames: int = 30,
    size: tuple[int, int] = (64, 48),
    fps=25,
    codec: str = "libx264",
    options: dict | None = None,
    frames=None,
    *,
    pix_fmt: str = "yuv420p",
    pts: list[int] | None = None,
    rotation: int = 0,
    audio: bool = False,
    container: str | None = None,
    container_options: dict | None = None,
) -> Path:
    """Write numbered frames, or the given `frames` (uint8 RGB pictures of one size), and return the path.

    `pts`: one time per frame in units of 1 / (fps * 100) seconds, for a variable rate or another start.
    `rotation`: degrees (multiples of 90) a player turns the picture counter-clockwise.
    `container`: the name of the format if the suffix does not determine it.
    """
    path = Path(path)
    frames = [numbered_frame(number, size) for number in range(num_frames)] if frames is None else list(frames)
    size = frames[0].shape[1::-1] if frames else size
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format=container, container_options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=_quality(codec) | (options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if pts is not None:
            stream.codec_context.time_base = 1 / (rate * 100)
        if rotation:
            stream.set_display_rotation(rotation)
        sound = output.add_stream("aac", rate=16000, layout="mono") if audio else None
        count = _write_pictures(output, stream, frames, 1 / rate if pts is None else 1 / (rate * 100), pts)
        if sound:
            _write_sound(output, sound, seconds=float(count / rate))
    return path


def _write_pictures(output, stream, pictures, time_base: Fraction, pts: list[int] | None) -> int:
    """Encode RGB pictures at the times `pts` (default: 0, 1, 2, ...) and return their number."""
    number = -1
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = number if pts is None else pts[number]
        frame.time_base = time_base
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
    return number + 1


def _quality(codec: str) -> dict:
    """Options that make a codec quick and good enough for the numbers."""
    return {
        "libx264": {"crf": "20", "preset": "veryfast", "x264-params": "threads=1"},
        "libx265": {
            "crf": "20",
            "preset": "ultrafast",
            "x265-params": "log-level=error:pools=none:frame-threads=1",
        },
        "libvpx-vp9": {"crf": "25", "b": "0", "cpu-used": "8", "deadline": "realtime"},
        "libsvtav1": {"crf": "30", "preset": "12", "svtav1-params": "lp=1"},
        "mpeg4": {"qscale": "3", "b": "2000000"},
    }.get(codec, {})


def _write_sound(output, stream, seconds: float) -> None:
    for start in range(0, int(seconds * 16000), 1024):
        wave = np.sin((np.arange(start, start + 1024) / 16000) * 2 * np.pi * 440).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())


def write_sound_only(path, seconds: float = 1.0) -> Path:
    """A file with an audio stream and no video."""
    with av.open(str(path), "w") as output:
        _write_sound(output, output.add_stream("aac", rate=16000, layout="mono"), seconds)
    return Path(path)


def truncate(path, fraction: float = 0.5) -> Path:
    """Cut the end off a file, in place."""
    path = Path(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


class FFmpegCalls:
    """Records the calls of FFmpeg: the options of files `opened`, times `sought`, and frames `decoded`."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.opened, self.sought, self.decoded = [], [], []

    def open(self, real, *args, **keywords):
        if args[1:] != ("w",):
            self.opened.append(keywords.get("options", {}))
        return _SpyContainer(real(*args, **keywords), self)


class _SpyContainer:
    """An open container, and its streams."""

    def __init__(self, container, calls: FFmpegCalls):
        self._container, self._calls, self.streams = container, calls, self

    def __getattr__(self, name):
        return getattr(self._container if hasattr(self._container, name) else self._container.streams, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._container.close()

    def __iter__(self):
        return iter(self._container.streams)

    def best(self, kind):
        stream = self._container.streams.best(kind)
        return stream and _SpyStream(stream, self._calls)

    def demux(self, stream=None, **keywords):
        return self._container.demux(getattr(stream, "real", stream), **keywords)

    def seek(self, time, stream):
        self._calls.sought.append(time)
        self._container.seek(time, stream=stream.real)


class _SpyStream:
    """A stream that is its own decoder."""

    def __init__(self, stream, calls: FFmpegCalls):
        self.__dict__.update(real=stream, calls=calls, codec_context=self)

    def __getattr__(self, name):
        return getattr(self.real if hasattr(self.real, name) else self.real.codec_context, name)

    def __setattr__(self, name, value):
        setattr(self.real.codec_context, name, value)

    def decode(self, packet):
        frames = self.real.codec_context.decode(packet)
        self.calls.decoded += frames
        return frames
