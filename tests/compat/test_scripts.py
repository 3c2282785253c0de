"""Scripts in the published style run: features and accuracies of a checkpoint, and a loop of training."""

import sys

import torch

import slowfast.utils.checkpoint as cu
import slowfast.utils.distributed as du
import slowfast.utils.metrics as metrics
import slowfast.utils.misc as misc
from slowfast.config.defaults import assert_and_infer_cfg, get_cfg
from slowfast.datasets import loader
from slowfast.models import build_model
from slowfast.models.optimizer import construct_optimizer, get_epoch_lr, set_lr
from slowfast.models.video_model_builder import SlowFast
from slowfast.utils import logging
from slowfast.utils.meters import TestMeter, TrainMeter, ValMeter
from slowfast.utils.parser import load_config, parse_args
from tests.engine.tiny import SYNTHETIC, json_stats, tiny_cfg


def changeable_cfg(tmp_path, **changes):
    return assert_and_infer_cfg(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **changes))


def save_a_checkpoint(cfg):
    model = build_model(cfg)
    torch.nn.init.normal_(model.head.projection.weight)
    return model, cu.save_checkpoint(cfg.OUTPUT_DIR, model, construct_optimizer(model, cfg), 0, cfg)


def test_a_script_extracts_features_and_counts_hits(tmp_path, monkeypatch, capsys):
    cfg = changeable_cfg(tmp_path)
    source, path = save_a_checkpoint(cfg)
    (tmp_path / "config.yaml").write_text(cfg.dump())
    monkeypatch.setattr(sys, "argv", ["script", "--cfg", str(tmp_path / "config.yaml")])

    args = parse_args()
    cfg = assert_and_infer_cfg(load_config(args, args.cfg_files[0]))
    cfg.TEST.CHECKPOINT_FILE_PATH = path
    logging.setup_logging(cfg.OUTPUT_DIR)
    logger = logging.get_logger(__name__)
    logger.info("extracting features")
    model = build_model(cfg, gpu_id=None)
    assert isinstance(model, SlowFast)
    misc.log_model_info(model, cfg, use_train_input=False)
    cu.load_test_checkpoint(cfg, model)
    model.eval()
    features = []
    model.s5.register_forward_hook(lambda module, inputs, outputs: features.append(outputs[0].mean((2, 3, 4))))
    test_loader = loader.construct_loader(cfg, "test")
    videos = len(test_loader.dataset)
    meter = TestMeter(videos, 6, cfg.MODEL.NUM_CLASSES, len(test_loader))
    hits, expected = torch.zeros(()), 0
    with torch.no_grad():
        for inputs, labels, video_idx, _time, _meta in test_loader:
            preds = model(inputs, bboxes=None)
            preds, labels, video_idx = du.all_gather([preds, labels, video_idx])
            (correct,) = metrics.topks_correct(preds, labels, (1,))
            hits += correct
            expected += int((preds.argmax(1) == labels).sum())
            meter.update_stats(preds, labels, video_idx)
    assert torch.cat(features).shape == (6 * videos, 256)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), source.parameters(), strict=True))
    assert "extracting features" in capsys.readouterr().out
    assert meter.clip_count.tolist() == [6] * videos
    assert set(meter.finalize_metrics()) == {"split", "top1_acc", "top5_acc"}
    assert hits == expected


def train_epoch(cfg, model, optimizer, epoch, train_loader):
    meter = TrainMeter(len(train_loader), cfg)
    model.train()
    for i, (inputs, labels, _index, _time, _meta) in enumerate(train_loader):
        meter.iter_tic()
        meter.data_toc()
        lr = get_epoch_lr(epoch + i / len(train_loader), cfg)
        set_lr(optimizer, lr)
        preds = model(inputs)
        loss = torch.nn.functional.cross_entropy(preds, labels)
        misc.check_nan_losses(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        top1_err, top5_err = metrics.topk_errors(preds, labels, (1, 3))
        loss, top1_err, top5_err = du.all_reduce([loss.detach(), top1_err, top5_err])
        meter.iter_toc()
        meter.update_stats(top1_err.item(), top5_err.item(), loss.item(), lr, len(labels))
        meter.log_iter_stats(epoch, i)
    meter.log_epoch_stats(epoch)


def validate(cfg, model, epoch, meter):
    model.eval()
    for inputs, labels, *_ in loader.construct_loader(cfg, "val"):
        errors = [error.item() for error in metrics.topk_errors(model(inputs), labels, (1, 3))]
        meter.update_stats(*errors, len(labels))
    meter.log_epoch_stats(epoch)
    meter.reset()


def test_a_loop_of_training_logs_saves_and_resumes(tmp_path):
    cfg = changeable_cfg(tmp_path, SOLVER__MAX_EPOCH=2, SOLVER__STEPS=[0, 1])
    logging.setup_logging(cfg.OUTPUT_DIR)
    du.init_distributed_training(cfg)
    model = build_model(cfg)
    optimizer = construct_optimizer(model, cfg)
    assert not cu.has_checkpoint(cfg.OUTPUT_DIR)
    assert cu.load_train_checkpoint(cfg, model, optimizer) == 0
    train_loader, val_meter = loader.construct_loader(cfg, "train"), ValMeter(2, cfg)
    for epoch in range(cfg.SOLVER.MAX_EPOCH):
        train_epoch(cfg, model, optimizer, epoch, train_loader)
        if cu.is_checkpoint_epoch(cfg, epoch):
            cu.save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, epoch, cfg)
        if misc.is_eval_epoch(cfg, epoch, None):
            with torch.no_grad():
                validate(cfg, model, epoch, val_meter)
    last = cu.get_last_checkpoint(cfg.OUTPUT_DIR)
    assert last == cu.get_path_to_checkpoint(cfg.OUTPUT_DIR, 2)
    other = build_model(cfg)
    assert cu.load_checkpoint(last, other, False, construct_optimizer(other, cfg)) == 1
    assert cu.load_checkpoint(last, other, data_parallel=False, epoch_reset=True) == -1
    assert cu.load_train_checkpoint(cfg, other, construct_optimizer(other, cfg)) == 2
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), model.parameters(), strict=True))
    assert [line["iter"] for line in json_stats(tmp_path, "train_iter")] == ["1/3", "2/3", "3/3"] * 2
    assert [line["lr"] for line in json_stats(tmp_path, "train_epoch")] == [0.01, 0.001]
    assert [line["epoch"] for line in json_stats(tmp_path, "val_epoch")] == ["2/2"]
    assert get_cfg().SOLVER.MAX_EPOCH != 2


def write_reduced(cfg):
    rank = float(du.get_rank())
    gathered = du.all_gather([torch.full((1, 2), rank)])
    mean, total = du.all_reduce([torch.tensor([rank])]), du.all_reduce([torch.tensor([rank])], average=False)
    du.synchronize()
    result = [gathered[0].tolist(), mean[0].item(), total[0].item(), du.is_master_proc(), du.is_master_proc(1)]
    torch.save(result, f"{cfg.OUTPUT_DIR}/rank{du.get_rank()}.pth")


def test_a_job_of_two_processes_gathers_and_reduces(tmp_path):
    cfg = changeable_cfg(tmp_path, NUM_GPUS=2)
    misc.launch_job(cfg, "tcp://localhost:9999", write_reduced)
    for rank in (0, 1):
        expected = [[[0.0, 0.0], [1.0, 1.0]], 0.5, 1.0, rank == 0, True]
        assert torch.load(tmp_path / f"rank{rank}.pth") == expected
