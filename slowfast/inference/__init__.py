"""Using a trained model on videos:

    import slowfast

    model = slowfast.load("runs/mine")
    print(model.predict("video.mp4"))

The modules:

    load        from a checkpoint or the folder of a run to a model
    model       `VideoModel`: predictions and features of videos, and predictions over time
    prediction  the scores of a video, with the names of the classes
    parts       parts of a long video, which is decoded once
    gradcam     the places in a video that count for a class
    hooks       what the layers of a model receive and return
    drawing     labels and heat maps on pictures
    feature_store   the features of many videos in a file, resumable
    export      a program that runs without this package
"""

from slowfast.inference.load import load
from slowfast.inference.model import VideoModel
from slowfast.inference.prediction import Label, Prediction

__all__ = ["Label", "Prediction", "VideoModel", "load"]
