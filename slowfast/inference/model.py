"""A trained model, for use on videos.

Legend: N clips, V views of a video, T frames, H x W pixels, C channels, D features, K classes.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from slowfast.config.load import with_keys
from slowfast.config.node import CfgNode
from slowfast.datasets.base import VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.files import one_line
from slowfast.datasets.kinetics import Kinetics
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.media import VideoFrames
from slowfast.datasets.pathways import Clips
from slowfast.datasets.video import VideoError
from slowfast.engine.evaluation import predict_views, predictor
from slowfast.engine.precision import Precision
from slowfast.engine.scores import VideoScore, score_batch
from slowfast.errors import UserError
from slowfast.inference.hooks import input_of
from slowfast.inference.parts import OnePass, frames_per_clip, parts
from slowfast.inference.prediction import Prediction
from slowfast.models.outputs import require_scores
from slowfast.multigrid.sampler import ClipIndex
from slowfast.utils.label_order import head_of

logger = logging.getLogger(__name__)

ANY_CLIP = ClipIndex(0, 0, 0, 0)  # views do not depend on it

PathLike = str | os.PathLike


class Window(NamedTuple):
    """The prediction for a part of a video."""

    start_sec: float
    end_sec: float
    prediction: Prediction


class VideoModel:
    """A trained model: `predict` gives the classes of a video, `features` a vector that describes it.

    Videos are read and cut into views as in a test with the model's config. `views` and `crops` of the methods change
    the number of clips over time and of crops of each clip (1 or 3); fewer are faster.

    Attributes:
        net: the network, in evaluation mode on `device`.
        cfg: its config.
        class_names: of all classes, by their numbers.
    """

    def __init__(self, net: nn.Module, cfg: CfgNode, class_names: Sequence[str], device: torch.device):
        self.cfg, self.class_names, self.device = cfg, list(class_names), device
        self._precision = Precision(device, cfg.TRAIN.MIXED_PRECISION)
        self.net = self._precision.place(require_scores(net, cfg)).eval()
        self.pack = self._precision.pack(cfg)
        self.scores = self._compute(self.net)

    def __call__(self, clips: Clips) -> Tensor:
        """Return the scores, N x K, of uint8 clips, N x T x H x W x C."""
        return self.scores(clips)

    def predict(self, video: PathLike, views: int | None = None, crops: int | None = None) -> Prediction:
        """Return the classes of a video. Raises VideoError if it cannot be read."""
        return self.prediction(self._views_of(video, self.scores, views, crops))

    def features(self, video: PathLike, views: int | None = None, crops: int | None = None) -> Tensor:
        """Return the features of a video: the input of the last linear layer, averaged over positions and views, D."""
        return self._views_of(video, self.clip_features, views, crops).mean(0)  # (V, D) -> (D,)

    def windows(
        self,
        video: PathLike,
        seconds: float,
        step: float | None = None,
        views: int | None = None,
        crops: int | None = None,
    ) -> Iterator[Window]:
        """Yield the predictions for windows of a video, which may be long: it is decoded once and never kept.

        Windows of `seconds` begin every `step` seconds, by default half a window; the last one ends with the video.
        `views` are those of a window, by default as many as cover it.
        """
        path = os.fspath(video)
        with self.opened(path) as (dataset, frames):
            pieces = parts(frames, seconds, seconds / 2 if step is None else step)
            covering = max(1, round(pieces[0].num_frames / frames_per_clip(dataset, frames)))
            dataset = self.dataset([path], covering if views is None else views, crops)
            for part in pieces:
                chosen = dataset.sample(part, ANY_CLIP)
                clips = dataset.transform(dataset.decode(part, chosen), chosen)
                scores = predict_views(self.scores, clips[None])[0].float().cpu()  # (1, V, ...) -> (V, K)
                yield Window(part.start_sec, part.end_sec, self.prediction(scores))

    def stream(
        self,
        videos: Sequence[PathLike],
        compute: Callable[[Clips], Tensor],
        views: int | None = None,
        crops: int | None = None,
        workers: int = 0,
    ) -> Iterator[VideoScore]:
        """Yield the results of `compute` (`scores` or `clip_features`) for all views of each video, in order.

        The `scores` of a result are V x K or V x D. A video that cannot be read has an `error` instead.
        `workers` is the number of processes that read videos; 0: this one.
        """
        cfg = with_keys(self.cfg, ["DATA_LOADER.NUM_WORKERS", workers, *_of_views(views, crops)])
        dataset = _dataset(cfg, [os.fspath(video) for video in videos])
        for batch in construct_loader(cfg, "test", cast(Any, dataset)):
            yield from score_batch(partial(predict_views, compute), batch)

    def prediction(self, view_scores: Tensor) -> Prediction:
        """Return the prediction for a video with these scores of its views, V x K."""
        return Prediction(view_scores, self.class_names, self.cfg.DATA.ENSEMBLE_METHOD)

    @cached_property
    def clip_features(self) -> Callable[[Clips], Tensor]:
        """The function from uint8 clips, N x T x H x W x C, to features, N x D."""
        layer = self.last_layer

        return self._compute(lambda pathways: mean_over_positions(input_of(layer, lambda: self.net(pathways))))

    @property
    def last_layer(self) -> nn.Linear:
        """The linear layer that gives the scores."""
        names = [name for name in head_of(self.net.state_dict(), len(self.class_names)) if name.endswith("weight")]
        layer = self.net.get_submodule(names[-1].rpartition(".")[0]) if names else None
        if not isinstance(layer, nn.Linear):
            raise UserError(
                f"MODEL.MODEL_NAME: {self.cfg.MODEL.MODEL_NAME} has no linear layer `head` or `projection` with a row "
                "for each class, which features are the input of: give the last layer one of these names"
            )
        return layer

    def dataset(self, paths: Sequence[str], views: int | None = None, crops: int | None = None) -> VideoDataset:
        """Return the views of videos as a data set."""
        return _dataset(with_keys(self.cfg, _of_views(views, crops)), paths)

    @contextmanager
    def opened(self, path: str) -> Iterator[tuple[VideoDataset, OnePass]]:
        """Open a video, to be read from its start to its end; with the rules of the model for frames and crops."""
        dataset = self.dataset([path])
        with errors_name_video(path), dataset.locate(0) as source:
            yield dataset, OnePass(cast(VideoFrames, source))

    def _views_of(
        self, video: PathLike, compute: Callable[[Clips], Tensor], views: int | None, crops: int | None
    ) -> Tensor:
        (result,) = self.stream([video], compute, views, crops)
        if result.scores is None:
            raise VideoError(result.error.replace("\t", ": "))
        return result.scores

    def _compute(self, forward: Callable[[list[Tensor]], Tensor]) -> Callable[[Clips], Tensor]:
        return predictor(forward, self._precision, self.pack, self.cfg.TEST.BATCH_SIZE)


def mean_over_positions(x: Tensor) -> Tensor:
    """Average the values at the positions of a map: (N, t, h, w, D) -> (N, D). Values (N, D) stay."""
    return x if x.ndim == 2 else x.flatten(1, -2).mean(1)


@contextmanager
def errors_name_video(path: str) -> Iterator[None]:
    """Put the path of a video in front of the reason why it cannot be read."""
    try:
        yield
    except VideoError as error:
        raise VideoError(f"{one_line(path)}: {error}") from error


def _of_views(views: int | None, crops: int | None) -> list:
    """Return the keys of views, where they are changed."""
    given = {"TEST.NUM_ENSEMBLE_VIEWS": views, "TEST.NUM_SPATIAL_CROPS": crops}
    return [word for key, value in given.items() if value is not None for word in (key, value)]


def _dataset(cfg: CfgNode, paths: Sequence[str]) -> VideoDataset:
    """Return the views of videos, by the rules of TEST.DATASET."""
    stock = {name.lower(): entry for name, entry in DATASET_REGISTRY}
    entry = stock.get(cfg.TEST.DATASET.lower())
    if not (isinstance(entry, type) and issubclass(entry, VideoDataset)):
        logger.warning(
            "TEST.DATASET: %r is not a VideoDataset of this program: videos are read as those of kinetics lists are",
            cfg.TEST.DATASET,
        )
        entry = Kinetics
    return entry.of_files(cfg, paths)
