"""From uint8 clips to pathways."""

import math

import pytest
import torch

from slowfast.datasets.pathways import PackPathways, slow_positions
from tests.models.tiny import tiny_cfg

MEAN, STD = [0.45, 0.4, 0.3], [0.225, 0.2, 0.25]


def random_clips(frames=8):
    return torch.randint(0, 256, (2, frames, 6, 5, 3), dtype=torch.uint8)


def naive(clips, reverse):
    x = (clips.double() / 255 - torch.tensor(MEAN, dtype=torch.double)) / torch.tensor(STD, dtype=torch.double)
    if reverse:
        x = x[..., [2, 1, 0]]
    return x.permute(0, 4, 1, 2, 3).float()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d], ids=str)
def test_clips_are_normalized_then_reversed_and_laid_out_for_the_model(reverse, memory_format):
    clips = random_clips()
    before = clips.clone()
    slow, fast = PackPathways(MEAN, STD, reverse, alpha=4, memory_format=memory_format)(clips)
    torch.testing.assert_close(fast, naive(clips, reverse), rtol=1e-6, atol=1e-6)
    assert torch.equal(slow, fast[:, :, [0, 7]])
    assert all(x.is_contiguous(memory_format=memory_format) and x.dtype == torch.float32 for x in (slow, fast))
    assert torch.equal(clips, before)


def test_one_pathway_takes_the_clip_as_a_whole():
    clips = random_clips()
    packed = PackPathways(MEAN, STD)(clips)
    assert len(packed) == 1
    torch.testing.assert_close(packed[0], naive(clips, False), rtol=1e-6, atol=1e-6)


def test_the_same_packer_takes_every_shape_of_multigrid():
    pack = PackPathways(MEAN, STD, alpha=4)
    assert [[x.shape[2] for x in pack(random_clips(frames))] for frames in (8, 16, 4)] == [[2, 8], [4, 16], [1, 4]]


@pytest.mark.parametrize("arch", ["slowfast", "slow"])
def test_the_config_decides_the_pathways_and_the_channels(arch):
    cfg = tiny_cfg(arch, DATA__MEAN=MEAN, DATA__STD=STD, DATA__REVERSE_INPUT_CHANNEL=True)
    clips = random_clips()
    packed = PackPathways.from_cfg(cfg)(clips)
    assert len(packed) == (2 if arch == "slowfast" else 1)
    torch.testing.assert_close(packed[-1], naive(clips, True), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("alpha", [1, 2, 4, 8, 16, 32])
def test_slow_frames_are_at_the_positions_of_linspace(alpha):
    for frames in range(alpha, 129, alpha):
        expected = torch.linspace(0, frames - 1, frames // alpha).long().tolist()
        assert slow_positions(frames, alpha) == expected


def test_an_exact_slow_position_is_not_rounded_down():
    """160 frames and ALPHA 4: position 13 is 13 * 159 / 39 = 53, which 32-bit floats place at 52.99999."""
    assert slow_positions(160, 4)[13] == 53
    assert all(p == math.floor(i * 159 / 39 + 1e-9) for i, p in enumerate(slow_positions(160, 4)))


def test_a_clip_that_leaves_the_slow_pathway_no_frame_is_refused():
    with pytest.raises(ValueError, match=r"SLOWFAST.ALPHA: 8 leaves the slow pathway no frame of a clip of 4"):
        PackPathways(MEAN, STD, alpha=8)(random_clips(4))


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("DATA__MEAN", [0.4], r"DATA.MEAN: \[0.4\] has 1 entries; give one for each of the 3 colors"),
        ("DATA__STD", [0.2, 0.2], r"DATA.STD: \[0.2, 0.2\] has 2 entries; give one for each of the 3 colors"),
    ],
)
def test_means_and_deviations_are_one_per_color(key, values, message):
    with pytest.raises(ValueError, match=message):
        PackPathways.from_cfg(tiny_cfg("slow", **{key: values}))
