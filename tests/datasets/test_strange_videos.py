"""Files as phones, browsers and other programs make them, and as strangers might."""

import os
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from slowfast.datasets.video import Limits, VideoError, check_video, container, frames, open_video, packets
from tests.datasets.test_video import plain_decode
from tests.videos import FFmpegCalls, numbered_frame, read_numbers, write_video

OPEN_SIZES = [(192, 108), (1, 1), (8192, 8192), (64, 50)]


def numbers(path, wanted=None):
    with open_video(path) as video:
        return read_numbers(video.read(range(video.num_frames) if wanted is None else wanted))


def replace(path, old, new):
    data = path.read_bytes()
    assert data.count(old) > 0
    path.write_bytes(data.replace(old, new))
    return path


def remux(source, target, change):
    """Copy the video packets of a file; `change(i, packet)` gives the packet to write in place of the i-th."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for i, packet in enumerate(packet for packet in reader.demux(video=0) if packet.size):
            packet = change(i, packet)
            if packet is not None:
                packet.stream = stream
                writer.mux(packet)
    return target


def with_data(packet, data):
    """A copy of a packet with other data."""
    other = av.Packet(data)
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    other.duration, other.is_keyframe = packet.duration, packet.is_keyframe
    return other


def timed(i, packet):
    """The packet with the times that a stream without times gets."""
    packet.pts = packet.dts = i * 512
    return packet


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.webm"])
def test_tags_that_are_not_utf8_do_no_harm(tmp_path, name):
    path = write_video(tmp_path / name, 5, codec="libvpx-vp9" if name == "v.webm" else "libx264")
    replace(path, b"Lavf", b"\xff\xfe\x80f")
    assert check_video(path) == ""
    assert numbers(path) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("unit", [b"", b"\x09", b"\x06", b"\x01", b"\x26"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("where", ["first", "last"])
def test_empty_and_short_nal_units_are_left_to_ffmpeg(tmp_path, unit, codec, where):
    source = write_video(tmp_path / "v.mp4", 12, codec=codec, options={"g": "4"})
    odd = struct.pack(">I", len(unit)) + unit
    change = {
        "first": lambda i, packet: with_data(packet, odd + bytes(packet)),
        "last": lambda i, packet: with_data(packet, bytes(packet) + odd),
    }
    path = remux(source, tmp_path / "odd.mp4", change[where])
    try:
        is_fine = len(plain_decode(path)) == 12
    except av.error.InvalidDataError:
        is_fine = False
    assert (check_video(path) == "") == is_fine
    if is_fine:
        assert numbers(path) == list(range(12))


def exif_jpeg(number, orientation):
    data = cv2.imencode(".jpg", numbered_frame(number))[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">H", orientation) + bytes(6)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_side_data_of_an_unknown_kind_does_no_harm(tmp_path, orientation, turns):
    path = tmp_path / "v.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(5):
            packet = av.Packet(exif_jpeg(number, orientation))
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
            output.mux(packet)
    assert check_video(path) == ""
    with open_video(path) as video:
        assert read_numbers(np.rot90(video.read(range(5)), -turns, axes=(1, 2))) == list(range(5))
        assert (video.width, video.height) == ((48, 64) if turns % 2 else (64, 48))


@pytest.mark.parametrize("matrix", ["YCgCo", "ICtCp", "bt2020c"])
def test_colors_that_cannot_be_converted_are_an_error_of_the_video(tmp_path, matrix):
    path = write_video(tmp_path / "v.mp4", 3, options={"x264-params": f"colormatrix={matrix}:threads=1"})
    with open_video(path) as video, pytest.raises(VideoError, match="unsupported kind") as raised:
        video.read([0])
    assert check_video(path) == str(raised.value)


@pytest.mark.parametrize("kind", [IndexError, ValueError, RuntimeError, UnicodeDecodeError, MemoryError, OSError])
@pytest.mark.parametrize("place", ["demux", "decode_all", "image"])
def test_every_error_of_reading_is_a_video_error(tmp_path, kind, place, monkeypatch):
    path = write_video(tmp_path / "v.avi", 5, codec="mpeg4")

    def fail(*_):
        raise kind("utf8", b"", 0, 1, "a\nb") if kind is UnicodeDecodeError else kind("a\nb")

    if place == "image":
        monkeypatch.setattr("slowfast.datasets.video.picture.Converter.image", fail)
    else:
        monkeypatch.setattr(container.OpenFile if place == "demux" else frames, place, fail)
    with pytest.raises(VideoError) as raised, open_video(path) as video:
        video.read([0], resize=(8, 8))
    assert "\n" not in str(raised.value)
    assert check_video(path) == str(raised.value)


def test_errors_of_the_code_that_uses_a_video_are_not_changed(tmp_path):
    path = write_video(tmp_path / "v.mp4", 5)
    with pytest.raises(RuntimeError, match="of the user"), open_video(path):
        raise RuntimeError("of the user")


@pytest.mark.parametrize("size", OPEN_SIZES)
@pytest.mark.parametrize(("codec", "tag"), [("libx264", b"avc1"), ("libx265", b"hev1"), ("mpeg4", b"mp4v")])
def test_the_size_is_that_of_the_frames_not_that_of_the_header(tmp_path, size, codec, tag):
    path = write_video(tmp_path / "v.mp4", 12, codec=codec)
    data = bytearray(path.read_bytes())
    at = data.find(tag, data.find(b"stsd")) + 28
    assert struct.unpack(">HH", data[at : at + 4]) == (64, 48)
    data[at : at + 4] = struct.pack(">HH", *size)
    path.write_bytes(data)
    with open_video(path) as video:
        assert (video.width, video.height) == (64, 48)
        assert (video.read(range(12)) == plain_decode(path)).all()
    assert check_video(path) == ""


@pytest.mark.parametrize("size", [(64, 48), (66, 50), (176, 100), (16, 16), (98, 34)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le"])
@pytest.mark.parametrize("interlaced", [0, 1])
def test_the_size_of_h264_streams_is_known_without_decoding(tmp_path, size, pix_fmt, interlaced, monkeypatch):
    if interlaced and size[1] % 4:
        size = (size[0], size[1] // 4 * 4)
    params = f"threads=1:interlaced={interlaced}" + (":cqm=jvt" if interlaced else "")
    path = write_video(tmp_path / "v.mp4", 2, size=size, pix_fmt=pix_fmt, options={"x264-params": params, "bf": "0"})
    calls, real = FFmpegCalls(), av.open
    monkeypatch.setattr(av, "open", lambda *args, **options: calls.open(real, *args, **options))
    with open_video(path) as video:
        assert (video.width, video.height) == size
    assert not calls.decoded


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("limit", [3000, 1])
def test_times_that_contradict_the_order_of_decoding_are_not_used(tmp_path, suffix, codec, limit, monkeypatch):
    source = write_video(tmp_path / "v.mp4", 40, codec=codec, options={"g": "10"})
    path = remux(source, tmp_path / f"raw{suffix}", timed)
    monkeypatch.setattr(packets, "LONG", limit)
    expected = plain_decode(path)
    assert check_video(path) == ""
    with open_video(path) as video:
        assert video.num_frames == len(expected)
        for wanted in ([1], [2, 30], [39], range(40)):
            assert (video.read(wanted) == expected[wanted]).all()


@pytest.mark.parametrize("excess", [8, 1000])
@pytest.mark.parametrize("limit", [3000, 1])
def test_a_box_that_claims_too_much_is_fine_if_no_frame_is_missing(tmp_path, excess, limit, monkeypatch):
    monkeypatch.setattr(packets, "LONG", limit)
    path = write_video(tmp_path / "v.mp4", 20, container_options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    at = data.find(b"mdat") - 4
    data[at : at + 4] = struct.pack(">I", struct.unpack(">I", data[at : at + 4])[0] + excess)
    path.write_bytes(data)
    assert check_video(path) == ""
    assert numbers(path, [3, 19]) == [3, 19]


def test_a_long_mp4_file_that_lacks_its_last_frames_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packets, "LONG", 1)
    path = write_video(tmp_path / "v.mp4", 60, container_options={"movflags": "faststart"})
    os.truncate(path, path.stat().st_size - 5)
    assert "cut off" in check_video(path)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
@pytest.mark.parametrize("first", [3, 5, 8, 17])
def test_a_gradual_refresh_that_was_cut_shows_what_can_be_decoded(tmp_path, suffix, first):
    params = "intra-refresh=1:keyint=12:bframes=0:threads=1"
    source = write_video(tmp_path / "v.mp4", 60, options={"x264-params": params})
    path = remux(source, tmp_path / f"cut{suffix}", lambda i, packet: packet if i >= first else None)
    expected = plain_decode(path)
    assert check_video(path) == ""
    with open_video(path) as video:
        assert video.num_frames == len(expected)
        assert (video.read(range(len(expected))) == expected).all()
        assert (video.read([len(expected) - 1]) == expected[-1:]).all()


def write_browser_webm(path, codec, times):
    """A WebM file as a browser records it: times in milliseconds, and no frame duration."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=1000, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts, frame.time_base = int(time), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
