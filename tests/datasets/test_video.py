"""Every file is compared with a sequential decode of the entire stream, and with the numbers that its frames show."""

import os
import struct

import av
import cv2
import numpy as np
import pytest

from slowfast.datasets.video import VideoError, check_video, container, frames, open_video, packets
from slowfast.datasets.video.index import build_index
from slowfast.datasets.video.nal import NalUnits
from tests.videos import (
    FFmpegCalls,
    numbered_frame,
    read_number,
    read_numbers,
    truncate,
    write_sound_only,
    write_video,
)

X265 = "log-level=error:pools=none:frame-threads=1"
UNEVEN = [int(t) for t in np.cumsum(np.random.default_rng(0).integers(20, 300, 40))]
OPEN_GOP = "open-gop=1:keyint=12:min-keyint=12:bframes=4"

FILES = {
    "b_frames.mp4": {},
    "pyramid.mkv": {"options": {"x264-params": "keyint=15:bframes=5:b-pyramid=normal:ref=4:threads=1"}},
    "h264.mov": {"options": {"g": "7"}},
    "h264.ts": {"options": {"g": "12"}},
    "h264.flv": {},
    "h264.avi": {},
    "one_after_the_other.h264": {"container": "h264"},
    "hevc.mp4": {"codec": "libx265"},
    "hevc.ts": {"codec": "libx265"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10"}},
    "vp9_hidden_frames.mkv": {
        "codec": "libvpx-vp9",
        "options": {"deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "16", "g": "20"},
    },
    "vp8_hidden_frames.webm": {
        "codec": "libvpx",
        "options": {"deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k"},
    },
    "av1.mp4": {"codec": "libsvtav1", "options": {"g": "16"}},
    "av1.webm": {"codec": "libsvtav1"},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "open_gop.mp4": {"options": {"preset": "medium", "x264-params": OPEN_GOP + ":threads=1"}},
    "open_gop.ts": {"options": {"preset": "medium", "x264-params": OPEN_GOP + ":threads=1"}},
    "open_gop_hevc.mp4": {
        "codec": "libx265",
        "options": {"preset": "medium", "x265-params": f"{X265}:{OPEN_GOP}"},
    },
    "layers_hevc.mp4": {
        "codec": "libx265",
        "options": {"preset": "medium", "x265-params": f"{X265}:temporal-layers=3:bframes=7:keyint=20"},
    },
    "gradual_refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=12:bframes=0:threads=1"}},
    "interlaced.mp4": {"options": {"x264-params": "interlaced=1:tff=1:threads=1"}},
    "uneven.mp4": {"pts": UNEVEN},
    "uneven.mkv": {"pts": UNEVEN},
    "late_start.mp4": {"pts": [1000 + 100 * i for i in range(40)]},
    "late_start.ts": {"pts": [1000 + 100 * i for i in range(40)]},
    "early_start.mp4": {"pts": [-1000 + 100 * i for i in range(40)]},
    "odd_size.mp4": {"size": (65, 49), "pix_fmt": "yuv444p"},
    "odd_size.webm": {"size": (33, 27), "codec": "libvpx-vp9"},
    "ten_bit.mp4": {"pix_fmt": "yuv420p10le"},
    "ten_bit_hevc.mkv": {"pix_fmt": "yuv420p10le", "codec": "libx265"},
    "with_sound.mp4": {"audio": True},
    "with_sound.mkv": {"audio": True, "options": {"g": "9"}},
    "fragments.mp4": {"options": {"g": "12"}, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "one_frame.mp4": {"num_frames": 1},
    "one_frame.avi": {"num_frames": 1, "codec": "mpeg4"},
    "rotated_90.mp4": {"rotation": 90},
    "rotated_180.mp4": {"rotation": 180},
    "rotated_270.mkv": {"rotation": 270},
}
# Streams that have to be decoded from their start, because their packets do not show which frame they contain.
COUNTED = ("avi", "h264", "mpg")
NOT_AS_LONG = ("fragments.mp4", "early_start.mp4")  # incomplete headers, and frames that are not shown


def write(folder, name):
    return write_video(folder / name, **{"num_frames": 40, **FILES[name]})


def plain_decode(path, turns=0):
    """All frames, by the plainest use of the decoder."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([np.rot90(frame, turns) for frame in frames])


@pytest.mark.parametrize("name", FILES)
def test_reading_returns_exactly_the_requested_frames(tmp_path, name):
    path = write(tmp_path, name)
    turns = FILES[name].get("rotation", 0) // 90
    expected = plain_decode(path, turns)
    numbers = read_numbers(np.rot90(expected, -turns, axes=(1, 2)))
    assert numbers == list(range(numbers[0], numbers[0] + len(expected)))
    rng = np.random.default_rng(0)
    with open_video(path) as video:
        assert (video.num_frames, video.height, video.width) == expected.shape[:3]
        for size in (1, 2, 3, 5, 8, 40):
            wanted = rng.integers(0, len(expected), size)
            assert (video.read(wanted) == expected[wanted]).all()
            assert (video.read(np.unique(wanted)) == expected[np.unique(wanted)]).all()


@pytest.fixture
def ffmpeg(monkeypatch):
    """The calls of FFmpeg."""
    calls, real = FFmpegCalls(), av.open
    monkeypatch.setattr(av, "open", lambda *args, **options: calls.open(real, *args, **options))
    return calls


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(COUNTED) and "vp8" not in name])
def test_frames_are_located_by_their_packets_alone(tmp_path, name, ffmpeg):
    path = write(tmp_path, name)
    with open_video(path) as video:
        ffmpeg.clear()
        assert len(video.read(range(0, video.num_frames, 3))) > 0
        assert len(video.read([video.num_frames - 1])) == 1
        assert not ffmpeg.opened  # to decode the entire stream
        assert not ffmpeg.sought  # because the packets are in memory


@pytest.mark.parametrize("name", ["pyramid.mkv", "h264.mov", "hevc.mp4", "open_gop.ts", "vp9.webm", "with_sound.mkv"])
def test_large_files_are_read_again_from_the_key_frame_on(tmp_path, name, monkeypatch, ffmpeg):
    path = write(tmp_path, name)
    expected = plain_decode(path)
    monkeypatch.setattr(packets, "KEEP_BYTES", 100)
    with open_video(path) as video:
        for wanted in ([39], [0], [20, 21, 38], [3, 30], [25]):
            ffmpeg.clear()
            assert (video.read(wanted) == expected[wanted]).all()
            assert ffmpeg.sought
            assert not ffmpeg.opened


@pytest.mark.parametrize("name", [n for n in FILES if n.endswith((".mp4", ".mov")) and n not in NOT_AS_LONG])
@pytest.mark.parametrize("span", [1000, 7])
def test_of_long_mp4_files_only_the_part_around_the_wanted_frames_is_read(tmp_path, name, span, monkeypatch, ffmpeg):
    path = write(tmp_path, name)
    expected = plain_decode(path, FILES[name].get("rotation", 0) // 90)
    monkeypatch.setattr(packets, "LONG", 1)
    monkeypatch.setattr(packets, "GAP", 5)
    monkeypatch.setattr(packets, "SPAN", span)
    with open_video(path) as video:
        assert (video.num_frames, video.height, video.width) == expected.shape[:3]
        last = video.num_frames - 1
        for wanted in ([last], [0], [last // 2, -(-last // 2), last], [last // 10, last * 3 // 4], range(last + 1)):
            ffmpeg.clear()
            assert (video.read(wanted) == expected[wanted]).all()
            assert ffmpeg.sought
            assert not ffmpeg.opened


def test_the_times_in_a_damaged_header_of_a_long_file_are_not_trusted(tmp_path, monkeypatch, ffmpeg):
    path = write(tmp_path, "h264.mov")
    monkeypatch.setattr(packets, "LONG", 1)
    monkeypatch.setattr(packets, "GAP", 5)
    seeker = packets.Seeker
    late = lambda file, stamp, times, _: seeker(file, stamp, [*times[:10], *[t + 1 for t in times[10:]]], times)  # noqa: E731
    monkeypatch.setattr(packets, "Seeker", late)
    with open_video(path) as video:
        ffmpeg.clear()
        assert read_numbers(video.read([3, 30])) == [3, 30]
        assert ffmpeg.opened


def test_transport_streams_with_half_frames_in_packets_are_counted(tmp_path, monkeypatch, ffmpeg):
    path = write(tmp_path, "h264.ts")
    whole = container.OpenFile.demux

    def demux(file):
        """Packets of half a frame, until the file is opened again to be decoded."""
        is_first = len(ffmpeg.opened) == 1
        return (half for packet in whole(file) for half in halves(packet)) if is_first else whole(file)

    ffmpeg.clear()
    monkeypatch.setattr(container.OpenFile, "demux", demux)
    with open_video(path) as video:
        assert len(ffmpeg.opened) == 2
        assert read_numbers(video.read([0, 21, 39])) == [0, 21, 39]


def halves(packet):
    """Two packets that stand in for those of two fields."""
    data = bytes(packet)
    for number, content in enumerate((data[: len(data) // 2], data[len(data) // 2 :])):
        half = av.Packet(content)
        half.pts, half.dts, half.is_keyframe = packet.pts + number, packet.dts + number, packet.is_keyframe
        yield half


def test_long_streams_without_times_are_decoded_again(tmp_path, monkeypatch, ffmpeg):
    path = write(tmp_path, "mpeg4.avi")
    for limit, is_kept in ((frames.KEEP_PIXELS, True), (100, False)):
        monkeypatch.setattr(frames, "KEEP_PIXELS", limit)
        with open_video(path) as video:
            ffmpeg.clear()
            assert read_numbers(video.read([7, 3, 39, 3])) == [7, 3, 39, 3]
            assert bool(ffmpeg.opened) != is_kept


@pytest.mark.parametrize("name", ["b_frames.mp4", "vp9.webm", "mpeg4_b_frames.avi", "hevc.mp4", "uneven.mkv"])
def test_another_reader_sees_the_same_frames(tmp_path, name):
    path = write(tmp_path, name)
    capture = cv2.VideoCapture(str(path))
    others = []
    while (got := capture.read())[0]:
        others.append(read_number(got[1]))
    with open_video(path) as video:
        assert read_numbers(video.read(range(video.num_frames))) == others == list(range(40))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "libvpx-vp9", "libsvtav1"])
@pytest.mark.parametrize(("start", "length"), [(10, 20), (3, 5), (8, 30)])
def test_frames_outside_the_edit_list_are_left_out(tmp_path, codec, start, length):
    path = write_video(tmp_path / "v.mp4", 40, codec=codec, options={"g": "8"})
    set_edit(path, start, length)
    expected = plain_decode(path)
    with open_video(path) as video:
        assert video.num_frames == len(expected) == length
        assert (video.read(range(length)) == expected).all()
        assert read_numbers(video.read([2, length - 1])) == [start + 2, start + length - 1]


def set_edit(path, start, length, fps=25, timescale=12800):
    """Make the file show `length` frames from `start` on only (the muxer wrote a list of one edit)."""
    data = bytearray(path.read_bytes())
    at = data.find(b"elst") + 12
    _, media_time = struct.unpack(">Ii", data[at : at + 8])
    edit = struct.pack(">Ii", length * 1000 // fps, media_time + start * timescale // fps)
    data[at : at + 8] = edit
    path.write_bytes(data)


@pytest.mark.parametrize("source", ["open_gop.mp4", "open_gop_hevc.mp4"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("beyond", [0, 3])
def test_streams_cut_out_of_others_show_what_can_be_decoded(tmp_path, source, suffix, beyond):
    path = tmp_path / f"cut{suffix}"
    copy_from_second_key(write(tmp_path, source), path, beyond)
    expected = plain_decode_from_first_key(path)
    with open_video(path) as video:
        assert video.num_frames == len(expected)
        assert (video.read(range(len(expected))) == expected).all()


def copy_from_second_key(source, target, beyond):
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        packets = [packet for packet in reader.demux(video=0) if packet.size]
        key = [i for i, packet in enumerate(packets) if packet.is_keyframe][1]
        for packet in packets[key + beyond :]:
            packet.stream = stream
            writer.mux(packet)


def plain_decode_from_first_key(path):
    frames = []
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for packet in container.demux(video=0):
            try:
                frames += [frame.to_ndarray(format="rgb24") for frame in packet.decode()]
            except av.error.InvalidDataError:
                assert not frames
    return np.stack(frames)


def test_frames_that_nothing_refers_to_are_skipped(tmp_path, ffmpeg):
    path = write(tmp_path, "b_frames.mp4")
    with open_video(path) as video:
        frames = video.read([0, 39])
    assert len(ffmpeg.decoded) < 30  # of 40
    assert (frames == plain_decode(path)[[0, 39]]).all()


def test_frames_are_resized_without_cropping(tmp_path):
    path = write(tmp_path, "b_frames.mp4")
    with open_video(path) as video:
        small = video.read([4, 9], resize=(40, 20))
        whole = video.read([4, 9])
    assert small.shape == (2, 20, 40, 3)
    assert read_numbers(small) == [4, 9]
    for a, b in zip(small, whole, strict=True):
        assert (a == cv2.resize(b, (40, 20), interpolation=cv2.INTER_LINEAR)).all()


def test_rotated_frames_are_turned_before_they_are_resized(tmp_path):
    path = write_video(tmp_path / "v.mp4", 5, rotation=90)
    with open_video(path) as video:
        assert (video.width, video.height) == (48, 64)
        frames = video.read([3], resize=(24, 32))
    assert read_number(np.rot90(frames[0], -1)) == 3


def test_channels_are_red_green_blue(tmp_path):
    with open_video(write_video(tmp_path / "v.mp4", 2)) as video:
        red, _, blue = video.read([0]).mean((0, 1, 2))
    assert red > blue + 50


@pytest.mark.parametrize(("fps", "expected"), [(25, 25), ("30000/1001", 30000 / 1001), (12.5, 12.5)])
def test_the_rate_is_the_average_rate(tmp_path, fps, expected):
    with open_video(write_video(tmp_path / "v.mp4", 10, fps=fps)) as video:
        assert video.fps == pytest.approx(expected)


@pytest.mark.parametrize("indices", [[], [-1], [40], [0, 41]])
def test_frames_out_of_range_are_not_a_video_error(tmp_path, indices):
    with open_video(write(tmp_path, "b_frames.mp4")) as video, pytest.raises(IndexError, match="of a video of 40"):
        video.read(indices)


def broken(folder, kind):
    path = folder / "v.mp4"
    if kind == "missing":
        return path
    if kind == "sound":
        return write_sound_only(path)
    if kind == "folder":
        path.mkdir()
        return path
    if kind in ("empty", "text", "noise"):
        content = {"empty": b"", "text": b"path 1\nother 2\n" * 40, "noise": os.urandom(5000)}
        path.write_bytes(content[kind])
        return path
    options = {"movflags": "faststart"} if kind == "index_first" else {}
    path = folder / {"cut.mkv": "v.mkv", "cut.avi": "v.avi"}.get(kind, "v.mp4")
    write_video(path, 60, size=(128, 96), container_options=options, codec="mpeg4" if kind == "cut.avi" else "libx264")
    return truncate(path, 0.6)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no such file"),
        ("folder", "no such file"),
        ("empty", "is empty"),
        ("text", "not a video file"),
        ("noise", "not a video file"),
        ("sound", "no video stream .audio only"),
        ("index_last", r"index .moov. is missing"),
        ("index_first", r"cut off: it holds \d+ of 60 frames"),
        ("cut.mkv", r"cut off: \d+ bytes are missing"),
        ("cut.avi", r"cut off: \d+ bytes are missing"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_reason(tmp_path, kind, reason):
    path = broken(tmp_path, kind)
    with pytest.raises(VideoError, match=reason) as raised:
        open_video(path)
    assert "\n" not in str(raised.value)
    assert check_video(path) == str(raised.value)


def test_a_damaged_frame_is_found_by_the_check_and_when_it_is_read(tmp_path):
    path = write_video(tmp_path / "v.mp4", 40, options={"g": "10", "bf": "0"})
    with av.open(str(path)) as container:
        target = [(p.pos, p.size) for p in container.demux(video=0)][25]
    data = bytearray(path.read_bytes())
    data[target[0] : target[0] + target[1]] = b"\xff" * target[1]
    path.write_bytes(data)
    assert "damaged" in check_video(path)
    with open_video(path) as video:
        assert read_numbers(video.read([3, 12])) == [3, 12]
        with pytest.raises(VideoError, match="frame 25 of 40 can't be decoded"):
            video.read([3, 25])


def test_a_sound_file_passes_the_check(tmp_path):
    assert check_video(write(tmp_path, "with_sound.mp4")) == ""
    assert check_video(write(tmp_path, "mpeg4.avi")) == ""


@pytest.mark.parametrize(
    ("times", "shown", "keys", "expected"),
    [
        ([0, 3, 1, 2], [True] * 4, [0], [0, 2, 3, 1]),
        ([0, 3, 1, 2], [True, True, False, True], [0], [0, 3, 1]),
        ([5, 0, 1], [False, True, True], [0], None),  # before the first key frame
        ([0, 1, 1], [True] * 3, [0], None),  # two frames at once
        ([0, 1, 1], [True, False, True], [0], [0, 2]),
        ([0, None, 1], [True] * 3, [0], None),
        ([0, 1, 2], [True] * 3, [1], None),  # does not begin with a key frame
        ([0, 1, 2], [True] * 3, [], None),
        ([*range(100, 200), *range(100)], [True] * 200, [0], None),  # times that jump back
        ([0, 9, 1, 2, 3], [True] * 5, [0, 3], None),  # shown after a key frame, but decoded before it
        ([0, 1, 4, 2, 3], [True] * 5, [0, 2], [0, 1, 3, 4, 2]),  # shown before a key frame, but decoded after it
    ],
)
def test_the_order_of_presentation_follows_from_times_or_is_unknown(times, shown, keys, expected):
    index = build_index(times, shown, keys)
    assert (index and index.positions) == expected


def test_decoding_starts_at_the_last_key_frame_that_will_do():
    # decoded: key 0, 2, 1, key 5 with 3 and 4 shown before it, 6
    index = build_index([0, 2, 1, 5, 3, 4, 6], [True] * 7, [0, 3])
    assert [index.start_of(i) for i in range(7)] == [0, 0, 0, 0, 0, 3, 3]


def test_nal_units_are_read_behind_lengths_and_behind_start_codes():
    parameters, idr, other = b"\x67x", b"\x65ab", b"\x41ab"
    prefixed = NalUnits("h264", bytes([1, 0, 0, 0, 0xFF]))
    plain = NalUnits("h264", None)
    for last, expected in ((idr, True), (other, False)):
        units = (parameters, last)
        assert prefixed.starts_cleanly(b"".join(struct.pack(">I", len(u)) + u for u in units)) is expected
        assert plain.starts_cleanly(b"".join(b"\0\0\1" + u for u in units)) is expected


@pytest.mark.parametrize(("payload", "starts"), [(b"\x80", True), (b"\x50", False)])
def test_h264_starts_at_a_recovery_point_only_if_it_recovers_at_once(payload, starts):
    sei = b"\x06" + b"\x05\x02ab" + b"\x06\x01" + payload + b"\x80"
    assert NalUnits("h264", None).starts_cleanly(b"\0\0\1" + sei + b"\0\0\1\x41ab") is starts
    assert NalUnits("h264", None).starts_cleanly(b"\0\0\1\x41ab") is False
    assert NalUnits("h264", None).starts_cleanly(b"\0\0\1\x65ab") is True


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".mov"])
@pytest.mark.parametrize("fraction", [0.4, 0.9])
def test_a_whole_file_passes_the_check_and_a_cut_one_does_not(tmp_path, suffix, fraction):
    path = write_video(tmp_path / f"v{suffix}", 20, codec="libvpx-vp9" if suffix == ".webm" else "mpeg4")
    assert check_video(path) == ""
    assert "cut off" in check_video(truncate(path, fraction))


def test_numbers_survive_where_a_test_needs_them_to():
    for number in (0, 1, 255, 256, 40000, 65535):
        assert read_number(numbered_frame(number, (33, 27))) == number


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("b_frames.mp4", True),
        ("with_sound.mp4", True),
        ("rotated_90.mp4", False),
        ("fragments.mp4", True),
        ("hevc.mp4", True),
        ("pyramid.mkv", True),
        ("rotated_270.mkv", False),
        ("h264.ts", True),
        ("mpeg4.mp4", False),
    ],
)
def test_the_size_is_known_without_decoding_unless_pictures_are_turned(tmp_path, name, is_known, ffmpeg):
    path = write(tmp_path, name)
    with open_video(path) as video:
        ffmpeg.clear()
        assert {video.width, video.height} == {64, 48}
        assert (not ffmpeg.decoded) == is_known


@pytest.mark.parametrize(("name", "is_quick"), [("b_frames.mp4", True), ("fragments.mp4", False), ("h264.mov", True)])
def test_complete_mp4_files_are_opened_without_decoding(tmp_path, name, is_quick, ffmpeg):
    with open_video(write(tmp_path, name)) as video:
        assert video.num_frames == 40
    assert [options.get("skip_frame") == "all" for options in ffmpeg.opened[-1:]] == [is_quick]


@pytest.mark.parametrize(("kind", "turns"), [(47, True), (5, False)])
def test_streams_that_turn_their_pictures_themselves_are_noticed(kind, turns):
    message = bytes([kind, 2]) + b"ab\x80"
    assert NalUnits("h264", None).turns(b"\0\0\1\x06" + message + b"\0\0\1\x65ab") is turns
    assert NalUnits("hevc", None).turns(b"\0\0\1\x4e\x01" + message + b"\0\0\1\x26\x01ab") is turns
