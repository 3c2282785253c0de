"""Grad-CAM: the places in a clip that count for a class (Selvaraju et al., 2017).

Legend: N clips, C channels, T frames, H x W pixels, K classes; t x h x w positions of the last features.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.datasets.spatial import Window, resized_size
from slowfast.errors import UserError
from slowfast.inference.hooks import input_of, output_of
from slowfast.inference.model import VideoModel, mean_over_positions
from slowfast.inference.parts import frames_per_clip, parts
from slowfast.utils.label_order import names_text, normalized


class ClassMap(NamedTuple):
    """Where a class is seen in a part of a video.

    Attributes:
        first, last: the frames of the part, both included.
        frames: the T frames of it that the model has seen.
        maps: T x h x w, 0 where nothing counts for the class.
        logit: of the class.
    """

    first: int
    last: int
    frames: np.ndarray
    maps: np.ndarray
    logit: float


def class_maps(model: VideoModel, path: str, label: int) -> Iterator[ClassMap]:
    """Yield the maps of class `label` for the parts of a video, one after the other, without overlap but the last.

    The model sees complete pictures, without a crop, at the size of its test.
    """
    head = find_head(model)
    with model.opened(path) as (dataset, video):
        size = resized_size(*video.size(0), dataset.grid.test_short_side)
        seconds = frames_per_clip(dataset, video) / video.fps
        for part in parts(video, seconds, seconds):
            chosen = dataset.time.middle(part, dataset.grid.frames, dataset.grid.stride)
            clip = torch.from_numpy(part.read(chosen, size, Window(0, 0, *size)))[None]  # (1, T, H, W, C)
            pathways = model.pack(clip.to(model.device))
            signed, logits = contributions(model.net, head, model.last_layer, pathways, label)
            maps = F.interpolate(signed[None], (len(chosen), *signed.shape[2:]), mode="trilinear")[0, 0].relu()
            first, last = video.places([part.first, part.first + part.num_frames - 1]).tolist()
            yield ClassMap(first, last, video.places(part.first + chosen), maps.cpu().numpy(), float(logits[0]))


def find_head(model: VideoModel) -> nn.Module:
    """Return the module `head` of a model, which takes the last features of all pathways."""
    head = getattr(model.net, "head", None)
    if not isinstance(head, nn.Module):
        raise UserError(
            f"MODEL.MODEL_NAME: {model.cfg.MODEL.MODEL_NAME} has no module `head` that takes the features of its "
            "pathways, a list of N x C x T x H x W tensors, which Grad-CAM needs"
        )
    return head


def contributions(
    net: Callable[[list[Tensor]], Tensor], head: nn.Module, layer: nn.Linear, pathways: list[Tensor], label: int
) -> tuple[Tensor, Tensor]:
    """Return what each position of the last features adds to the logit of a class, N x t x h x w, and the logits, N.

    Grad-CAM before its ReLU: the sum over channels of features times the gradient of the logit summed over positions.
    The pathways are interpolated to the finest one and added. Summing the gradient, not averaging it, makes pathways
    with different numbers of positions comparable: where the head is an average pool and a linear layer, the mean over
    all positions is the logit without its bias.

    Raises UserError for a network whose head takes no maps.
    """
    with torch.no_grad():
        features = input_of(head, lambda: net(pathways))
    if isinstance(features, Tensor):
        raise UserError(
            f"MODEL.MODEL_NAME: the head of {type(net).__name__} takes one vector of a clip, which has no places; "
            "Grad-CAM needs a network of convolutions, such as SlowFast, ResNet or X3D"
        )
    features = [feature.detach().float().requires_grad_() for feature in features]
    with torch.enable_grad():
        logits = mean_over_positions(output_of(layer, lambda: head(features)))[:, label]  # (N, ..., K) -> (N,)
        gradients = torch.autograd.grad(logits.sum(), features)
    maps = [
        (feature * gradient.sum((2, 3, 4), keepdim=True)).sum(1, keepdim=True).detach()
        for feature, gradient in zip(features, gradients, strict=True)
    ]  # (N, C, t, h, w) -> (N, 1, t, h, w)
    finest = [max(sizes) for sizes in zip(*(feature.shape[2:] for feature in features), strict=True)]
    joined = sum(F.interpolate(one, finest, mode="trilinear") for one in maps)
    return joined[:, 0], logits.detach()  # type: ignore[index]  # there is a pathway at least


def class_number(name: str, class_names: Sequence[str]) -> int:
    """Return the number of a class by its name, else by its number. Raises UserError for neither."""
    if normalized(name) in class_names:
        return class_names.index(normalized(name))
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    near = difflib.get_close_matches(name, class_names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"give one of {names_text(class_names)}"
    raise UserError(f"{name!r} is not a class of the model: {hint}")
