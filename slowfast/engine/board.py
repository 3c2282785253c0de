"""What TensorBoard shows of a training and its test."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from slowfast.config.node import CfgNode
from slowfast.datasets.lists.class_names import read_class_names
from slowfast.datasets.pathways import PackPathways, each
from slowfast.engine.class_results import names_or_numbers
from slowfast.engine.scores import Scores
from slowfast.engine.seen_clips import network_order, seen_clips, shown_names
from slowfast.errors import UserError
from slowfast.multigrid import Shape
from slowfast.utils.config_file import config_text
from slowfast.utils.metrics import confusion_matrix
from slowfast.visualization.clips import contact_sheet
from slowfast.visualization.confusion import Confusion, draw_confusion
from slowfast.visualization.predicted_classes import draw_predicted_classes
from slowfast.visualization.style import figure_picture, has_matplotlib, require_matplotlib
from slowfast.visualization.tensorboard import TensorBoard

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

CLIPS = 3  # of a shape that are shown

Drawing = Callable[[Confusion], "Figure"]
Size = tuple[float, float]  # inches


class Board:
    """Shows curves, the config, training clips and results in TensorBoard, if TENSORBOARD.ENABLE is True.

    Args:
        dataset: whose clips and class names are shown.
        model: whose weights are shown if TENSORBOARD.MODEL_VIS.ENABLE and .MODEL_WEIGHTS are True.
        resumed_at: see `TensorBoard`.
    """

    def __init__(self, cfg: CfgNode, dataset: Any, model: nn.Module | None = None, resumed_at: int | None = None):
        self._writer = TensorBoard.from_cfg(cfg, resumed_at)
        self._dataset, self._pack = dataset, PackPathways.from_cfg(cfg)
        self._names = shown_names(cfg, dataset) if self._writer.is_on else []
        self._drawings = _drawings(cfg, self._names) if self._writer.is_on else {}
        self._parameters = _chosen_parameters(cfg, model) if model is not None and self._writer.is_on else {}
        self._shows_clips, self._shown = self._writer.is_on and has_matplotlib(), set[tuple[int, int]]()

    def config(self, cfg: CfgNode, clips: int) -> None:
        """Show the config, with the keys that differ from the defaults first."""
        self._writer.add_text("config", config_text(cfg), clips)

    def figures(self, section: str, figures: Mapping[str, float], clips: int) -> None:
        """Add a point to the curve of each figure."""
        self._writer.add(section, figures, clips)

    def memory(self, used: Mapping[str, str], clips: int) -> None:
        """Add the memory in GiB, which logs have as text like 1.50G."""
        self._writer.add("memory", {f"{name}_gib": float(text.rstrip("G")) for name, text in used.items()}, clips)

    def is_new(self, shape: Shape) -> bool:
        """Return whether clips of this shape are still to be shown."""
        return self._shows_clips and (shape.frames, shape.crop) not in self._shown

    def clips(self, shape: Shape, batch: Mapping[str, Any], clips: int) -> None:
        """Show the first clips of the first batch of a shape, as the network receives them."""
        self._shown.add((shape.frames, shape.crop))
        first = {"clip": each(lambda clip: clip[:CLIPS], batch["clip"])}
        first |= {name: batch[name][:CLIPS] for name in ("label", "video", "bad", "erased") if name in batch}
        name = f"{shape.frames} frames x {shape.crop} px"
        try:
            seen = seen_clips(first, self._dataset, "train", self._pack, self._names)
        except UserError as error:
            logger.warning("TensorBoard has no clips of %s: %s", name, error)
            return
        title = f"{name}, {network_order(self._dataset, self._pack)} channels, after {clips:,} clips"
        self._writer.add_picture(f"clips/{name}", contact_sheet(title, seen), clips)

    def weights(self, clips: int) -> None:
        """Show histograms of the weights, and of the gradients of the last step."""
        gradients = {name: weight.grad for name, weight in self._parameters.items() if weight.grad is not None}
        self._writer.add_histograms("weights", self._parameters, clips)
        self._writer.add_histograms("gradients", gradients, clips)

    def results(self, section: str, scores: Scores, accuracies: Mapping[str, float], clips: int, protocol: str) -> None:
        """Add the accuracies of an evaluation or a test, and draw what the config asks for."""
        self._writer.add(section, accuracies, clips)
        if not self._drawings or scores.num_unlabeled or scores.labels.ndim == 2:
            return
        counts = confusion_matrix(*scores.decoded).numpy()
        confusion = Confusion(counts, names_or_numbers(self._names, len(counts)), protocol)
        for name, draw in self._drawings.items():
            self._writer.add_picture(f"{section}/{name}", figure_picture(draw(confusion)), clips)


def _drawings(cfg: CfgNode, names: Sequence[str]) -> dict[str, Drawing]:
    """Return the figures of an evaluation that a config asks for, by name."""
    node = cfg.TENSORBOARD
    asked = {
        "confusion": (node.CONFUSION_MATRIX, "CONFUSION_MATRIX", _draw_confusion),
        "predictions": (
            *(node.HISTOGRAM, "HISTOGRAM"),
            lambda confusion, size: draw_predicted_classes(confusion, node.HISTOGRAM.TOPK, size),
        ),
    }
    on = {name: rest for name, rest in asked.items() if rest[0].ENABLE}
    if on:
        require_matplotlib(", ".join(f"TENSORBOARD.{key}" for _, key, _ in on.values()))
    if on and cfg.DATA.MULTI_LABEL:
        logger.warning("TENSORBOARD: figures of classes (%s) need one label for each video", ", ".join(on))
        return {}
    known = names_or_numbers(names, cfg.MODEL.NUM_CLASSES)
    return {name: _drawing(section, f"TENSORBOARD.{key}", draw, known) for name, (section, key, draw) in on.items()}


def _draw_confusion(confusion: Confusion, size: Size) -> "Figure":
    figure = draw_confusion(confusion)
    figure.set_size_inches(*size)
    return figure


def _drawing(section: CfgNode, key: str, draw: Callable[[Confusion, Size], "Figure"], names: Sequence[str]) -> Drawing:
    """Return a drawing of the classes of SUBSET_PATH, or of all, in the size FIGSIZE (inches)."""
    if len(section.FIGSIZE) != 2:
        raise UserError(f"{key}.FIGSIZE: {section.FIGSIZE} must be [width, height] in inches")
    width, height = section.FIGSIZE
    subset = _subset(section.SUBSET_PATH, f"{key}.SUBSET_PATH", names)

    def drawn(confusion: Confusion) -> "Figure":
        counts, all_names = confusion.counts[np.ix_(subset, subset)], confusion.names
        return draw(Confusion(counts, [all_names[k] for k in subset], confusion.protocol), (width, height))

    return drawn


def _subset(path: str, key: str, names: Sequence[str]) -> list[int]:
    """Return the numbers of the classes that a file names, or of all."""
    if not path:
        return list(range(len(names)))
    wanted = list(read_class_names(path, key))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise UserError(f"{key}: {path} names {unknown[0]!r}, which is not a class of the data set; correct it")
    return [list(names).index(name) for name in wanted]


def _chosen_parameters(cfg: CfgNode, model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters whose histograms the config asks for, by name."""
    node, parameters = cfg.TENSORBOARD.MODEL_VIS, dict(model.named_parameters())
    if not (node.ENABLE and node.MODEL_WEIGHTS):
        return {}
    layers = [f"{layer}.".replace("/", ".") for layer in node.LAYER_LIST] or [""]
    chosen = {layer: [name for name in parameters if f"{name}.".startswith(layer)] for layer in layers}
    for layer, names in chosen.items():
        if not names:
            raise UserError(
                f"TENSORBOARD.MODEL_VIS.LAYER_LIST: {layer[:-1]!r} is not a layer of the model; names are such as "
                f"{next(iter(parameters))!r}"
            )
    return {name: parameters[name] for names in chosen.values() for name in names}
