"""The validation images of a run, on which an exported file is proved and calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from seglight.array_types import Size
from seglight.batch import Item
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.data import data_of
from seglight.errors import UserError, one_line
from seglight.models.inference.views import resized


class Items:
    """The validation images of a run.

    Args:
        checkpoint: of the run.
        windows: the `test_cfg` of its segmentor.
        root: folder of its data, if it has moved.

    Attributes:
        missing: why there are none, empty if there are some.
    """

    def __init__(self, checkpoint: Checkpoint, windows: Mapping[str, Any], root: str | Path | None) -> None:
        self.missing = ''
        self.windows = windows
        try:
            self._dataset: Any = _validation(checkpoint, root)
        except UserError as error:
            self.missing, self._dataset = one_line(error), []

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self._dataset)

    def items(self, limit: int) -> list[Item]:
        """Return up to `limit` images, evenly spaced over the data."""
        count = min(limit, self.count)
        return [self._dataset[index * self.count // count] for index in range(count)]

    def pieces(self, limit: int, size: Size | None) -> list[Tensor]:
        """Return what the segmentor sees of up to `limit` images, uint8 `[1, 3, h, w]`.

        Args:
            limit: maximum number of images.
            size: height and width to resize them to; if None, the whole image, or its first window.
        """
        if size is not None:
            return [resized(item['image'][None], size) for item in self.items(limit)]
        height, width = self.windows['crop_size'] if self.windows.get('mode') == 'slide' else (None, None)
        return [item['image'][None, :, :height, :width] for item in self.items(limit)]


def _validation(checkpoint: Checkpoint, root: str | Path | None) -> Any:
    """Return the data set for the validation of a checkpoint.

    Raises:
        UserError: if its settings or its files are missing.
    """
    needed = 'the validation data, on which the file is proved'
    data = data_of(checkpoint, needed, 'prediction', root, [('data', 'test')], num_workers=0)
    data.prepare_data()
    data.setup('validate')
    return data.datasets['val']
