import os
import signal

import pytest
import torch
from torch.utils.data._utils import worker
from torch.utils.data._utils.pin_memory import pin_memory

from slowfast.datasets.batch import Batch
from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader, shuffle_dataset
from slowfast.datasets.pathways import PackPathways
from slowfast.errors import UserError
from slowfast.multigrid.sampler import ClipIndex
from tests.datasets.data import small_cfg, write_list


def batches(cfg, split, **kwargs):
    return list(construct_loader(cfg, split, **kwargs))


def equal(a, b):
    return all(torch.equal(a[k], b[k]) if torch.is_tensor(a[k]) else a[k] == b[k] for k in a.keys())  # noqa: SIM118  (iteration gives the published fields)


def test_a_training_epoch_shows_every_video_once_at_the_default_grid(kinetics_dir):
    found = batches(small_cfg(kinetics_dir), "train")
    assert [tuple(batch["clip"].shape) for batch in found] == [(2, 4, 32, 32, 3)] * 3
    assert found[0]["clip"].dtype == torch.uint8
    assert sorted(torch.cat([batch["video"] for batch in found]).tolist()) == list(range(6))
    assert found[0]["bad"] == ["", ""]


def test_every_epoch_of_a_published_loop_has_an_order_and_clips_of_its_own(kinetics_dir):
    loader = construct_loader(small_cfg(kinetics_dir, DATA_LOADER__NUM_WORKERS=1), "train")
    epochs = []
    for epoch in (0, 1, 0):
        shuffle_dataset(loader, epoch)
        epochs.append([torch.cat(values) for values in zip(*((b["video"], b["clip"]) for b in loader), strict=True)])
    assert all(torch.equal(a, b) for a, b in zip(epochs[0], epochs[2], strict=True))
    assert sorted(epochs[0][0].tolist()) == sorted(epochs[1][0].tolist())
    assert not torch.equal(epochs[0][1], epochs[1][1])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("split", ["train", "test"])
def test_samples_are_the_same_with_any_number_of_workers(kinetics_dir, split):
    runs = [batches(small_cfg(kinetics_dir, DATA_LOADER__NUM_WORKERS=n), split) for n in (0, 1, 3)]
    for run in runs[1:]:
        assert len(run) == len(runs[0])
        assert all(equal(first, second) for first, second in zip(run, runs[0], strict=True))


def test_batches_of_several_shapes_come_from_one_loader(kinetics_dir):
    cfg = small_cfg(kinetics_dir, DATA_LOADER__NUM_WORKERS=1)
    indices = [[ClipIndex(0, 0, 2, 24)] * 3, [ClipIndex(1, 0, 4, 32)]]
    found = batches(cfg, "train", dataset=build_dataset("kinetics", cfg, "train"), batch_sampler=indices)
    assert [tuple(batch["clip"].shape) for batch in found] == [(3, 2, 24, 24, 3), (1, 4, 32, 32, 3)]


