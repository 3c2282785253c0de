import pytest

from slowfast.datasets.build import build_dataset
from slowfast.datasets.draws import rng_for
from slowfast.datasets.grid import SamplingGrid
from slowfast.errors import UserError
from tests.datasets.data import small_cfg, write_ssv2_json
from tests.videos import write_video


@pytest.mark.parametrize("scales", [[48, 36], [36], [], [36, 40, 48]])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_scales_that_are_not_a_range_are_refused(kinetics_dir, scales, split):
    with pytest.raises(UserError, match=r"DATA.TRAIN_JITTER_SCALES: \[.*\] is not a range; give \[lowest, highest\]"):
        build_dataset("kinetics", small_cfg(kinetics_dir, DATA__TRAIN_JITTER_SCALES=scales), split)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_training_crop_larger_than_the_lowest_scale_is_refused(kinetics_dir, split):
    message = r"DATA.TRAIN_CROP_SIZE: 37 px is larger than .*36 px in DATA.TRAIN_JITTER_SCALES \[36, 48\]; .*at most 36"
    with pytest.raises(UserError, match=message):
        build_dataset("kinetics", small_cfg(kinetics_dir, DATA__TRAIN_CROP_SIZE=37), split)
    assert len(build_dataset("kinetics", small_cfg(kinetics_dir, DATA__TRAIN_CROP_SIZE=36), split)) == 6


def test_the_one_crop_of_a_test_on_video_files_fits_their_short_side(kinetics_dir):
    keys = {"TEST__NUM_SPATIAL_CROPS": 1, "DATA__TEST_CROP_SIZE": 37}
    message = "DATA.TEST_CROP_SIZE: 37 px is larger .*one-crop tests, 36 px; .*at most 36.*TEST.NUM_SPATIAL_CROPS 3"
    with pytest.raises(UserError, match=message):
        build_dataset("kinetics", small_cfg(kinetics_dir, **keys), "test")
    assert len(build_dataset("kinetics", small_cfg(kinetics_dir, **keys), "train")) == 6
    data = build_dataset("kinetics", small_cfg(kinetics_dir, **keys | {"DATA__TEST_CROP_SIZE": 36}), "test")
    assert data[0]["clip"].shape == (2, 4, 36, 36, 3)


def test_three_crops_are_resized_to_the_crop(kinetics_dir):
    data = build_dataset("kinetics", small_cfg(kinetics_dir, DATA__TEST_CROP_SIZE=60), "test")
    assert data[0]["clip"].shape == (6, 4, 60, 60, 3)


def test_the_one_crop_of_a_data_set_that_fits_it_may_be_larger_than_the_training_scales(tmp_path):
    write_ssv2_json(tmp_path, "validation", {"10": "Pushing [something]"})
    write_video(tmp_path / "10.mp4", 9)
    cfg = small_cfg(tmp_path, TEST__NUM_SPATIAL_CROPS=1, DATA__TEST_CROP_SIZE=60)
    assert build_dataset("ssv2", cfg, "test")[0]["clip"].shape == (2, 4, 60, 60, 3)


def test_a_smaller_crop_is_cut_from_a_short_side_in_proportion():
    grid = SamplingGrid(frames=4, stride=2, crop=32, scales=(36, 48))
    short_sides = {grid.draw_crop(rng_for(0, 0, n), (480, 640), 16).short_side for n in range(1000)}
    assert short_sides == set(range(18, 49))
    assert grid.strides(2) == (2, 4)
