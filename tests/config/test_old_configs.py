"""Configs of older versions and of forks: those that load, their values, and those that are refused."""

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.config.load import load_cfg
from slowfast.config.node import flatten
from slowfast.errors import UserError

TUPLE = '("backbone.",)'  # YAML reads a tuple as text


def load(tmp_path, text, overrides=(), **options):
    path = tmp_path / "old.yaml"
    path.write_text(text)
    return load_cfg(path, overrides, **options)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("BN: {MOMENTUM: 0.1, EPSILON: 1e-5, FREEZE: False}", "BN.EPSILON", 1e-5),
        ("BN: {MOMENTUM: 0.2}", "BN.MOMENTUM", 0.2),
        ("DEMO: {LABEL_FILE_PATH: labels.json, DISPLAY_WIDTH: 640}", "DEMO.DISPLAY_WIDTH", 640),
        ("DEMO: {ENABLE: False}", "DEMO.ENABLE", False),
        ("RNG_SEED: 2", "DEMO.ENABLE", False),
        ("AVA: {FRAME_LIST_DIR: /lists, DETECTION_SCORE_THRESH: 0.9}", "AVA.DETECTION_SCORE_THRESH", 0.9),
        ("MVIT: {DIM_MUL: [[1, 2.0], [3, 2.0]], POOL_KVQ_KERNEL: null}", "MVIT.DIM_MUL", [[1, 2.0], [3, 2.0]]),
        ("MVIT: {POOL_KVQ_KERNEL: '(1, 3, 3)'}", "MVIT.POOL_KVQ_KERNEL", [1, 3, 3]),
        ("MVIT: {POOL_Q_STRIDE: [[1, 1, 2, 2.0]]}", "MVIT.POOL_Q_STRIDE", [[1, 1, 2, 2]]),
        ("MVIT:\n  PATCH_KERNEL: (3, 7, 7)", "MVIT.PATCH_KERNEL", [3, 7, 7]),
        ("MVIT: {DIM_MUL: '[(1, 2.0), (3, 2.0)]'}", "MVIT.DIM_MUL", [[1, 2.0], [3, 2.0]]),
        ("MVIT: {POOL_KV_STRIDE_ADAPTIVE: None}", "MVIT.POOL_KV_STRIDE_ADAPTIVE", None),
        ("MVIT: {QKV_BIAS: 'False'}", "MVIT.QKV_BIAS", False),
        ("SOLVER: {CLIP_GRAD_L2NORM: None, COSINE_END_LR: 1e-6}", "SOLVER.CLIP_GRAD_L2NORM", None),
        ("PREFETCH: {NUM_LOADERS: 3}", "PREFETCH.NUM_LOADERS", 3),
        ("MVIT: {REV: {ENABLE: False, RES_PATH: conv}}", "MVIT.REV.RES_PATH", "conv"),
        ("MODEL: {ARCH: mvit, ACT_CHECKPOINT: True}", "MODEL.MODEL_NAME", "MViT"),
        ("CONTRASTIVE: {TYPE: moco, T: 0.1}", "CONTRASTIVE.TYPE", "moco"),
        ("MASK: {ENABLE: False, PRETRAIN_DEPTH: [15]}", "MASK.PRETRAIN_DEPTH", [15]),
        ("VIS_MASK: {ENABLE: False}", "VIS_MASK.ENABLE", False),
        ("X3D: {WIDTH_FACTOR: 2.0, DEPTH_FACTOR: 2.2}", "X3D.DEPTH_FACTOR", 2.2),
        ("MODEL: {MODEL_NAME: X3D, ARCH: x3d, DROPCONNECT_RATE: 0.1}", "MODEL.DROPCONNECT_RATE", 0.1),
        ("MODEL: {DETACH_FINAL_FC: True}", "MODEL.DETACH_FINAL_FC", True),
        ("AUG: {NUM_SAMPLE: 2, MASK_RATIO: 0.4}", "AUG.MASK_RATIO", 0.4),
        ("MIXUP: {ENABLE: True, PROB: 0.5}", "MIXUP.PROB", 0.5),
        ("AUG: {ENABLE: True, GEN_MASK_LOADER: False, MASK_WINDOW_SIZE: [8, 7, 7]}", "AUG.ENABLE", True),
        ("DATA: {TRAIN_JITTER_SCALES_RELATIVE: [0.08, 1.0]}", "DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.08, 1.0]),
        ("DETECTION: {ENABLE: False, ALIGNED: False}", "DETECTION.ALIGNED", False),
        ("DATA: {SSL_COLOR_JITTER: True}", "DATA.SSL_COLOR_JITTER", True),
        ("TASK:", "TASK", ""),
        (
            "TRAIN: {CHECKPOINT_CLEAR_NAME_PATTERN: '(\"backbone.\",)'}",
            "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN",
            ["backbone."],
        ),
        ("SOLVER: {STEPS: '(0, 94)'}", "SOLVER.STEPS", [0, 94]),
        ("MODEL: {ARCH: slowonly, MODEL_NAME: ResNet}", "MODEL.ARCH", "slow"),
        ("MODEL: {ARCH: c2d}", "MODEL.MODEL_NAME", "ResNet"),
        ("MODEL: {ARCH: slowfast}", "MODEL.MODEL_NAME", "SlowFast"),
        ("MODEL: {ARCH: x3d}", "MODEL.MODEL_NAME", "X3D"),
        ("MODEL: {ARCH: mine, MODEL_NAME: Mine}", "MODEL.MODEL_NAME", "Mine"),
    ],
)
def test_an_old_config_loads_with_its_values(tmp_path, caplog, text, key, value):
    assert dict(flatten(load(tmp_path, text)))[key] == value
    assert not caplog.messages


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("TASK: empty", "TASK: 'empty' has no effect here"),
        ("TENSORBOARD: {WRONG_PRED_VIS: {ENABLE: True}}", "TENSORBOARD.WRONG_PRED_VIS.ENABLE: True has no effect here"),
        (
            "TENSORBOARD: {HISTOGRAM: {ENABLE: True}}",
            "HISTOGRAM.ENABLE: True has no effect with TENSORBOARD",
        ),
        ("DATA_LOADER: {ENABLE_MULTI_THREAD_DECODE: True}", "ENABLE_MULTI_THREAD_DECODE: True has no effect here"),
        ("MODEL: {DROPCONNECT_RATE: 0.1}", "MODEL.DROPCONNECT_RATE: 0.1 has no effect with MODEL.MODEL_NAME SlowFast"),
        ("MODEL: {ACT_CHECKPOINT: True}", "ACT_CHECKPOINT: True has no effect with MODEL.MODEL_NAME SlowFast"),
        ("TRAIN: {CHECKPOINT_IN_INIT: True}", "CHECKPOINT_IN_INIT: True has no effect with MODEL.MODEL_NAME SlowFast"),
        ("MVIT: {REV: {RES_PATH: add}}", "MVIT.REV.RES_PATH: 'add' has no effect here (reversible models"),
        (
            "MVIT: {POOL_KV_STRIDE: [[0, 1, 8, 8]], POOL_KV_STRIDE_ADAPTIVE: [1, 4, 4]}",
            "POOL_KV_STRIDE: [[0, 1, 8, 8]] has no effect with MVIT.POOL_KV_STRIDE_ADAPTIVE [1, 4, 4]",
        ),
        ("MIXUP: {PROB: 0.5}", "MIXUP.PROB: 0.5 has no effect with MIXUP.ENABLE False"),
        ("SOLVER: {WARMUP_EPOCHS: -1}", "SOLVER.WARMUP_EPOCHS: -1 is below 0; training has no warm-up"),
    ],
)
def test_keys_that_change_no_result_give_a_warning(tmp_path, caplog, text, warning):
    load(tmp_path, text)
    assert [warning in message for message in caplog.messages] == [True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BN: {FREEZE: True}", "BN.FREEZE: True has no effect here .*MODEL.FREEZE .* stops all batch norms"),
        ("DEMO: {ENABLE: True}", "DEMO.ENABLE: True asks for the demo .*not part of this project"),
        ("DETECTION: {ENABLE: True}", "DETECTION.ENABLE: True .*not part of this project"),
        ("MASK: {ENABLE: True}", "MASK.ENABLE: True .*not part of this project"),
        ("VIS_MASK: {ENABLE: True}", "VIS_MASK.ENABLE: True .*not part of this project"),
        ("TRAIN: {BATCH_SIZE: None}", "TRAIN.BATCH_SIZE: None does not fit; give a whole number"),
        ("DEMO: {ENABLE: maybe}", "DEMO.ENABLE: 'maybe' does not fit; give True or False"),
        ("MVIT: {REV: {ENABLE: True}}", "MVIT.REV.ENABLE: True asks for a reversible model, .*not part of this"),
        ("MVIT: {USE_FIXED_SINCOS_POS: True}", "USE_FIXED_SINCOS_POS: True has no effect here .positions are learned"),
        ("MVIT: {DIM_MUL: [1, 2]}", r"DIM_MUL: \[1, 2\] does not fit; give a list nested as \[\[1, 2.0\], "),
        ("MVIT: {POOL_KVQ_KERNEL: 3}", r"POOL_KVQ_KERNEL: 3 does not fit; give a list such as \[3, 3, 3\]"),
        ("TASK: ssl", "TASK: 'ssl' asks for self-supervised training, .*not part of this project"),
        ("{MODEL: {MODEL_NAME: MaskMViT}, AUG: {ENABLE: True}, NEW: {KEY: 1}}", "'MaskMViT' is not part of this"),
        ("MODEL: {MODEL_NAME: PTVX3D}", "old.yaml: MODEL.MODEL_NAME: 'PTVX3D' .*; use SlowFast, ResNet, .* or MViT"),
        ("MODEL: {NUM_CLASSES: [97, 300]}", r"NUM_CLASSES: \[97, 300\] .*lists of several label sets are not part"),
        ("TRAIN: {CHECKPOINT_CLEAR_NAME_PATTERN: backbone}", "NAME_PATTERN: 'backbone' does not fit; give a list"),
    ],
)
def test_values_that_cannot_be_honored_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, text)


