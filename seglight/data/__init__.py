"""Images and masks, from files to batches; independent of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seglight.data.datamodule import SegmentationDataModule

__all__ = ['SegmentationDataModule']


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from seglight.data.datamodule import SegmentationDataModule  # late: reading masks needs no torch

    return SegmentationDataModule
