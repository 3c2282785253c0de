#!/usr/bin/env python3
"""Measure the CPU time of reading clips, compared with other readers on the same frames of the same files.

benchmark.py decode                      on files that it encodes itself
benchmark.py decode FILE [FILE ...]      on your own files

Each row is a file and a grid (frames x stride, maximal short side); the readers take turns on the same frames. The
first column gives milliseconds of CPU per clip, the others the time of another reader over it: the median
over the clips, and the range.
"""

import argparse
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import av
import cv2
import numpy as np

from slowfast.datasets.spatial import resized_size
from slowfast.datasets.video import open_video
from slowfast.errors import UserError
from slowfast.utils.machine import processor_name
from slowfast.utils.parser import fail_cleanly


class Grid(NamedTuple):
    frames: int
    stride: int
    short_side: int


GRIDS = (Grid(32, 2, 256), Grid(8, 8, 128), Grid(4, 4, 64))


def read_here(path: str, indices: np.ndarray, short_side: int) -> np.ndarray:
    with open_video(path) as video:
        height, width = resized_size(video.height, video.width, short_side)
        return video.read(indices, resize=(width, height))


def read_opencv(path: str, indices: np.ndarray, short_side: int) -> np.ndarray:
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    capture.set(cv2.CAP_PROP_POS_FRAMES, int(indices[0]))
    frames, wanted = [], set(indices.tolist())
    for index in range(indices[0], indices[-1] + 1):
        if not capture.grab():
            raise UserError(f"OpenCV cannot read frame {index} of {path}")
        if index in wanted:
            frames.append(_resize(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB), short_side))
    return np.stack(frames)


def read_torchcodec(path: str, indices: np.ndarray, short_side: int) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, num_ffmpeg_threads=1, dimension_order="NHWC")
    return np.stack([_resize(f, short_side) for f in decoder.get_frames_at(indices.tolist()).data.numpy()])


def read_decord(path: str, indices: np.ndarray, short_side: int) -> np.ndarray:
    from decord import VideoReader

    frames = VideoReader(path, num_threads=1).get_batch(indices.tolist()).asnumpy()
    return np.stack([_resize(frame, short_side) for frame in frames])


def _resize(frame: np.ndarray, short_side: int) -> np.ndarray:
    height, width = resized_size(*frame.shape[:2], short_side)
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)


def other_readers() -> dict[str, Callable]:
    """Return OpenCV, and the other readers that are installed."""
    readers = {"cv2": read_opencv}
    optional = {"torchcodec": read_torchcodec, "decord": read_decord}
    return readers | {name: reader for name, reader in optional.items() if importlib.util.find_spec(name)}


def benchmark_decode(paths: Sequence[str], clips: int) -> None:
    others = other_readers()
    print(f"\n| file | grid | ms per clip | {' | '.join(f'{name} / here' for name in others)} |")
    print(f"|---|---|---:|{'---:|' * len(others)}")
    for path in paths:
        for grid in GRIDS:
            own, ratios = measure(path, grid, others, clips)
            texts = [f"{median(r):.2f} [{min(r):.2f}..{max(r):.2f}]" for r in ratios.values()]
            cells = [os.path.basename(path), f"{grid.frames}x{grid.stride}, {grid.short_side} px"]
            print(f"| {' | '.join([*cells, f'{median(own):.2f}', *texts])} |", flush=True)


def measure(path: str, grid: Grid, others: dict[str, Callable], clips: int) -> tuple[list, dict[str, list]]:
    """Return the milliseconds of this project's reader for each clip, and the ratios of the other readers to them."""
    rng = np.random.default_rng(0)
    with open_video(path) as video:
        num_frames = video.num_frames
        short_side = min(grid.short_side, video.width, video.height)
    own, ratios = [], {name: [] for name in others}
    for clip in range(clips + 1):
        start = int(rng.integers(max(num_frames - (grid.frames - 1) * grid.stride, 1)))
        indices = np.unique(np.minimum(start + grid.stride * np.arange(grid.frames), num_frames - 1))
        here = cpu_ms(read_here, path, indices, short_side)
        times = {name: cpu_ms(reader, path, indices, short_side) for name, reader in others.items()}
        if clip:  # the first one warms up
            own.append(here)
            for name, milliseconds in times.items():
                ratios[name].append(milliseconds / here)
    return own, ratios


def cpu_ms(reader: Callable, *args) -> float:
    start = time.process_time()
    reader(*args)
    return 1000 * (time.process_time() - start)


def encode_samples(folder: str) -> list[str]:
    """Encode ten seconds of a moving texture with x264, small and large, with many and with few key frames."""
    paths = []
    for width, height, gop in ((340, 256, 12), (340, 256, 250), (1280, 720, 250), (170, 128, 12)):
        path = os.path.join(folder, f"{width}x{height}_gop{gop}.mp4")
        with av.open(path, "w") as output:
            options = {"preset": "medium", "crf": "23", "g": str(gop)}
            stream = output.add_stream("libx264", rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for picture in moving_texture(width, height, 300):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            output.mux(stream.encode())
        paths.append(path)
    return paths


def moving_texture(width: int, height: int, num_frames: int):
    """Yield pictures of a drifting texture with a disc that crosses it, and a little noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    for number in range(num_frames):
        x = int(width / 2 * (1 + np.sin(number / 40)))
        y = int(height / 2 * (1 + np.cos(number / 30)))
        picture = texture[y : y + height, x : x + width].copy()
        cv2.circle(picture, (width * (number % 90) // 90, height // 2), height // 8, (255, 60, 0), -1)
        noise = rng.integers(-4, 5, picture.shape, dtype=np.int16)
        yield np.clip(picture + noise, 0, 255).astype(np.uint8)


def machine() -> str:
    versions = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}, OpenCV {cv2.__version__}"
    return f"{os.cpu_count()} x {processor_name()}; Python {platform.python_version()}, {versions}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["decode"])
    parser.add_argument("files", metavar="FILE", nargs="*")
    parser.add_argument("--clips", type=int, default=10, help="clips of each file and grid (10)")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        benchmark_decode(args.files or encode_samples(folder), args.clips)


if __name__ == "__main__":
    with fail_cleanly():
        main()
