"""Exported models, which their own runtimes run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import torch
from mmseg.models.builder import SEGMENTORS
from torch import Tensor, nn

from seglight.errors import CheckpointError, UsageError
from seglight.models.adapters.base import Adapter
from seglight.runtimes.opening import open_exported


@SEGMENTORS.register_module()
class ExportedSegmentor(Adapter):
    """A file of `seglight export`; it takes pixels from 0 to 255, and normalises and pads them itself.

    Args:
        path: the file.
        trust: whether it is your own; see `seglight.runtimes.opening.open_exported`.
        num_classes: set from the data.
        ignore_index: set from the data.
        train_cfg: has no effect.
        test_cfg: as for mmseg's segmentors; the file predicts one window at a time.

    Raises:
        CheckpointError: if the file cannot be used.
    """

    def __init__(
        self,
        path: str,
        trust: bool = False,
        num_classes: int = 2,
        ignore_index: int = 255,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
    ) -> None:
        runtime = open_exported(Path(path), trust)
        super().__init__(nn.Identity(), num_classes, None, ignore_index, train_cfg, test_cfg)
        self.runtime, metadata = runtime, runtime.metadata
        if metadata.output != 'logits':
            raise CheckpointError(
                f'{path} returns masks, but seglight needs logits: export it without --output-kind mask'
            )
        if len(metadata.classes) != num_classes:
            raise CheckpointError(f'{path} has {len(metadata.classes)} classes, but data.classes has {num_classes}')
        self.out_channels = metadata.channels
        self.align_corners = metadata.align_corners
        self.add_module('decode_head', _Threshold(metadata.threshold))

    def encode_decode(self, img: Tensor, img_metas: Any) -> Tensor:
        """Return the logits at the size of the images.

        Args:
            img: pixels from 0 to 255, float `[B, 3, H, W]`.
            img_metas: has no effect.

        Returns:
            float32 `[B, C, H, W]`.
        """
        del img_metas
        return self.runtime(img.to(torch.uint8))

    def forward_train(self, img: Tensor, img_metas: Any, gt_semantic_seg: Tensor) -> NoReturn:
        """Refuse to train.

        Raises:
            UsageError: always.
        """
        del img, img_metas, gt_semantic_seg
        raise UsageError(f'{self.runtime.path} is an exported model, which cannot be trained')


class _Threshold(nn.Module):
    """Stands where mmseg's binary heads have their threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
