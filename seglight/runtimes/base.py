"""What the runtimes of all formats have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from torch import Tensor

from seglight.errors import UsageError, UserError, one_line
from seglight.machine_errors import cure_of_machine
from seglight.runtimes.metadata import Metadata


class Runtime(ABC):
    """An exported file, loaded when it first runs.

    Args:
        path: the file.
        metadata: its checked metadata.
    """

    def __init__(self, path: Path, metadata: Metadata) -> None:
        self.path = path
        self.metadata = metadata
        self._loaded: dict[str, Any] = {}  # the file in its runtime, for each kind of device

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what is loaded: a copy, or another process, loads the file itself."""
        return {**self.__dict__, '_loaded': {}}

    def __call__(self, image: Tensor) -> Tensor:
        """Run the file.

        Args:
            image: uint8 `[B, 3, H, W]`, RGB.

        Returns:
            float32 `[B, C, H, W]`, or uint8 `[B, H, W]` if the file returns masks; on the device of the images.

        Raises:
            UsageError: if it does not take images of this size, or its output has another shape.
            ConfigError: if its runtime is not installed.
            CheckpointError: if it is damaged.
        """
        size = [image.shape[2], image.shape[3]]
        self._check_size(size)
        try:
            output = self.run(image)
        except UserError:  # it could not be loaded, which is no fault of the images
            raise
        except Exception as error:  # each runtime has errors of its own
            if cure_of_machine(error):
                raise
            raise UsageError(f'{self.path} cannot run on images of {_text(size)}: {one_line(error)[:300]}') from error
        channels = [self.metadata.channels] if self.metadata.output == 'logits' else []
        expected = [len(image), *channels, *size]
        if list(output.shape) != expected:
            raise UsageError(
                f'{self.path} cannot run on images of {_text(size)}: its output is {list(output.shape)} instead of '
                f'{expected}'
            )
        return output

    @abstractmethod
    def run(self, image: Tensor) -> Tensor:
        """Run the file on images of a size that it takes; see `__call__`."""

    def _check_size(self, size: list[int]) -> None:
        only, largest = self.metadata.size, self.metadata.largest
        if only and size != only:
            raise UsageError(
                f'{self.path} takes only images of {_text(only)}, got {_text(size)}: resize them '
                '(data.val_transforms), or export without --size'
            )
        if largest and (size[0] > largest[0] or size[1] > largest[1]):
            raise UsageError(f'{self.path} takes images up to {_text(largest)}, got {_text(size)}')


def _text(size: list[int]) -> str:
    """Return a size as text, width before height."""
    return f'{size[1]}x{size[0]}'
