"""Grad-CAM on heads whose answer is known, and on videos."""

import numpy as np
import pytest
import torch
from torch import nn

from slowfast.errors import UserError
from slowfast.inference import VideoModel
from slowfast.inference.gradcam import class_maps, class_number, contributions
from slowfast.models.heads import Head
from tests.inference.conftest import NAMES
from tests.videos import write_video


class Toy(nn.Module):
    """A network whose features are its input."""

    def __init__(self, widths, windows=None):
        super().__init__()
        self.head = Head(widths, 2, windows)

    def forward(self, pathways):
        return self.head(pathways)


def toy(widths, weight, bias=(0.0, 0.0), windows=None):
    net = Toy(widths, windows).eval()
    net.head.projection.weight.data = torch.tensor(weight)
    net.head.projection.bias.data = torch.tensor(bias)
    return net


def maps_of(net, pathways, label):
    return contributions(net, net.head, net.head.projection, pathways, label)


def test_the_map_of_a_linear_head_is_the_weighted_sum_of_features():
    features = torch.rand(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    net = toy([3], [[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], bias=(0.3, -0.1))
    for label, weight in enumerate(net.head.projection.weight):
        maps, logits = maps_of(net, [features], label)
        torch.testing.assert_close(maps, torch.einsum("ncthw,c->nthw", features, weight.detach()))
        torch.testing.assert_close(maps.mean((1, 2, 3)), logits - net.head.projection.bias[label].detach())


def test_the_maps_of_pathways_add_up_to_the_logit():
    generator = torch.Generator().manual_seed(1)
    slow, fast = torch.rand(1, 2, 2, 3, 3, generator=generator), torch.rand(1, 1, 8, 3, 3, generator=generator)
    net = toy([2, 1], [[1.0, -1.0, 2.0], [0.5, 0.5, -1.0]], bias=(0.2, 0.4))
    maps, logits = maps_of(net, [slow, fast], 0)
    assert maps.shape == (1, 8, 3, 3)
    torch.testing.assert_close(maps.mean((1, 2, 3)), logits - 0.2)


@pytest.mark.parametrize("windows", [None, [(4, 2, 2)]])
def test_a_class_is_found_where_it_is(windows):
    features = torch.zeros(1, 2, 4, 6, 6)
    features[0, 0, 1, 2, 3] = 1.0  # of class 0
    features[0, 1, 3, 4, 1] = 1.0  # of class 1
    net = toy([2], [[5.0, 0.0], [0.0, 5.0]], windows=windows)
    places = [np.unravel_index(int(maps_of(net, [features], label)[0].argmax()), (4, 6, 6)) for label in (0, 1)]
    assert places == [(1, 2, 3), (3, 4, 1)]
    assert maps_of(net, [features], 0)[0][0, 3, 4, 1] == 0


def test_the_network_has_no_gradients_afterwards(model, videos):
    list(class_maps(model, str(videos / "0.mp4"), 0))
    assert all(parameter.grad is None for parameter in model.net.parameters())
    assert not model.net.head._forward_pre_hooks


def test_the_maps_cover_a_video(model, tmp_path):
    path = write_video(tmp_path / "long.mp4", 50, size=(80, 48), fps=25)  # clips of 14 frames
    maps = list(class_maps(model, str(path), 1))
    assert [(one.first, one.last) for one in maps] == [(0, 12), (13, 25), (26, 38), (37, 49)]
    for one in maps:
        assert one.frames.shape == (8,)
        assert (one.frames >= one.first).all()
        assert (one.frames <= one.last).all()
        assert one.maps.shape == (8, 1, 2)  # 32 x 53 px, a complete picture
        assert (one.maps >= 0).all()


def test_a_class_is_given_by_name_or_number():
    assert class_number("grüne Sache", NAMES) == 1
    assert class_number("gru\N{COMBINING DIAERESIS}ne Sache", NAMES) == 1
    assert class_number("2", NAMES) == 2
    assert class_number("2", ["1", "2", "3"]) == 1
    with pytest.raises(UserError, match="'red thin' is not a class of the model: did you mean 'red thing'"):
        class_number("red thin", NAMES)
    with pytest.raises(UserError, match="'3' is not a class of the model: give one of red thing, grüne Sache"):
        class_number("3", NAMES)


def test_a_model_without_a_head_has_no_maps(model, videos):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.projection = nn.Linear(3, 3)

        def forward(self, pathways):
            return self.projection(pathways[0].mean((2, 3, 4)))

    own = VideoModel(Own(), model.cfg, NAMES, torch.device("cpu"))
    with pytest.raises(UserError, match="MODEL.MODEL_NAME: SlowFast has no module `head`"):
        list(class_maps(own, str(videos / "0.mp4"), 0))
