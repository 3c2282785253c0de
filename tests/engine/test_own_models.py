"""Mistakes in a model class of the user: the message names the class and the fix."""

import pytest
import torch
from torch import nn

from slowfast.engine.launch import run
from slowfast.errors import UserError
from slowfast.models import MODEL_REGISTRY
from tests.engine.tiny import SYNTHETIC, tiny_cfg


def net(change):
    class Mine(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.head = nn.Linear(3, cfg.MODEL.NUM_CLASSES)

        def forward(self, pathways):
            return change(self.head(pathways[0].mean((2, 3, 4))))

    return Mine


class WithoutCfg(nn.Module):
    def __init__(self):
        super().__init__()


MODELS = {
    "WithoutCfg: too many positional arguments; define it as __init__.self, cfg": WithoutCfg,
    "MODEL.MODEL_NAME: Mine gives a NoneType, not a torch.nn.Module": lambda cfg: None,
    "forward of Mine returns NoneType for 4 clips .*: return a tensor of 4x3 scores": net(lambda scores: None),
    "forward of Mine returns tuple for 4 clips": net(lambda scores: (scores, 1)),
    "forward of Mine returns a tensor of 4x2 for 4 clips and MODEL.NUM_CLASSES 3": net(lambda scores: scores[:, :2]),
    "forward of Mine returns a tensor of 4x6 for 4 clips": net(lambda scores: torch.cat([scores, scores], 1)),
    "forward of Mine returns a tensor of 4x3x1 for 4 clips": net(lambda scores: scores[..., None]),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("message", "model"), MODELS.items(), ids=MODELS)
def test_a_mistake_in_a_model_class_names_the_class_and_the_fix(tmp_path, message, model, training):
    MODEL_REGISTRY._obj_map["Mine"] = model
    changes = {"MODEL__MODEL_NAME": "Mine", "MODEL__ARCH": "slow", "DATA__INPUT_CHANNEL_NUM": [3]} | SYNTHETIC
    changes |= {"TRAIN__ENABLE": training, "TEST__ENABLE": not training, "TEST__RANDOM_WEIGHTS": True}
    changes |= {"TEST__NUM_ENSEMBLE_VIEWS": 2, "TEST__NUM_SPATIAL_CROPS": 1}
    try:
        with pytest.raises(UserError, match=message):
            run(tiny_cfg(tmp_path, tmp_path, **changes))
    finally:
        del MODEL_REGISTRY._obj_map["Mine"]
