"""Readers of frames to compare with, each on one thread, and the floor below which no reader can go.

A reader maps a path and frame numbers in increasing order to RGB frames: uint8 (F, H, W, 3).
"""

import importlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import av
import cv2
import numpy as np

from slowfast.errors import UserError

Reader = Callable[[str, np.ndarray], np.ndarray]


def read_opencv(path: str, indices: np.ndarray) -> np.ndarray:
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    capture.set(cv2.CAP_PROP_POS_FRAMES, int(indices[0]))
    frames, wanted = [], set(indices.tolist())
    for index in range(indices[0], indices[-1] + 1):
        if not capture.grab():
            raise UserError(f"OpenCV cannot read frame {index} of {path}")
        if index in wanted:
            frames.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def read_torchcodec(path: str, indices: np.ndarray) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, num_ffmpeg_threads=1, dimension_order="NHWC")
    return decoder.get_frames_at(indices.tolist()).data.numpy()


def read_decord(path: str, indices: np.ndarray) -> np.ndarray:
    from decord import VideoReader

    return VideoReader(path, num_threads=1).get_batch(indices.tolist()).asnumpy()


def peers() -> dict[str, Reader]:
    """Return OpenCV, and the other readers that can be imported."""
    optional = {"decord": read_decord, "torchcodec": read_torchcodec}
    return {"cv2": read_opencv} | {name: reader for name, reader in optional.items() if can_import(name)}


def can_import(name: str) -> bool:
    try:
        importlib.import_module(f"{name}.decoders" if name == "torchcodec" else name)
    except (ImportError, OSError, RuntimeError):  # not installed, or without the libraries of FFmpeg
        return False
    return True


class Packet(NamedTuple):
    data: bytes
    pts: int
    is_key: bool
    is_reference: bool


class Stream(NamedTuple):
    """The packets of an H.264 video in decoding order, and the times of its frames in order."""

    extradata: bytes
    packets: list[Packet]
    times: list[int]


def decode_needed(path: str, indices: np.ndarray) -> None:
    """Decode the packets that the frames need, and make no pixels of them: the floor of H.264 with closed GOPs."""
    stream = demuxed(path)
    wanted = {stream.times[index] for index in indices}
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata, decoder.thread_count = stream.extradata, 1
    for data in needed(stream, wanted):
        decoder.decode(av.Packet(data))
    decoder.decode(None)


def needed(stream: Stream, wanted: set[int]) -> list[bytes]:
    """Return the packets from the last key frame before the frames at the times `wanted` that these depend on."""
    packets = stream.packets
    first = max(i for i, packet in enumerate(packets) if packet.is_key and packet.pts <= min(wanted))
    last = max(i for i, packet in enumerate(packets) if packet.pts in wanted)
    return [packet.data for packet in packets[first : last + 1] if packet.is_reference or packet.pts in wanted]


@cache
def demuxed(path: str) -> Stream:
    """Read an MP4 file of H.264."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name != "h264":
            raise UserError(f"{path}: the floor is known for H.264 only, and this is {stream.codec_context.name}")
        packets = [
            Packet(data, packet.pts, packet.is_keyframe, has_reference(data))
            for packet in container.demux(stream)
            if (data := bytes(packet))
        ]
        return Stream(stream.codec_context.extradata, packets, sorted(packet.pts for packet in packets))


def has_reference(data: bytes) -> bool:
    """Return whether other pictures may depend on a packet, from `nal_ref_idc` of its slices (types 1 to 5)."""
    place = 0
    while place < len(data):
        size, header = int.from_bytes(data[place : place + 4], "big"), data[place + 4]
        if 1 <= header & 0x1F <= 5:
            return bool(header >> 5 & 3)
        place += 4 + size
    return True
