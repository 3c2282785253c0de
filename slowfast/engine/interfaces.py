"""What the engine needs of the objects of other packages."""

from typing import Any, Protocol


class SizedDataset(Protocol):
    """A data set whose size is known. Its items are samples as `slowfast.datasets.base.VideoDataset` describes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> dict[str, Any]: ...
