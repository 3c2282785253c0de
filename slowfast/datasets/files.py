"""Names and stamps of files, and finding video files in folders."""

import os
import stat
import unicodedata

from slowfast.utils.suffixes import VIDEO_SUFFIXES

# Of archives made on macOS, of network disks and of Windows: never a class.
SYSTEM_FOLDERS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__"}


def is_video(name: str) -> bool:
    """Return whether a file name has the suffix of a video file."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


Stamp = list[int]  # size and time of modification (ns) of a file


def stamp_of(path: str) -> Stamp:
    """Return what changes when a file changes; empty where the path is not that of a file."""
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns] if stat.S_ISREG(status.st_mode) else []


def one_line(text: str) -> str:
    """Return a text as one line that can be printed: control characters and undecodable bytes become escapes."""
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    control = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    return character.encode("unicode_escape").decode("ascii") if control else character


def find_videos(folder: str) -> dict[str, str]:
    """Map name without suffix -> path, for the video files directly in a folder. Empty without such a folder."""
    if not os.path.isdir(folder):
        return {}
    names = sorted(name for name in os.listdir(folder) if is_video(name) and not _is_hidden(name))
    return {os.path.splitext(name)[0]: os.path.join(folder, name) for name in reversed(names)}


def subfolders(folder: str) -> list[str]:
    """Return the sorted names of the folders directly in a folder, without hidden ones."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not _is_hidden(entry.name))


def walk_videos(folder: str) -> list[str]:
    """Return the sorted paths of the video files in a folder and in all folders below it, without hidden ones.

    Links to folders are followed. Every folder counts once, and a link to a folder above is not followed.
    """
    found: list[str] = []
    visited = set(_with_parents(os.path.realpath(folder)))
    for place, folders, names in os.walk(folder, followlinks=True):
        found += (os.path.join(place, name) for name in names if is_video(name) and not _is_hidden(name))
        folders[:] = _not_visited(place, folders, visited)
    return sorted(found)


def _not_visited(place: str, names: list[str], visited: set[str]) -> list[str]:
    """Return the new folders, in order, and add them to `visited`; a folder is preferred to its links."""
    found = []
    for name in sorted(names, key=lambda name: (os.path.islink(os.path.join(place, name)), name)):
        real = os.path.realpath(os.path.join(place, name))
        if not _is_hidden(name) and real not in visited:
            visited.add(real)
            found.append(name)
    return sorted(found)


def _with_parents(path: str) -> list[str]:
    parent = os.path.dirname(path)
    return [path] if parent == path else [path, *_with_parents(parent)]


def _is_hidden(name: str) -> bool:
    """Return whether a name begins with a dot, as does the `._clip.mp4` of macOS, or is a folder of the system."""
    return name.startswith(".") or name in SYSTEM_FOLDERS