def test_validation_goes_through_every_video_in_order(kinetics_dir):
    found = batches(small_cfg(kinetics_dir, TRAIN__BATCH_SIZE=4), "val")
    assert [batch["video"].tolist() for batch in found] == [[0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize(("batch_size", "videos"), [(4, 1), (12, 2), (20, 3)])
def test_test_batches_hold_complete_videos(kinetics_dir, batch_size, videos):
    loader = construct_loader(small_cfg(kinetics_dir, TEST__BATCH_SIZE=batch_size), "test")
    assert len(loader) == 6 // videos
    assert next(iter(loader))["clip"].shape == (videos, 6, 4, 32, 32, 3)


@pytest.mark.parametrize("split", ["val", "test"])
def test_ranks_share_the_videos_without_repeats(kinetics_dir, monkeypatch, split):
    monkeypatch.setattr("slowfast.datasets.loader.get_world_size", lambda: 4)
    shares = []
    for rank in range(4):
        monkeypatch.setattr("slowfast.datasets.loader.get_rank", lambda rank=rank: rank)
        loader = construct_loader(small_cfg(kinetics_dir), split)
        shares += [video for batch in loader.batch_sampler for video in batch]
    assert sorted(shares) == list(range(6))


def test_loading_does_not_change_the_global_random_state(kinetics_dir):
    before = torch.get_rng_state()
    batches(small_cfg(kinetics_dir), "train")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_error_of_a_worker_names_the_video_and_is_a_user_error(kinetics_dir):
    write_list(kinetics_dir / "test.csv", ["missing.mp4 0"])
    with pytest.raises(UserError, match="missing.mp4: .*TEST.SKIP_BAD_VIDEOS"):
        batches(small_cfg(kinetics_dir, DATA_LOADER__NUM_WORKERS=1, TEST__SKIP_BAD_VIDEOS=False), "test")


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_batch_unpacks_as_published(kinetics_dir, workers):
    cfg = small_cfg(kinetics_dir, DATA_LOADER__NUM_WORKERS=workers)
    for batch in construct_loader(cfg, "train"):
        inputs, labels, index, time, meta = batch
        slow, fast = PackPathways.from_cfg(cfg)(batch["clip"])
        assert torch.equal(inputs[0], slow)
        assert torch.equal(inputs[1], fast)
        assert fast.shape == (2, 3, 4, 32, 32)
        assert torch.equal(labels, batch["label"])
        assert torch.equal(index, batch["video"])
        assert (time.tolist(), meta) == ([0, 0], {})


def test_a_test_batch_unpacks_into_the_views_of_its_videos(kinetics_dir):
    loader = construct_loader(small_cfg(kinetics_dir, TEST__BATCH_SIZE=12), "test")
    for batch in loader:
        inputs, labels, index, _, _ = batch
        assert [len(pathway) for pathway in inputs] == [12, 12]  # 2 videos of 6 views
        assert index.tolist() == [6 * v + view for v in batch["video"].tolist() for view in range(6)]
        assert labels.tolist() == [label for label in batch["label"].tolist() for _ in range(6)]
        expected = PackPathways.from_cfg(small_cfg(kinetics_dir))(batch["clip"][1])
        assert torch.equal(inputs[1][6:], expected[1])


def test_a_batch_stays_a_batch_when_its_memory_is_pinned(kinetics_dir, monkeypatch):
    (batch, *_) = construct_loader(small_cfg(kinetics_dir), "train")
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, *args: self.clone())  # this needs a GPU
    pinned = pin_memory(batch)
    assert type(pinned) is Batch
    assert equal(pinned, batch)
    assert len(tuple(pinned)) == 5


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("gpus", [0, 1])
@pytest.mark.parametrize("has_cuda", [False, True])
def test_memory_is_pinned_for_runs_on_gpus(kinetics_dir, split, gpus, has_cuda, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    cfg = small_cfg(kinetics_dir, NUM_GPUS=gpus, DATA_LOADER__PIN_MEMORY=True)
    assert construct_loader(cfg, split).pin_memory == (has_cuda and gpus > 0)


class Signals(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return {"ignored": ignored, "threads": torch.get_num_threads()}


def test_workers_leave_ctrl_c_to_the_main_process_and_have_one_thread(kinetics_dir):
    cfg = small_cfg(kinetics_dir, DATA_LOADER__NUM_WORKERS=1)
    (batch,) = batches(cfg, "val", dataset=Signals())
    assert batch["ignored"].item() is True
    assert batch["threads"].item() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_request_to_stop_while_workers_start_is_left_to_the_main_process(kinetics_dir, monkeypatch, number):
    loop = worker._worker_loop

    def asked(*args):
        worker.signal_handling._set_worker_signal_handlers()  # torch ends the worker on SIGTERM from then on
        os.kill(os.getpid(), number)
        loop(*args)

    monkeypatch.setattr(worker, "_worker_loop", asked)
    assert len(batches(small_cfg(kinetics_dir, DATA_LOADER__NUM_WORKERS=1), "val")) > 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
