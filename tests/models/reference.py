"""The published models once more, written from the interface page as one function over a state dict: slow and plain.

It shares no code with slowfast/models, and finds blocks, shortcuts and non-local blocks by the names of the parameters.
"""

import torch
import torch.nn.functional as F

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def norm(state, name, x):
    mean, var, weight, bias = (
        state[f"{name}.{part}"].view(-1, 1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias


def conv(state, name, x, stride=(1, 1, 1), dilation=1, groups=1):
    weight = state[f"{name}.weight"]
    kt, kh, kw = weight.shape[2:]
    padding = (kt // 2, dilation * (kh // 2), dilation * (kw // 2))
    return F.conv3d(x, weight, state.get(f"{name}.bias"), stride, padding, (1, dilation, dilation), groups)


def transform(cfg, state, name, x, stride, dilation):
    first, second = ((1, stride, stride), (1, 1, 1)) if cfg.RESNET.STRIDE_1X1 else ((1, 1, 1), (1, stride, stride))
    if cfg.RESNET.TRANS_FUNC == "basic_transform":
        x = norm(state, f"{name}.a_bn", conv(state, f"{name}.a", x, (1, stride, stride))).relu()
        return norm(state, f"{name}.b_bn", conv(state, f"{name}.b", x, dilation=dilation))
    x = norm(state, f"{name}.a_bn", conv(state, f"{name}.a", x, first)).relu()
    x = norm(state, f"{name}.b_bn", conv(state, f"{name}.b", x, second, dilation, cfg.RESNET.NUM_GROUPS)).relu()
    return norm(state, f"{name}.c_bn", conv(state, f"{name}.c", x))


def block(cfg, state, name, x, stride, dilation):
    shortcut = x
    if f"{name}.branch1.weight" in state:
        shortcut = norm(state, f"{name}.branch1_bn", conv(state, f"{name}.branch1", x, (1, stride, stride)))
    return (shortcut + transform(cfg, state, f"{name}.branch2", x, stride, dilation)).relu()


def nonlocal_block(cfg, state, name, x, pool):
    pooled = F.max_pool3d(x, pool, stride=pool)
    theta = conv(state, f"{name}.conv_theta", x).flatten(2)
    phi, g = (conv(state, f"{name}.conv_{part}", pooled).flatten(2) for part in ("phi", "g"))
    affinity = torch.einsum("ndl,ndp->nlp", theta, phi)
    if cfg.NONLOCAL.INSTANTIATION == "softmax":
        weights = (affinity / theta.shape[1] ** 0.5).softmax(dim=2)
    else:
        weights = affinity / phi.shape[2]
    y = torch.einsum("nlp,ndp->ndl", weights, g).reshape(x.shape[0], -1, *x.shape[2:])
    return x + norm(state, f"{name}.bn", conv(state, f"{name}.conv_out", y))


def grouped_nonlocal(cfg, state, name, x, pool, groups):
    parts = x.chunk(groups, dim=2)
    return torch.cat([nonlocal_block(cfg, state, name, part, pool) for part in parts], dim=2)


def stage(cfg, state, number, pathway, x):
    row = number - 2
    for i in range(BLOCKS[cfg.RESNET.DEPTH][row]):
        stride = cfg.RESNET.SPATIAL_STRIDES[row][pathway] if i == 0 else 1
        dilation = cfg.RESNET.SPATIAL_DILATIONS[row][pathway]
        x = block(cfg, state, f"s{number}.pathway{pathway}_res{i}", x, stride, dilation)
        name = f"s{number}.pathway{pathway}_nonlocal{i}"
        if f"{name}.bn.weight" in state:
            pool, groups = cfg.NONLOCAL.POOL[row][pathway], cfg.NONLOCAL.GROUP[row][pathway]
            x = grouped_nonlocal(cfg, state, name, x, pool, groups)
    return x


def fuse(cfg, state, name, features):
    slow, fast = features
    lateral = conv(state, f"{name}.conv_f2s", fast, (cfg.SLOWFAST.ALPHA, 1, 1))
    return [torch.cat([slow, norm(state, f"{name}.bn", lateral).relu()], dim=1), fast]


def head(cfg, state, features, windows):
    """Every position by itself: mean of its window, scores, activation; then the mean over positions."""
    (_, _, t, h, w), (kt, kh, kw) = features[0].shape, windows[0]
    weight, bias = state["head.projection.weight"], state["head.projection.bias"]
    total, count = 0, 0
    for i in range(t - kt + 1):
        for j in range(h - kh + 1):
            for k in range(w - kw + 1):
                means = [
                    x[:, :, i : i + window[0], j : j + window[1], k : k + window[2]].mean((2, 3, 4))
                    for x, window in zip(features, windows, strict=True)
                ]
                scores = torch.cat(means, dim=1) @ weight.T + bias
                activated = {"softmax": scores.softmax(1), "sigmoid": scores.sigmoid(), "none": scores}
                total, count = total + activated[cfg.MODEL.HEAD_ACT], count + 1
    return total / count


def forward(cfg, state, clips):
    """The scores of the model in evaluation."""
    features = []
    for p, clip in enumerate(clips):
        x = norm(state, f"s1.pathway{p}_stem.bn", conv(state, f"s1.pathway{p}_stem.conv", clip, (1, 2, 2))).relu()
        features.append(F.max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)))
    pool = 2 if cfg.MODEL.ARCH in ("c2d", "i3d") and cfg.MODEL.MODEL_NAME == "ResNet" else 1
    for number in range(2, 6):
        if len(features) == 2:
            features = fuse(cfg, state, f"s{number - 1}_fuse", features)
        features = [stage(cfg, state, number, p, x) for p, x in enumerate(features)]
        if number == 2 and pool == 2:
            features = [F.max_pool3d(x, (2, 1, 1)) for x in features]
    frames = [cfg.DATA.NUM_FRAMES // pool]
    if len(features) == 2:
        frames = [cfg.DATA.NUM_FRAMES // cfg.SLOWFAST.ALPHA, cfg.DATA.NUM_FRAMES]
    rows = cfg.DATA.TRAIN_CROP_SIZE // 32
    windows = [
        tuple(min(k, size) for k, size in zip((t, rows, rows), x.shape[2:], strict=True))
        for t, x in zip(frames, features, strict=True)
    ]
    if cfg.MULTIGRID.SHORT_CYCLE or cfg.MODEL.GLOBAL_POOL:
        windows = [tuple(x.shape[2:]) for x in features]
    return head(cfg, state, features, windows)