@pytest.mark.parametrize("steps", [[33, 34, 34], [28, 39], [16, 17, 17, 50, 100]])
def test_the_rate_is_that_of_the_times_where_the_stream_has_another(tmp_path, codec, steps):
    times = np.cumsum([0, *steps * 20])
    path = write_browser_webm(tmp_path / "v.webm", codec, times)
    with open_video(path) as video:
        assert video.fps == pytest.approx(1000 / np.mean(steps), rel=1e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv", ".nut"])
@pytest.mark.parametrize(("limit", "tolerance"), [(3000, 0.02), (1, 0.1)])
def test_the_rate_of_uneven_times_is_their_average(tmp_path, suffix, limit, tolerance, monkeypatch):
    monkeypatch.setattr(packets, "LONG", limit)
    seconds = np.concatenate([np.arange(20), 20 + np.arange(60) / 60])  # 1 frame a second, then 60
    times = [round(second * 3000) for second in seconds]  # in units of 1 / (30 * 100) s
    path = write_video(tmp_path / f"v{suffix}", 80, fps=30, pts=times)
    with open_video(path) as video:
        assert video.fps == pytest.approx(79 / seconds[-1], rel=tolerance)


@pytest.mark.parametrize("folder", ["a:b", "http:", "concat:x|y", "~", "%d", "pipe:0", "\udcff"])
def test_no_path_is_taken_for_a_protocol_or_a_pattern(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.path.join(folder, "a:b%03d.mp4")
    os.mkdir(folder)
    write_video(tmp_path / "v.mp4", 3).rename(tmp_path / name)
    assert check_video(name) == ""
    assert numbers(name) == [0, 1, 2]


SCRIPTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{target}\n#EXT-X-ENDLIST\n",
    "endless m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{target}\n",
    "address": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nhttp://127.0.0.1:1/v.ts\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {target}\n",
    "itself": "ffconcat version 1.0\nfile v.mp4\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    "<BaseURL>{target}</BaseURL></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 1234 RTP/AVP 96\n",
}


@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".txt", ".ffconcat"])
def test_playlists_and_scripts_are_not_videos(tmp_path, kind, suffix):
    target = write_video(tmp_path / "target.ts", 3)
    path = tmp_path / f"v{suffix}"
    path.write_text(SCRIPTS[kind].format(target=target.name))
    assert "not a video file" in check_video(path)


