"""The counted cost of clips, and the schedules that are made from it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from slowfast.commands.plan import main as plan
from slowfast.config.load import load_cfg
from slowfast.engine.cost import clip_cost
from slowfast.engine.launch import run
from slowfast.engine.schedule import build_baseline, build_schedule
from slowfast.models import MODEL_REGISTRY
from slowfast.optim.lr_policy import policy_rate
from slowfast.visualization.logs import read_run
from slowfast.visualization.plan import describe_plan, plan_table
from tests.engine.attention import ATTENTION, WIDTH
from tests.engine.tiny import BOTH_CYCLES, CLASSES, SYNTHETIC, json_stats, tiny_cfg

ROOT = Path(__file__).parents[2]
CROP_AREA, CROP_ASPECT = "DATA.TRAIN_JITTER_SCALES_RELATIVE", "DATA.TRAIN_JITTER_ASPECT_RELATIVE"
FLOPS = {"MULTIGRID__COST": "flops"}
TRANSFORMER = (
    SYNTHETIC
    | BOTH_CYCLES
    | ATTENTION
    | FLOPS
    | {
        "MULTIGRID__LONG_CYCLE_FACTORS": [[0.5, 1], [1, 1]],
        "MULTIGRID__SHORT_CYCLE": False,
        "MULTIGRID__LR_SCALING": "sqrt",
    }
)


def attention_cost(frames, crop):
    """Multiply-adds of TinyAttention by its formula."""
    tokens = frames * (crop // 8) ** 2
    per_token = 3 * 8 * 8 * WIDTH + WIDTH * 3 * WIDTH + 2 * tokens * WIDTH  # patches; queries, keys, values; attention
    return tokens * per_token + WIDTH * CLASSES


@pytest.mark.parametrize(("frames", "crop"), [(8, 64), (4, 45), (1, 8)])
def test_attention_is_counted_with_its_square(frames, crop, tmp_path):
    assert clip_cost(tiny_cfg(tmp_path, tmp_path, **ATTENTION))(frames, crop) == attention_cost(frames, crop)


def test_x3d_m_has_the_published_cost_and_its_shares():
    cost = clip_cost(load_cfg(ROOT / "configs/Kinetics/X3D_M.yaml"))
    assert cost(16, 224) / 1e9 == pytest.approx(4.732, abs=5e-4)
    shares = {(8, 224): 0.5, (16, 158): 0.509, (4, 158): 0.128, (8, 112): 0.133, (4, 112): 0.0669}
    assert {size: cost(*size) / cost(16, 224) for size in shares} == pytest.approx(shares, abs=6e-4)


def test_mvitv2_s_has_the_published_cost_and_its_shares():
    clips_as_they_are = ["AUG.ENABLE", False, CROP_AREA, [], CROP_ASPECT, []]
    cost = clip_cost(load_cfg(ROOT / "configs/Kinetics/MVITv2_S_16x4.yaml", clips_as_they_are))
    assert cost(16, 224) / 1e9 == pytest.approx(64.22, abs=5e-3)
    shares = {(8, 224): 0.444, (16, 158): 0.454, (8, 158): 0.213, (4, 158): 0.103, (8, 112): 0.104, (4, 112): 0.0514}
    assert {size: cost(*size) / cost(16, 224) for size in shares} == pytest.approx(shares, abs=6e-4)


def test_two_pathways_are_counted_together(tmp_path):
    cost = clip_cost(tiny_cfg(tmp_path, tmp_path))
    assert cost(4, 32) == pytest.approx(cost(8, 32) / 2, rel=0.02)


def test_counting_leaves_the_random_state_as_it_is(tmp_path):
    before = torch.get_rng_state()
    build_schedule(tiny_cfg(tmp_path, tmp_path, **BOTH_CYCLES, **FLOPS))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_config_is_counted_once_however_often_it_is_asked_for(tmp_path):
    first, again, other = (clip_cost(tiny_cfg(tmp_path, tmp_path, RESNET__DEPTH=depth)) for depth in (18, 18, 50))
    assert first is again
    assert first is not other


def test_a_size_that_the_model_does_not_take_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"the shape of 2 frames x 32 px: .*SLOWFAST.ALPHA"):
        clip_cost(tiny_cfg(tmp_path, tmp_path))(2, 32)


class ReadsValues(nn.Module):
    """Decides by a value of its input, which a tensor on the meta device has not."""

    def __init__(self, cfg):
        super().__init__()
        self.head = nn.Linear(3, cfg.MODEL.NUM_CLASSES)

    def forward(self, inputs):
        x = inputs[0].mean((2, 3, 4))
        return self.head(x if x.sum().item() > 0 else -x)


class MultipliesNothing(nn.Module):
    def __init__(self, cfg):
        super().__init__()

    def forward(self, inputs):
        return inputs[0].mean((2, 3, 4))


for one in (ReadsValues, MultipliesNothing):
    if one.__name__ not in MODEL_REGISTRY:
        MODEL_REGISTRY.register(one)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ReadsValues", r"MULTIGRID.COST: 'flops' cannot be counted for MODEL.MODEL_NAME ReadsValues, .*COST pixels"),
        ("MultipliesNothing", "MULTIGRID.COST: 'flops' finds no multiply-adds in MODEL.MODEL_NAME MultipliesNothing"),
    ],
)
def test_a_model_that_cannot_be_counted_is_refused_by_name_and_trains_by_pixels(name, message, tmp_path):
    changes = BOTH_CYCLES | ATTENTION | {"MODEL__MODEL_NAME": name}
    with pytest.raises(ValueError, match=message):
        build_schedule(tiny_cfg(tmp_path, tmp_path, **changes, **FLOPS))
    assert build_schedule(tiny_cfg(tmp_path, tmp_path, **changes)).batch_norm


def test_without_a_cycle_nothing_is_counted(tmp_path):
    changes = ATTENTION | {"MODEL__MODEL_NAME": "ReadsValues"} | FLOPS
    assert len(build_schedule(tiny_cfg(tmp_path, tmp_path, **changes)).shapes) == 1


def test_a_transformer_trains_without_groups_on_the_batches_of_its_cost(tmp_path, caplog):
    with caplog.at_level("INFO"):
        run(tiny_cfg(tmp_path, tmp_path, **TRANSFORMER))
    rates = {tuple(line["batch"]): line["lr"] for line in reversed(json_stats(tmp_path))}
    assert int(2.02 * attention_cost(8, 64) / attention_cost(4, 64)) == 6  # 4 by pixels
    assert rates == pytest.approx({(6, 4, 64): 0.002 * 3**0.5, (2, 8, 64): 0.002})
    assert "batch norm" not in caplog.text
    assert [phase.shapes for phase in read_run(tmp_path).phases] == [phase.shapes for phase in schedule_of(tmp_path)]


def schedule_of(folder):
    return build_schedule(read_run(folder).cfg).phases


@pytest.mark.parametrize(("changes", "has_column"), [({}, True), (ATTENTION, False)], ids=["SlowFast", "transformer"])
def test_the_plan_has_a_column_of_batch_norm_only_where_there_is_some(changes, has_column, tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **BOTH_CYCLES | changes)
    schedule = build_schedule(cfg)
    described = describe_plan(schedule, build_baseline(cfg), policy_rate(cfg, schedule), 100)
    lines = plan_table(described).splitlines()
    assert ("statistics" in lines[0]) == has_column
    assert ("clips" in lines[1]) == has_column
    assert described["batch_norm"] == has_column
    norm = {phase.bn_groups for phase in schedule.phases}
    assert (norm == {1}) != has_column


def test_the_plan_tool_says_how_batches_and_rates_are_made(capsys):
    config = str(ROOT / "configs/Kinetics/X3D_M_multigrid.yaml")
    words = ["--cfg", config, "--num-videos", "240000"]
    plan([*words, "MULTIGRID.COST", "flops", "MULTIGRID.LR_SCALING", "sqrt"])
    counted = capsys.readouterr().out
    assert "256x8x224 496x8x158 960x8x112" in counted
    assert "cost            flops: no batch has over 1 % more multiply-adds than one of the recipe" in counted
    assert "rate            sqrt: k times the clips at a base shape have sqrt(k) times the rate" in counted
    plan(words)
    assert "sqrt" not in capsys.readouterr().out