def test_a_missing_model_on_the_command_line_is_refused_before_its_keys():
    with pytest.raises(UserError, match="'MaskMViT' is not part of this project"):
        load_cfg(None, ["MVITS.DEPTH", "3", "MODEL.MODEL_NAME", "MaskMViT"])


def test_unknown_keys_are_errors_or_are_logged_and_kept(tmp_path, caplog):
    text = "TRAIN: {FINETUNE: True, BATCH_SIZE: 1e1}\nMINE: {LAYERS: {FIRST: [a, 2]}, NAME: x}"
    with pytest.raises(UserError, match="unknown key TRAIN.FINETUNE; .*--allow-unknown-keys"):
        load(tmp_path, text)
    cfg = load(tmp_path, text, ["MINE.NAME", "y", "MINE.RATE", "1e-1"], allow_unknown_keys=True)
    assert (cfg.TRAIN.FINETUNE, cfg.TRAIN.BATCH_SIZE, cfg.MINE.LAYERS.FIRST) == (True, 10, ["a", 2])
    assert (cfg.MINE.NAME, cfg.MINE.RATE) == ("y", 0.1)
    assert [m for m in caplog.messages if "unknown keys" in m and "TRAIN.FINETUNE" in m and "MINE.LAYERS.FIRST" in m]
    assert cfg.is_frozen()


def test_a_known_key_of_a_wrong_type_is_refused_among_unknown_ones():
    with pytest.raises(UserError, match="TRAIN.BATCH_SIZE: 'many' does not fit"):
        load_cfg(None, ["TRAIN.BATCH_SIZE", "many"], allow_unknown_keys=True)


def test_a_script_can_change_a_config_that_it_made_itself(tmp_path):
    (tmp_path / "a.yaml").write_text("TRAIN: {BATCH_SIZE: 8}\n")
    cfg = get_cfg()
    cfg.merge_from_file(str(tmp_path / "a.yaml"))
    cfg.NUM_GPUS = 0
    cfg.DATA.NUM_FRAMES = 4
    assert (cfg.TRAIN.BATCH_SIZE, cfg.NUM_GPUS, cfg.DATA.NUM_FRAMES) == (8, 0, 4)
