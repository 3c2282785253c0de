"""A corpus of damaged video files, made from a seed, and what must hold for each of them.

python -m tests.damaged_videos [--files 1000] [--seed 0] [--seconds 60]

makes the files one after the other and examines them, then mutates the input of each parser for so many seconds. It
prints what fails and what the files came to, and ends with status 1 if anything failed. The tests do the same with
fewer files.
"""

import argparse
import faulthandler
import io
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from slowfast.datasets.video import Limits, VideoError, check_video, open_video
from slowfast.datasets.video.file_size import claimed_size, is_complete_mp4
from slowfast.datasets.video.nal import NalUnits
from slowfast.datasets.video.sps import sps_size
from tests.videos import write_video

SOURCES = {
    "b_frames.mp4": {},
    "index_first.mp4": {"container_options": {"movflags": "faststart"}},
    "fragments.mp4": {"options": {"g": "8"}, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "open_gop.mp4": {"options": {"x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:threads=1"}},
    "refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=8:bframes=0:threads=1"}},
    "turned.mp4": {"rotation": 90},
    "hevc.mp4": {"codec": "libx265"},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "sound.mov": {"audio": True},
    "h264.mkv": {"options": {"g": "8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "8"}},
    "vp8.webm": {"codec": "libvpx"},
    "h264.ts": {"options": {"g": "8"}},
    "h264.flv": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "h264.avi": {},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "raw.h264": {"container": "h264"},
}
NUM_FRAMES = 24
LIMITS = Limits(seconds=20)
EXTREMES = (0, 1, 2, 7, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

SAME_BYTES = {"fflags": "+bitexact"}  # no random numbers in headers


def _write_source(path: Path, num_frames: int) -> Path:
    """Write a file that is to be damaged, unless it is there: x264 does not make the same bytes each time."""
    if path.exists():
        return path
    options = SOURCES[path.name]
    container_options = SAME_BYTES | options.get("container_options", {})
    return write_video(path, num_frames, **{**options, "container_options": container_options})


Damage = Callable[[np.random.Generator, bytes], bytes]


def _piece(rng: np.random.Generator, data: bytes) -> slice:
    start = int(rng.integers(len(data)))
    return slice(start, start + int(rng.choice([1, 8, 64, 512, 4096])))


def _replaced(data: bytes, place: slice, new: bytes) -> bytes:
    return data[: place.start] + new + data[place.stop :]


def truncated(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def zeroed(rng: np.random.Generator, data: bytes) -> bytes:
    place = _piece(rng, data)
    return _replaced(data, place, bytes(len(data[place])))


def filled_with_noise(rng: np.random.Generator, data: bytes) -> bytes:
    place = _piece(rng, data)
    return _replaced(data, place, rng.bytes(len(data[place])))


def flipped(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(len(data), size=int(rng.choice([1, 3, 10, 100]))):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def shortened(rng: np.random.Generator, data: bytes) -> bytes:
    return _replaced(data, _piece(rng, data), b"")


def repeated(rng: np.random.Generator, data: bytes) -> bytes:
    place = _piece(rng, data)
    return _replaced(data, place, 2 * data[place])


def with_a_tail(rng: np.random.Generator, data: bytes) -> bytes:
    return data + rng.bytes(2000) if rng.random() < 0.5 else data + bytes(100_000)


BOXES = [b"ftyp", b"moov", b"trak", b"mdia", b"stbl", b"stsd", b"stts", b"ctts", b"stss", b"stsz", b"stco", b"stsc"]
BOXES += [b"elst", b"tkhd", b"mvhd", b"mdhd", b"avcC", b"hvcC", b"avc1", b"mdat", b"moof", b"traf", b"trun", b"tfhd"]


def with_a_wrong_box(rng: np.random.Generator, data: bytes) -> bytes:
    """An MP4 box of a wrong size, kind or content; in other files a wrong number near the start."""
    present = [kind for kind in BOXES if kind in data]
    at = data.find(present[int(rng.integers(len(present)))]) if present else int(rng.integers(4, min(len(data), 600)))
    at += int(rng.choice([-4, 0, 4, 8, 12, 16, 20, 24, 28]))
    number = EXTREMES[int(rng.integers(len(EXTREMES)))]
    return _replaced(data, slice(at, at + 4), struct.pack(">I", number))


BYTES: list[Damage] = [
    truncated,
    zeroed,
    filled_with_noise,
    flipped,
    shortened,
    repeated,
    with_a_tail,
    with_a_wrong_box,
    with_a_wrong_box,
]


def _copied(packet: av.Packet, data: bytes) -> av.Packet:
    other = av.Packet(data)
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    other.duration, other.is_keyframe = packet.duration, packet.is_keyframe
    return other


def with_wrong_times(rng: np.random.Generator, packets: list[av.Packet]) -> list[av.Packet]:
    step = max(packets[-1].pts // len(packets), 1)
    kind = rng.choice(["decoding", "shaken", "equal", "jump"])
    for i, packet in enumerate(packets):
        packet.dts = packet.pts - 4 * step if packet.dts is None else packet.dts
        if kind == "decoding":
            packet.pts = packet.dts
        if kind == "shaken":
            packet.pts = max(packet.dts, packet.pts + int(rng.integers(-2, 3)) * step)
        if kind == "equal" and i % 5 == 4:
            packet.pts = packets[i - 1].pts
        if kind == "jump" and i > len(packets) // 2:
            packet.pts, packet.dts = packet.pts + 1000 * step, packet.dts + 1000 * step
    return packets


def with_lost_packets(rng: np.random.Generator, packets: list[av.Packet]) -> list[av.Packet]:
    lost = set(rng.choice(len(packets), int(rng.integers(1, 6)), replace=False).tolist())
    return [packet for i, packet in enumerate(packets) if i not in lost]


def begun_late(rng: np.random.Generator, packets: list[av.Packet]) -> list[av.Packet]:
    return packets[int(rng.integers(1, len(packets) - 2)) :]


def with_wrong_keys(rng: np.random.Generator, packets: list[av.Packet]) -> list[av.Packet]:
    for packet in packets:
        packet.is_keyframe = bool(rng.random() < 0.3)
    return packets


def with_short_packets(rng: np.random.Generator, packets: list[av.Packet]) -> list[av.Packet]:
    return [_copied(p, bytes(p)[: int(rng.integers(1, 6))]) if rng.random() < 0.1 else p for p in packets]


def with_empty_units(rng: np.random.Generator, packets: list[av.Packet]) -> list[av.Packet]:
    odd = struct.pack(">I", 0), struct.pack(">IB", 1, int(rng.integers(256))), b"\0\0\1", bytes(64)
    return [_copied(p, bytes(p) + odd[int(rng.integers(4))]) if rng.random() < 0.3 else p for p in packets]


STREAMS = [with_wrong_times, with_lost_packets, begun_late, with_wrong_keys, with_short_packets, with_empty_units]


def _write_damaged_stream(rng: np.random.Generator, source: Path, target: Path) -> str:
    damage = STREAMS[int(rng.integers(len(STREAMS)))]
    with av.open(str(source)) as reader, av.open(str(target), "w", options=SAME_BYTES) as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        packets = [packet for packet in reader.demux(video=0) if packet.size]
        for packet in damage(rng, packets):
            packet.stream = stream
            writer.mux(packet)
    return damage.__name__


# Damage that leaves the coded frames as they are. Other damage may change which frame refers to which, and FFmpeg shows
# something without a warning.
OUTSIDE_FRAMES = {
    "truncated",
    "with_a_tail",
    "with_a_wrong_box",
    "with_wrong_times",
    "begun_late",
    "with_wrong_keys",
    "with_empty_units",
}


class DamagedFile(NamedTuple):
    name: str
    path: Path
    has_its_frames: bool  # what is left of the coded frames is as it was


def damaged_files(folder: Path, count: int, seed: int) -> Iterator[DamagedFile]:
    """Write damaged files one after the other, each in the place of the last."""
    rng = np.random.default_rng(seed)
    sources = [_write_source(folder / name, NUM_FRAMES) for name in SOURCES]
    for number in range(count):
        source = sources[number % len(sources)]
        target = folder / f"damaged{source.suffix}"
        timed = source.suffix in (".mp4", ".mov", ".mkv", ".webm", ".flv")
        try:
            if timed and rng.random() < 0.4:
                name = _write_damaged_stream(rng, source, target)
            else:
                damage = BYTES[int(rng.integers(len(BYTES)))]
                target.write_bytes(damage(rng, source.read_bytes()))
                name = damage.__name__
        except av.error.FFmpegError:  # the muxer refuses to write such a stream
            continue
        yield DamagedFile(f"file {number} of seed {seed}: {source.name} {name}", target, name in OUTSIDE_FRAMES)


def examine(path: Path, has_its_frames: bool) -> str:
    """Return what became of a file: "read", "refused" or "concealed". Raises AssertionError if that is wrong.

    Nothing but VideoErrors may come, and the check agrees with reading. The frames of a file that passes the check are
    those of a plain decode, whichever of them are asked for. Only their number is compared where the coded frames are
    damaged, FFmpeg warns of damage, or two decodes differ: FFmpeg then shows what lies in its memory. Where times
    contradict the order of decoding, frames are not compared one by one.
    """
    reason = check_video(path, LIMITS)
    try:
        with open_video(path, LIMITS) as video:
            shape = video.height, video.width
            frames = video.read(range(video.num_frames))
            some = {wanted: video.read(wanted) for wanted in _choices(video.num_frames)}
    except VideoError as error:
        if not reason:
            raise AssertionError(f"the check finds nothing, reading says: {error}") from error
        return "refused"
    assert not reason, f"all frames can be read, the check says: {reason}"
    assert frames.shape[1:3] == shape, f"the size is {shape}, that of the frames {frames.shape[1:3]}"
    plain, again = PlainDecode(path), PlainDecode(path, keep=True)
    assert len(frames) == len(plain.pictures), f"{len(frames)} frames, {len(plain.pictures)} by a plain decode"
    if plain.warnings or not has_its_frames or not all(map(np.array_equal, plain.pictures, again.pictures)):
        return "concealed"
    assert all(map(_alike, frames, plain.pictures)), "the frames are not those of a decode"
    if plain.times == sorted(plain.times):
        for wanted, pictures in some.items():
            assert (pictures == frames[list(wanted)]).all(), f"frames {wanted} depend on which are asked for"
    return "read"


def examine_all(files: Iterable[DamagedFile]) -> tuple[Counter[str], list[str]]:
    """Return how many files had each outcome of `examine`, and what is wrong with the others."""
    outcomes: Counter[str] = Counter()
    wrong = []
    for file in files:
        try:
            outcomes[examine(file.path, file.has_its_frames)] += 1
        except AssertionError as error:
            wrong.append(f"{file.name}: {error}")
    return outcomes, wrong


def _choices(num_frames: int) -> list[range]:
    one = [range(index, index + 1) for index in (0, num_frames // 2, num_frames - 1)]
    return [*one, range(0, num_frames, 3)]


def _alike(frame: np.ndarray, plain: np.ndarray) -> bool:
    """Whether these are equal, turned by right angles, or of another size."""
    turned = [np.rot90(plain, turns) for turns in range(4)]
    comparable = [picture for picture in turned if picture.shape == frame.shape]
    return not comparable or any(np.array_equal(frame, picture) for picture in comparable)


class PlainDecode:
    """All frames, by the plainest use of the decoder, without packets that it refuses; and FFmpeg's warnings.

    `keep`: the decoded frames, so that the decoder gets other memory for each.
    """

    def __init__(self, path: Path, keep: bool = False):
        self.pictures: list[np.ndarray] = []
        self.times: list[int] = []
        kept = []
        av.logging.set_level(av.logging.WARNING)
        with av.logging.Capture() as self.warnings, av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.best("video")
            stream.codec_context.thread_count = 1
            for packet in container.demux(stream):
                for frame in self._decode(packet):
                    self.pictures.append(frame.to_ndarray(format="rgb24"))
                    self.times.append(frame.pts or 0)
                    kept += [frame] if keep else []
        av.logging.set_level(None)

    def _decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        try:
            return packet.decode()
        except av.error.FFmpegError as error:
            self.warnings.append(error)
            return []


def parsers(folder: Path) -> dict[str, tuple[Callable[[bytes], object], list[bytes]]]:
    """Each parser, and bytes that it understands."""
    inputs: dict[str, list[bytes]] = {"h264": [], "hevc": []}
    configs: dict[str, list[bytes]] = {"h264": [], "hevc": []}
    heads = []
    for name in SOURCES:
        path = _write_source(folder / name, 6)
        heads.append(path.read_bytes())
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            codec = stream.codec_context.name
            if codec in inputs:
                configs[codec].append(stream.codec_context.extradata or b"")
                inputs[codec] += [bytes(packet) for packet in container.demux(stream) if packet.size][:2]

    def of_file(data: bytes) -> object:
        path = folder / "head"
        path.write_bytes(data)
        return claimed_size(str(path)), is_complete_mp4(io.BytesIO(data))

    def of_units(codec: str) -> Callable[[bytes], object]:
        known = [NalUnits(codec, config) for config in (*configs[codec], None)]
        return lambda data: [(units.starts_cleanly(data), units.turns(data)) for units in known]

    return {
        "file_size": (of_file, heads),
        "nal h264": (of_units("h264"), inputs["h264"]),
        "nal hevc": (of_units("hevc"), inputs["hevc"]),
        "configuration": (lambda data: NalUnits("h264", data).coded_size(), configs["h264"]),
        "sps": (lambda data: sps_size(memoryview(data)), [config[8:] for config in configs["h264"]]),
    }


def mutations(inputs: list[bytes], rng: np.random.Generator) -> Iterator[bytes]:
    """Yield the inputs, damaged in one to four ways at once; without end."""
    while True:
        data = inputs[int(rng.integers(len(inputs)))]
        for _ in range(int(rng.integers(1, 5))):
            data = BYTES[int(rng.integers(len(BYTES) - 2))](rng, data.ljust(2, b"\0"))
        yield data


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60, help="to mutate the input of each parser")
    args = parser.parse_args()
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as folder:
        outcomes, wrong = examine_all(damaged_files(Path(folder), args.files, args.seed))
        outcomes["wrong"] = len(wrong)
        for problem in wrong:
            print(problem, flush=True)
        for name, (parse, inputs) in parsers(Path(folder)).items():
            end = time.monotonic() + args.seconds
            for data in mutations(inputs, np.random.default_rng(args.seed)):
                parse(data)
                outcomes[f"mutations for {name}"] += 1
                if time.monotonic() > end:
                    break
    print(dict(outcomes))
    return int(outcomes["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
