"""Choosing the quickest exact way to the frames of a file."""

from slowfast.datasets.video_header import Header
from slowfast.datasets.video_long import LongSource
from slowfast.datasets.video_source import CountedSource, PacketSource, Source, read_index
from slowfast.datasets.video_stream import VideoError, open_stream, read_file_header


def open_source(path: str) -> Source:
    """The quickest exact source for the video stream of a file. Raises VideoError, for files cut off, too."""
    header = read_file_header(path)
    source = _open_source(path, header, quick=header.is_complete)
    if header.is_complete and not source.knows_reordering():
        source.close()
        source = _open_source(path, header, quick=False)
    # The size in an AVI header is not reliable; together with the number of frames it is.
    complete_avi = source.container.format.name == "avi" and source.num_frames >= source.stream.frames
    if header.missing_bytes and not complete_avi:
        source.close()
        raise VideoError(f"the file is cut off: {header.missing_bytes} bytes are missing")
    return source


def _open_source(path: str, header: Header, quick: bool) -> Source:
    container, stream = open_stream(path, quick)
    try:
        if header.is_complete and LongSource.can_serve(stream):
            return LongSource(path, container, stream, header.may_turn)
        index, packets = read_index(container, stream)
        if index is None:
            return CountedSource(path, container, stream)
        return PacketSource(path, container, stream, index, packets, header.may_turn)
    except VideoError:
        container.close()
        raise
