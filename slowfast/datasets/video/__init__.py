"""Exact reading of video files: the frames that are asked for by index are the frames that come.

Frame i is the i-th frame that a plain decode of the stream shows. The modules, in the order a file passes them:

    container   opens the video stream of a file, and decodes all of it the plain way
    file_size   notices files that are cut off
    nal         reads what the units of an H.264 or HEVC stream say about themselves
    index       tells which packet holds which frame, and where decoding may start
    packets     reads the packets: all of them, or the part around the wanted frames
    frames      decodes the packets that the wanted frames need
    picture     turns decoded frames into RGB pictures
    known       reads videos whose packets are known, without FFmpeg's demuxer
    reader      `Video`, `open_video`, `check_video` and `check_header`
    proof       `examine_video`: proves by decoding what the packets of a file show
    index_file  the index of a data set, a file with what has been proven

Everything runs in one thread: loaders run one process per core.
"""

from slowfast.datasets.video.container import DEFAULT_LIMITS, Limits, VideoError
from slowfast.datasets.video.index_file import IndexFile, IndexWriter, index_writer, open_index
from slowfast.datasets.video.known import SETTLED_SECONDS
from slowfast.datasets.video.proof import Examined, examine_video
from slowfast.datasets.video.reader import Video, check_header, check_video, open_video, video_errors

__all__ = [
    "DEFAULT_LIMITS",
    "SETTLED_SECONDS",
    "Examined",
    "IndexFile",
    "IndexWriter",
    "Limits",
    "Video",
    "VideoError",
    "check_header",
    "check_video",
    "examine_video",
    "index_writer",
    "open_index",
    "open_video",
    "video_errors",
]
