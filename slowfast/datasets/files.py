"""Finding video files in folders."""

import os

VIDEO_SUFFIXES = [
    ".mp4",
    ".webm",
    ".mkv",
    ".avi",
    ".mov",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".ogv",
    ".ts",
    ".m2ts",
    ".mts",
    ".3gp",
    ".vob",
    ".asf",
]  # the first is preferred where a video has several files


def is_video(name: str) -> bool:
    """Return whether a file name has the suffix of a video file."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def find_videos(folder: str) -> dict[str, str]:
    """Map name without suffix -> path, for the video files directly in a folder. Empty without such a folder."""
    if not os.path.isdir(folder):
        return {}
    names = sorted(entry.name for entry in os.scandir(folder) if is_video(entry.name))
    return {os.path.splitext(name)[0]: os.path.join(folder, name) for name in reversed(names)}


def walk_videos(folder: str) -> list[str]:
    """Return the sorted paths of the video files in a folder and in all folders below it."""
    walk = os.walk(folder, followlinks=True)
    return sorted(os.path.join(place, name) for place, _, names in walk for name in names if is_video(name))
