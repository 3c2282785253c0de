import numpy as np
import pytest
import torch

from slowfast.datasets.augment.boxes import MovingBox, RelativeCrop, central_box, draw_box
from slowfast.datasets.augment.erasing import Erasing, erase
from slowfast.datasets.draws import rng_for
from slowfast.datasets.pathways import PackPathways
from slowfast.datasets.spatial import Window

SIZE = (60, 90)


def crops(crop, count=800, size=SIZE):
    return [crop.draw(rng_for(0, 0, number), size, 32, True) for number in range(count)]


def test_relative_crops_have_the_areas_and_aspects_of_their_ranges_and_reach_every_border():
    drawn = crops(RelativeCrop((0.2, 0.5), (0.5, 2.0)))
    boxes = np.array([crop.first for crop in drawn])
    y, x, height, width = boxes.T
    areas, aspects = height * width / (60 * 90), width / height
    assert (areas.min() > 0.18, areas.max() < 0.52) == (True, True)
    assert areas.mean() == pytest.approx(0.35, abs=0.02)
    assert np.log(aspects).mean() == pytest.approx(0, abs=0.05)
    assert (aspects.min() > 0.47, aspects.max() < 2.1) == (True, True)
    assert (y.min(), x.min(), (y + height).max(), (x + width).max()) == (0, 0, *SIZE)
    assert 0.44 < np.mean([crop.flip for crop in drawn]) < 0.56
    assert all(crop.first == crop.last for crop in drawn)


@pytest.mark.parametrize(
    ("size", "aspects", "box"),
    [
        ((60, 90), (0.75, 1.25), Window(0, 7, 60, 75)),
        ((90, 60), (0.75, 1.25), Window(5, 0, 80, 60)),
        ((60, 90), (0.5, 2.0), Window(0, 0, 60, 90)),
    ],
)
def test_a_crop_that_fits_in_no_try_is_the_largest_in_the_center(size, aspects, box):
    assert central_box(size, aspects) == box
    assert draw_box(rng_for(0, 0, 0), size, (10, 10), (0.9, 1.0), aspects, 10) is None


def test_a_still_crop_is_cut_and_resized_with_centers_at_half_pixels():
    frames = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), np.uint8)
    box = Window(5, 11, 40, 52)
    part = torch.from_numpy(frames[:, 5:45, 11:63]).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.interpolate(part, (32, 32), mode="bilinear").permute(0, 2, 3, 1).numpy()
    clip = MovingBox(box, box, 32, False).cut(frames, Window(0, 0, *SIZE))
    assert np.abs(clip - expected).max() <= 1
    assert (MovingBox(box, box, 32, True).cut(frames, Window(0, 0, *SIZE)) == clip[:, :, ::-1]).all()
    window = Window(4, 9, 45, 60)
    assert (MovingBox(box, box, 32, False).cut(frames[:, 4:49, 9:69], window) == clip).all()


def test_a_moving_crop_goes_evenly_from_one_box_to_another():
    crop = MovingBox(Window(0, 40, 20, 20), Window(30, 0, 25, 40), 16, False)
    assert crop.boxes(4).tolist() == [[0, 40, 20, 20], [10, 26, 21, 26], [20, 13, 23, 33], [30, 0, 25, 40]]
    assert crop.boxes(1).tolist() == [[0, 40, 20, 20]]
    assert crop.window == Window(0, 0, 55, 60)
    moving = crops(RelativeCrop((0.2, 0.5), (0.5, 2.0), moves=True), 50)
    assert all(crop.first != crop.last for crop in moving)
    for crop in moving:
        y, x, height, width = crop.boxes(7).T
        assert (y + height).max() <= SIZE[0]
        assert (x + width).max() <= SIZE[1]


def boxes_of(erasing, count=1000, crop=40):
    return np.stack([erasing.draw(rng_for(0, 0, number), crop) for number in range(count)])


def test_a_quarter_of_the_clips_is_erased_in_a_box_of_the_published_areas():
    boxes = boxes_of(Erasing(0.25))
    assert boxes.shape == (1000, 1, 5)
    erased = boxes[boxes[..., 3] > 0]
    assert 0.2 < len(erased) / 1000 < 0.3
    assert not boxes[boxes[..., 3] == 0].any()
    assert len(set(erased[:, 0].tolist())) == len(erased)  # each box has its own noise
    top, left, height, width = erased[:, 1:].T
    areas = height * width / 40**2
    assert 0.01 < areas.min() < 0.05
    assert 0.3 < areas.max() < 0.36
    assert areas.mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.02)
    assert (top + height).max() == 40
    assert (left + width).max() == 40
    assert max(height.max(), width.max()) < 40


def test_several_boxes_share_the_area():
    counts = (boxes_of(Erasing(1.0, 3))[..., 3] > 0).sum(1)
    assert set(counts.tolist()) == {1, 2, 3}
    assert (boxes_of(Erasing(1.0, 3))[:, :, 3:].prod(-1).sum(1) / 40**2).max() < 0.36


BOX = [7, 2, 3, 4, 5]  # seed, top, left, height, width


def packed(mode, boxes, alpha=None):
    clips = torch.full((2, 8, 16, 16, 3), 10, dtype=torch.uint8)
    pack = PackPathways([0.45] * 3, [0.225] * 3, alpha=alpha, erase_mode=mode)
    return pack(clips, torch.tensor(boxes)), pack(clips)


@pytest.mark.parametrize("mode", ["pixel", "rand", "const"])
def test_boxes_are_filled_in_the_normalized_clip(mode):
    (clips,), (whole,) = packed(mode, [[BOX], [[0] * 5]])
    inside = clips[0, :, :, 2:6, 3:8]  # C x T x H x W
    assert torch.equal(clips[1], whole[1])
    outside = torch.ones(16, 16, dtype=torch.bool)
    outside[2:6, 3:8] = False
    assert torch.equal(clips[0][..., outside], whole[0][..., outside])
    distinct = {"pixel": inside.numel(), "rand": 3 * 8, "const": 1}
    assert len(inside.unique()) == distinct[mode]
    if mode != "const":
        assert abs(inside.mean()) < 0.5
        assert 0.6 < inside.std() < 1.4


def test_both_pathways_have_the_same_noise_and_a_seed_gives_it_again():
    (slow, fast), _ = packed("pixel", [[BOX], [BOX]], alpha=4)
    assert torch.equal(slow, fast[:, :, [0, 7]])
    assert torch.equal(fast[0], fast[1])
    state = torch.get_rng_state()
    (_, again), _ = packed("pixel", [[BOX], [BOX]], alpha=4)
    assert torch.equal(fast, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_boxes_are_filled_in_the_layout_of_mixed_precision():
    clips = torch.zeros(1, 3, 2, 8, 8).to(memory_format=torch.channels_last_3d)
    other = torch.zeros(1, 3, 2, 8, 8)
    for each in (clips, other):
        erase(each, torch.tensor([[[3, 1, 1, 2, 2], [4, 4, 4, 3, 3]]]), "pixel")
    assert torch.equal(clips, other)
    assert (other != 0).sum() == 3 * 2 * (4 + 9)