def write_gif(path):
    with av.open(str(path), "w") as output:
        stream = output.add_stream("gif", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8"
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24").reformat(format="rgb8")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["v.avi", "v.mkv", "v.flv", "v.mpg"])
def test_reading_a_file_with_an_endless_tail_ends_after_a_time(tmp_path, name):
    codec = {"v.avi": "mpeg4", "v.mpg": "mpeg2video"}.get(name, "libx264")
    path = write_video(tmp_path / name, 6, codec=codec)
    os.truncate(path, 10 << 30)
    assert "DATA.MAX_DECODE_SEC" in check_video(path, Limits(seconds=0.3))


@pytest.mark.parametrize("kind", ["h264", "hevc", "m4v", "gif"])
def test_a_stream_without_a_container_must_not_be_large(tmp_path, kind):
    codec = {"hevc": "libx265", "m4v": "mpeg4"}.get(kind, "libx264")
    path = tmp_path / "v"
    path = write_gif(tmp_path / "v.gif") if kind == "gif" else write_video(path, 6, codec=codec, container=kind)
    assert check_video(path) == ""
    os.truncate(path, 10 << 30)
    assert "without a container" in check_video(path)


@pytest.mark.parametrize("name", ["v.mp4", "v.avi", "v.ts", "v.mkv", "v.webm", "v.gif"])
def test_frames_that_would_fill_the_memory_are_refused(tmp_path, name):
    codec = {"v.avi": "mjpeg", "v.webm": "libvpx-vp9"}.get(name, "libx264")
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = {"codec": codec, "pix_fmt": pix_fmt}
    path = write_gif(tmp_path / name) if name == "v.gif" else write_video(tmp_path / name, 12, **options)
    assert check_video(path) == ""
    assert check_video(path, Limits(pixels=64 * 48)) == ""
    assert check_video(path, Limits(pixels=0)) == ""
    assert check_video(path, Limits(pixels=64 * 48 - 1)) != ""


def test_a_stream_with_larger_frames_than_its_header_is_refused_too(tmp_path):
    path = write_video(tmp_path / "v.mp4", 3)
    data = bytearray(path.read_bytes())
    at = data.find(b"avc1", data.find(b"stsd")) + 28
    data[at : at + 4] = struct.pack(">HH", 16, 16)
    path.write_bytes(data)
    assert check_video(path, Limits(pixels=64 * 48 - 1)) != ""


def test_a_packet_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 3)
    monkeypatch.setattr(container, "MAX_PACKET_BYTES", 100)
    assert "a packet of over 100 bytes" in check_video(path)


def test_frames_after_damage_in_a_counted_stream_are_refused(tmp_path):
    path = write_video(tmp_path / "v.avi", 40, codec="libx264", options={"g": "10", "bf": "0"})
    with av.open(str(path)) as reader:
        at, size = [(packet.pos, packet.size) for packet in reader.demux(video=0)][25]
    data = bytearray(path.read_bytes())
    data[at + 8 : at + 8 + size] = b"\xff" * size
    path.write_bytes(data)
    assert "damaged" in check_video(path)
    with open_video(path) as video:
        assert read_numbers(video.read([3, 12])) == [3, 12]
        with pytest.raises(VideoError, match="can't be decoded"):
            video.read([30])  # whose number would be 31
