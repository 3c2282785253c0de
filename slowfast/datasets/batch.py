"""A batch of samples: a dict that unpacks as a published batch does.

Legend: N videos, V views of a video, T frames, H x W pixels, C channels.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import default_collate

from slowfast.datasets.pathways import PackPathways, flatten_views
from slowfast.datasets.slots import Slots
from slowfast.errors import UserError

OF_EACH_CLIP = ("clip", "erased")  # what each of several clips of a video has for itself
CLIP_AXES = 4  # T x H x W x C


class Batch(dict):
    """The samples of a batch by name, as `construct_loader` describes them.

    In a loop of published code it unpacks:

        for inputs, labels, index, time, meta in loader:

    `inputs` is the list of pathways, float N x C x T x H x W and normalized. Batches for "test" give N * V clips, with
    the label of their video and `index` = V * video + view. `time` is zeros and `meta` is empty. All are on the CPU.
    Therefore iteration does not give the keys: use `batch.keys()`.

    Args:
        samples: by name.
        pack: maps the clips to the input of a model.
        has_views: whether the clips have an axis of views.
    """

    def __init__(self, samples: dict[str, Any], pack: PackPathways, has_views: bool = False):
        super().__init__(samples)
        self.pack, self.has_views = pack, has_views

    def __iter__(self) -> Iterator[Any]:
        clips, labels, index = self["clip"], self["label"], torch.as_tensor(self["video"])
        if self.has_views:
            clips, views = flatten_views(clips)
            labels = labels.repeat_interleave(views, dim=0)
            index = index.repeat_interleave(views) * views + torch.arange(views).repeat(len(index))
        return iter((self.pack(clips, self.get("erased")), labels, index, torch.zeros_like(index), {}))


class Collate:
    """Callable from samples to a batch.

    Args:
        num_clips: of every sample, where there are more than one; they follow each other.
        slots: where a worker writes the clips.
    """

    def __init__(self, pack: PackPathways, has_views: bool, num_clips: int = 1, slots: Slots | None = None):
        self.pack, self.has_views, self.num_clips, self.slots = pack, has_views, num_clips, slots

    def __call__(self, samples: list[dict]) -> Batch:
        if self.num_clips > 1:
            samples = [clip for sample in samples for clip in clips_of(sample, self.num_clips)]
        try:
            clips = [sample["clip"] for sample in samples if "clip" in sample]
            stored = self.slots.store(clips) if self.slots and clips else None
            if stored:
                samples = [sample | {"clip": 0} for sample in samples]
            return Batch(default_collate(samples) | ({"clip": stored} if stored else {}), self.pack, self.has_views)
        except RuntimeError as error:
            if "equal size" not in str(error):
                raise
            raise UserError(f"the clips or labels of a batch differ in shape, give all the same: {error}") from None


def clips_of(sample: dict, count: int) -> list[dict]:
    """Return the `count` clips of a video as samples of one clip, with the label of their video."""
    shape = tuple(getattr(sample["clip"], "shape", ()))
    if shape[:1] != (count,) or len(shape) != CLIP_AXES + 1:
        raise UserError(
            f"AUG.NUM_SAMPLE and DATA.TRAIN_CROP_NUM_SPATIAL ask for {count} clips of a video, and the data set gives "
            f"{shape or 'pathways'}: return n x T x H x W x C, or set both keys to 1"
        )
    own = {name: sample[name] for name in OF_EACH_CLIP if name in sample}
    return [{**sample, **{name: value[i] for name, value in own.items()}} for i in range(count)]
