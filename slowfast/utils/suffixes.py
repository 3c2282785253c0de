"""The suffixes of the files that commands read and write."""

VIDEO_SUFFIXES = (  # the first is preferred where a video has several files
    *(".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv"),
    *(".ts", ".m2ts", ".mts", ".3gp", ".vob", ".asf"),
)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
OTHER_SUFFIXES = (
    *(".gif", ".yaml", ".yml", ".csv", ".txt", ".json", ".svg", ".pdf", ".html"),
    *(".pyth", ".pth", ".pt", ".pkl", ".pt2", ".onnx", ".npy"),
)
FILE_SUFFIXES = frozenset({*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, *OTHER_SUFFIXES})
