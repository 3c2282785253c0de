"""The frames that a frame list names: images, or the video files they would be extracted from."""

import os
from collections.abc import Sequence

from slowfast.datasets.frame_list import FrameList
from slowfast.datasets.lists import start_folder
from slowfast.datasets.media import ImageLists, ListedCount, VideoFiles, find_videos, is_video

NUM_PROBES = 5


def listed_media(frames: FrameList, prefix: str, places: Sequence[int]) -> "ImageLists | VideoFiles":
    """The frames of the videos at these places of a frame list.

    Images, if one of the first few exists. If not, and there are video files, the same frames decoded from these: the
    path of a row may name a video file itself, or the file is `prefix`/<original_vido_id>.mp4 (or .webm, ...). The n
    rows of a video are then n frames at equal distances over the file, so the labels stay where they were.
    Without a prefix, paths start as `lists.start_folder` says, and video files lie beside the list.
    """
    folder = os.path.dirname(frames.path)
    prefix = start_folder(prefix, folder, frames.image_paths(places[0], [0])[0])
    images = ImageLists(frames, prefix, places)
    firsts = [images.image_paths(video, [0])[0] for video in range(min(NUM_PROBES, len(places)))]
    count = ListedCount(frames.num_frames[places])
    if is_video(firsts[0]):
        paths = [images.image_paths(video, [0])[0] for video in range(len(places))]
        return VideoFiles(paths, bgr=True, count=count)
    if any(map(os.path.isfile, firsts)):
        return images
    files = find_videos(prefix or folder)
    names = [frames.names[place] for place in places]
    if not any(name in files for name in names):
        return images
    paths = [files.get(name, os.path.join(prefix or folder, f"{name}.mp4")) for name in names]
    return VideoFiles(paths, bgr=True, count=count)
