"""MViT once more, from the facts of the published networks: functions of a state dict, with loops over samples, heads
and places. It shares no code with slowfast.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

DEFAULTS = {
    "mode": "conv",
    "pool_first": False,
    "separate": False,
    "cls": True,
    "mean": False,
    "v2": False,
    "heads": 1,
    "depth": 3,
    "dim": 8,
    "dim_mul": {},
    "head_mul": {},
    "q": {},
    "kv": {},
    "adaptive": None,
    "kernel": None,
    "residual": False,
    "padding": (1, 3, 3),
    "grid": (2, 8, 8),
}


def rounded(width, factor, divisor=1):
    value = width * factor
    result = max(divisor, math.floor(value + divisor / 2) // divisor * divisor)
    return result + divisor if result < 0.9 * value else result


def norm(x, state, name):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + 1e-6).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(x, state, name):
    y = x @ state[f"{name}.weight"].t()
    return y + state[f"{name}.bias"] if f"{name}.bias" in state else y


# --- tables of another size ---------------------------------------------------------------------------


def linear_matrix(size, wanted):
    """Weights of linear interpolation with half-pixel centers, wanted x size."""
    matrix = torch.zeros(wanted, size, dtype=torch.float64)
    for row in range(wanted):
        place = max((row + 0.5) * size / wanted - 0.5, 0)
        low = min(int(place), size - 1)
        matrix[row, low] += 1 - (place - low)
        matrix[row, min(low + 1, size - 1)] += place - low
    return matrix


def cubic(distance, a=-0.75):
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def cubic_matrix(size, wanted):
    """Weights of cubic interpolation with half-pixel centers, wanted x size. Places outside are those of the border."""
    matrix = torch.zeros(wanted, size, dtype=torch.float64)
    for row in range(wanted):
        place = (row + 0.5) * size / wanted - 0.5
        for tap in range(math.floor(place) - 1, math.floor(place) + 3):
            matrix[row, min(max(tap, 0), size - 1)] += cubic(place - tap)
    return matrix


def resampled(table, stored, grid):
    """A table T x H x W x C at another grid: linear in time, cubic in height and width."""
    kinds = (linear_matrix, cubic_matrix, cubic_matrix)
    t, h, w = (kind(*sizes) for kind, *sizes in zip(kinds, stored, grid, strict=True))
    return torch.einsum("at,by,cx,tyxd->abcd", t, h, w, table.double()).to(table.dtype)


# --- the network --------------------------------------------------------------------------------------


def add_positions(tokens, state, net, grid):
    t, h, w = net["grid"]
    first = int(net["cls"])
    if "pos_embed" in state:
        table = state["pos_embed"][0]
        patches = resampled(table[first:].reshape(t, h, w, -1), net["grid"], grid).reshape(
            grid[0] * grid[1] * grid[2], -1
        )
        return tokens + torch.cat([table[:first], patches])
    if "pos_embed_spatial" not in state:
        return tokens
    space = resampled(state["pos_embed_spatial"].reshape(1, h, w, -1), (1, h, w), (1, *grid[1:]))[0]
    time = resampled(state["pos_embed_temporal"].reshape(t, 1, 1, -1), (t, 1, 1), (grid[0], 1, 1))[:, 0, 0]
    added = [space[y, x] + time[z] for z in range(grid[0]) for y in range(grid[1]) for x in range(grid[2])]
    return tokens + torch.cat([*(state["pos_embed_class"][0] for _ in range(first)), torch.stack(added)])


def pool(part, grid, state, name, net, stride, kernel):
    """Pool tokens of one head, L x D."""
    first = int(net["cls"])
    width, padding = part.shape[1], [k // 2 for k in kernel]
    volume = part[first:].t().reshape(1, width, *grid)
    if net["mode"] == "max":
        volume = F.max_pool3d(volume, kernel, stride, padding)
    elif net["mode"] == "avg":
        volume = F.conv3d(
            volume.transpose(0, 1), torch.ones(1, 1, *kernel) / math.prod(kernel), None, stride, padding
        ).transpose(0, 1)
    else:
        weight = state[f"{name}.weight"]
        one = [F.conv3d(volume[:, c : c + 1], weight[c : c + 1], None, stride, padding) for c in range(width)]
        volume = torch.cat(one, 1)
    pooled = torch.cat([part[:first], volume.reshape(width, -1).t()])
    if net["mode"].startswith("conv"):
        pooled = norm(pooled, state, name.replace("pool", "norm"))
    return pooled, tuple(volume.shape[2:])


def places(grid):
    return [(t, y, x) for t in range(grid[0]) for y in range(grid[1]) for x in range(grid[2])]


def bias_of(q, state, prefix, net, grid, keys):
    """The bias of relative positions for one head, Q x K, with a loop over queries and keys for its rows."""
    first = int(net["cls"])
    bias = torch.zeros(len(q), first + math.prod(keys))
    for axis, letter in enumerate("thw"):
        if f"{prefix}.rel_pos_{letter}" not in state:
            continue
        table, queries, count = state[f"{prefix}.rel_pos_{letter}"], grid[axis], keys[axis]
        table = (linear_matrix(len(table), 2 * max(queries, count) - 1) @ table.double()).float()
        rows = [[row_of(query[axis], key[axis], queries, count) for key in places(keys)] for query in places(grid)]
        scores = (q[first:] @ table.t()).gather(1, torch.tensor(rows))
        bias = bias + F.pad(scores, (first, 0, first, 0))
    return bias


def row_of(query, key, queries, keys):
    """The row of the table for two places along an axis."""
    rq, rk = max(keys / queries, 1), max(queries / keys, 1)
    return int(np.float32(query * rq) - np.float32(key * rk) + np.float32((keys - 1) * rk))


def attention(x, grid, state, prefix, net, block, heads):
    """Attention over tokens L x C; returns the result and the grid of the queries."""
    first, strides = int(net["cls"]), {"q": net["q"].get(block), "k": net["kv"].get(block)}
    strides["v"] = strides["k"]
    if net["pool_first"]:
        parts = 1 if net["mode"] == "conv_unshared" else heads
        sources = {name: x.chunk(parts, 1) for name in "qkv"}
    else:
        made = (
            [linear(x, state, f"{prefix}.{n}") for n in "qkv"]
            if net["separate"]
            else linear(x, state, f"{prefix}.qkv").chunk(3, 1)
        )
        sources = {name: one.chunk(heads, 1) for name, one in zip("qkv", made, strict=True)}
    grids = dict.fromkeys("qkv", grid)
    for name in "qkv":
        stride = strides[name]
        if stride is None:
            continue
        kernel = net["kernel"] or tuple(s + 1 if s > 1 else 1 for s in stride)
        if (kernel, stride) == ((1, 1, 1), (1, 1, 1)):
            continue
        done = [pool(part, grid, state, f"{prefix}.pool_{name}", net, stride, kernel) for part in sources[name]]
        sources[name], grids[name] = [part for part, _ in done], done[0][1]
    if net["pool_first"]:
        joined = {name: linear(torch.cat(list(sources[name]), 1), state, f"{prefix}.{name}") for name in "qkv"}
        sources = {name: one.chunk(heads, 1) for name, one in joined.items()}
    results = []
    for q, k, v in zip(sources["q"], sources["k"], sources["v"], strict=True):
        scores = q * q.shape[1] ** -0.5 @ k.t() + bias_of(q, state, prefix, net, grids["q"], grids["k"])
        weights = scores.exp() / scores.exp().sum(1, keepdim=True)
        result = weights @ v
        if net["residual"]:
            result = torch.cat([result[:first], result[first:] + q[first:]])
        results.append(result)
    return linear(torch.cat(results, 1), state, f"{prefix}.proj"), grids["q"]


def skip(x, grid, net, stride):
    if math.prod(stride) == 1:
        return x
    kernel = [s + 1 if s > 1 else 1 for s in stride]
    first = int(net["cls"])
    volume = F.max_pool3d(x[first:].t().reshape(1, -1, *grid), kernel, stride, [k // 2 for k in kernel])
    return torch.cat([x[:first], volume.reshape(x.shape[1], -1).t()])


def mlp(x, state, prefix):
    x = linear(x, state, f"{prefix}.fc1")
    return linear(x * 0.5 * (1 + torch.erf(x / 2**0.5)), state, f"{prefix}.fc2")


def plan(net):
    """Heads and widths of the blocks: [(heads, width in, width out)]."""
    dim = [net["dim_mul"].get(i, 1) for i in range(net["depth"] + 1)]
    head = [net["head_mul"].get(i, 1) for i in range(net["depth"] + 1)]
    heads, width, rows = net["heads"], net["dim"], []
    for i in range(net["depth"]):
        heads = rounded(heads, head[i])
        at = i if net["v2"] else i + 1
        out = rounded(width, dim[at], rounded(heads, head[at]))
        rows.append((heads, width, out))
        width = out
    return rows


def with_strides(net):
    """`net` with the strides of keys and values that the adaptive ones make."""
    if net["adaptive"] is None:
        return net
    stride, strides = net["adaptive"], {}
    for i in range(net["depth"]):
        if i in net["q"]:
            stride = tuple(max(a // b, 1) for a, b in zip(stride, net["q"][i], strict=True))
        strides[i] = stride
    return {**net, "kv": strides}


def forward_one(clip, state, net):
    """Logits of one clip, 3 x T x H x W."""
    volume = F.conv3d(
        clip[None], state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], (2, 4, 4), net["padding"]
    )
    grid = tuple(volume.shape[2:])
    tokens = volume[0].flatten(1).t()
    tokens = torch.cat([state["cls_token"][0], tokens]) if net["cls"] else tokens
    x = add_positions(tokens, state, net, grid)
    x = norm(x, state, "norm_stem") if "norm_stem.weight" in state else x
    for i, (heads, width, out) in enumerate(plan(net)):
        name, stride = f"blocks.{i}", net["q"].get(i, (1, 1, 1))
        normed = norm(x, state, f"{name}.norm1")
        branch, queries = attention(normed, grid, state, f"{name}.attn", net, i, heads)
        if net["v2"]:
            passed = linear(normed, state, f"{name}.proj") if width != out else x
            y = skip(passed, grid, net, stride) + branch
            x = y + mlp(norm(y, state, f"{name}.norm2"), state, f"{name}.mlp")
        else:
            y = skip(x, grid, net, stride) + branch
            z = norm(y, state, f"{name}.norm2")
            x = (linear(z, state, f"{name}.proj") if width != out else y) + mlp(z, state, f"{name}.mlp")
        grid = queries
    if net["mean"]:
        x = norm(x[int(net["cls"]) :].mean(0), state, "norm")
    else:
        x = norm(x, state, "norm")
        x = x[0] if net["cls"] else x.mean(0)
    return linear(x, state, "head.projection")


def forward(clips, state, **net):
    """Logits of clips N x 3 x T x H x W, for a network that `DEFAULTS` and `net` describe."""
    net = with_strides({**DEFAULTS, **net})
    return torch.stack([forward_one(clip, state, net) for clip in clips])
