"""X3D once more, written from the facts of the published networks as plain modules. It shares no code with slowfast."""

import math

import torch
from torch import nn


def rounded(width, factor, divisor=1):
    value = width * factor
    result = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return result + divisor if result < 0.9 * value else result


class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        inner = rounded(width, 0.0625, 8)
        self.fc1, self.fc2 = nn.Conv3d(width, inner, 1), nn.Conv3d(inner, width, 1)

    def forward(self, x):
        squeezed = x.mean(4, keepdim=True).mean(3, keepdim=True).mean(2, keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(squeezed))))


class Branch(nn.Module):
    def __init__(self, width_in, inner, width_out, stride, gated, dilation, groups, stride_first):
        super().__init__()
        first, second = (stride, 1) if stride_first else (1, stride)
        self.a = nn.Conv3d(width_in, inner, 1, stride=(1, first, first), bias=False)
        self.a_bn = nn.BatchNorm3d(inner)
        self.b = nn.Conv3d(
            inner,
            inner,
            3,
            stride=(1, second, second),
            padding=(1, dilation, dilation),
            dilation=(1, dilation, dilation),
            groups=groups or inner,
            bias=False,
        )
        self.b_bn = nn.BatchNorm3d(inner)
        if gated:
            self.se = Gate(inner)
        self.c = nn.Conv3d(inner, width_out, 1, bias=False)
        self.c_bn = nn.BatchNorm3d(width_out)

    def forward(self, x):
        x = torch.relu(self.a_bn(self.a(x)))
        x = self.b_bn(self.b(x))
        if hasattr(self, "se"):
            x = self.se(x)
        return self.c_bn(self.c(x * torch.sigmoid(x)))


class Block(nn.Module):
    def __init__(self, width_in, inner, width_out, stride, *rest):
        super().__init__()
        if width_in != width_out or stride != 1:
            self.branch1 = nn.Conv3d(width_in, width_out, 1, stride=(1, stride, stride), bias=False)
            self.branch1_bn = nn.BatchNorm3d(width_out)
        self.branch2 = Branch(width_in, inner, width_out, stride, *rest)

    def forward(self, x):
        shortcut = self.branch1_bn(self.branch1(x)) if hasattr(self, "branch1") else x
        return torch.relu(shortcut + self.branch2(x))


class Stage(nn.Module):
    def __init__(self, width_in, inner, width_out, blocks, dilation, groups, stride_first):
        super().__init__()
        for i in range(blocks):
            stride, before = (2, width_in) if i == 0 else (1, width_out)
            block = Block(before, inner, width_out, stride, i % 2 == 0, dilation, groups, stride_first)
            self.add_module(f"pathway0_res{i}", block)

    def forward(self, x):
        for block in self.children():
            x = block(x)
        return x


class Stem(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv_xy = nn.Conv3d(3, width, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv = nn.Conv3d(width, width, (5, 1, 1), 1, (2, 0, 0), groups=width, bias=False)
        self.bn = nn.BatchNorm3d(width)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(self.conv_xy(x))))


class Head(nn.Module):
    def __init__(self, width, inner, dim, classes, window, norm):
        super().__init__()
        self.conv_5 = nn.Conv3d(width, inner, 1, bias=False)
        self.conv_5_bn = nn.BatchNorm3d(inner)
        self.lin_5 = nn.Conv3d(inner, dim, 1, bias=False)
        if norm:
            self.lin_5_bn = nn.BatchNorm3d(dim)
        self.projection = nn.Linear(dim, classes)
        self.window = window

    def forward(self, x):
        x = torch.relu(self.conv_5_bn(self.conv_5(x)))
        window = x.shape[2:] if self.training else [min(k, n) for k, n in zip(self.window, x.shape[2:], strict=True)]
        x = self.lin_5(nn.functional.avg_pool3d(x, window, stride=1))
        if hasattr(self, "lin_5_bn"):
            x = self.lin_5_bn(x)
        x = self.projection(torch.relu(x).permute(0, 2, 3, 4, 1))
        return x[:, 0, 0, 0] if self.training else x.softmax(4).mean((1, 2, 3))


class X3D(nn.Module):
    """Without dropout. `groups` None: the convolution in the middle is channelwise."""

    def __init__(
        self,
        width=1.0,
        depth=1.0,
        bottleneck=1.0,
        c1=12,
        c5=2048,
        scale_res2=False,
        bn_lin5=False,
        groups=None,
        frames=8,
        crop=64,
        classes=5,
        dilations=(1, 1, 1, 1),
        stride_first=False,
    ):
        super().__init__()
        self.s1 = nn.ModuleDict({"pathway0_stem": Stem(rounded(c1, width))})
        base, before = rounded(c1, 2, 8) if scale_res2 else c1, rounded(c1, width)
        for i, (blocks, dilation) in enumerate(zip((1, 2, 5, 3), dilations, strict=True)):
            out = rounded(base, width)
            inner = int(bottleneck * out)
            stage = Stage(before, inner, out, math.ceil(depth * blocks), dilation, groups, stride_first)
            self.add_module(f"s{i + 2}", stage)
            base, before = rounded(base, 2, 8), out
        rows = math.ceil(crop / 32)
        self.head = Head(before, inner, c5, classes, (frames, rows, rows), bn_lin5)

    def forward(self, x):
        x = self.s1["pathway0_stem"](x)
        for stage in (self.s2, self.s3, self.s4, self.s5):
            x = stage(x)
        return self.head(x)
