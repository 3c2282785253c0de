#!/usr/bin/env python3
"""Multigrid training in your own loop: a plain torch.nn network, a plain data set, and `slowfast.multigrid`."""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

import slowfast.multigrid as mg


class MovingBars(Dataset):
    """Noisy clips of a bar that goes up, down, left or right. The index gives the video and the grid."""

    def __getitem__(self, index: mg.ClipIndex) -> tuple[torch.Tensor, int]:
        generator = torch.Generator().manual_seed(1000 * index.epoch + index.video)  # independent of worker and time
        start, label = torch.rand((), generator=generator), index.video % 4
        moves = torch.linspace(0, 0.4, index.frames) * (1 if label % 2 else -1)  # one span for any `frames`
        bar = ((torch.arange(32) / 32 - (start + moves)[:, None]) % 1 < 0.3).float()  # (T, 32)
        clip = bar[:, :, None].expand(-1, -1, 32) if label < 2 else bar[:, None, :].expand(-1, 32, -1)  # (T, 32, 32)
        clip = clip + 0.5 * torch.randn(clip.shape, generator=generator)
        return F.interpolate(clip[None], (index.crop, index.crop), mode="bilinear"), label  # (1, T, H, W)


def block(width_in: int, width_out: int) -> nn.Sequential:
    conv = nn.Conv3d(width_in, width_out, kernel_size=3, stride=(1, 2, 2), padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(width_out), nn.ReLU(inplace=True))


def train(num_videos: int = 256, base_lr: float = 0.02) -> list[tuple[float, float]]:
    """Return loss and accuracy of every iteration."""
    recipe = mg.Recipe(mg.Shape(8, 8, 32), stride=1, max_epoch=6, steps=(0, 3, 5), rates=(1, 0.1, 0.01))
    legs = mg.multigrid_schedule(recipe, mg.Multigrid(epoch_factor=2.0)).plan(num_videos)  # all iterations, counted
    batches = iter(DataLoader(MovingBars(), batch_sampler=mg.ShortCycleBatchSampler(legs, num_videos)))
    head = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(32, 4))  # takes clips of any shape
    model = mg.convert(nn.Sequential(block(1, 16), block(16, 32), head))  # its batch norms can now work in groups
    optimizer = torch.optim.SGD(model.parameters(), lr=base_lr, momentum=0.9)
    curve = []
    for leg in legs:  # the part of a phase in one epoch
        mg.regroup(model, leg.phase.bn_groups)  # statistics over 8 clips, however large the batch
        optimizer.param_groups[0]["lr"] = base_lr * leg.phase.lr_factor * leg.phase.step_rate  # linear scaling
        for _ in range(leg.iterations):
            clips, labels = next(batches)
            scores = model(clips)
            loss = F.cross_entropy(scores, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append((loss.item(), (scores.argmax(1) == labels).float().mean().item()))
    return curve


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for iteration, (loss, accuracy) in enumerate(train()):
        print(f"iteration {iteration:3d}   loss {loss:.3f}   accuracy {accuracy:.2f}")


if __name__ == "__main__":
    main()
