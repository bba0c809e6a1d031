"""Class weights from data with an unreadable mask."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import TINY_SEGMENTOR
from PIL import Image

from seglight.callbacks import BalancedClassWeights
from seglight.data import SegmentationDataModule
from seglight.models import Segmentor

CLASSES = [f'class {index}' for index in range(11)]


def test_an_unreadable_mask_is_skipped(own_data: Path) -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode']['class_weight'] = 'balanced'
    module = Segmentor(model, CLASSES)
    data = SegmentationDataModule(CLASSES, root=str(own_data), on_bad_sample='skip', num_workers=0)
    data.setup('fit')
    first, *others = sorted((own_data / 'ann_dir/train').iterdir())
    first.write_bytes(first.read_bytes()[:60])  # only now: of a large data set not every mask is checked before
    trainer: Any = SimpleNamespace(datamodule=data, is_global_zero=False)
    BalancedClassWeights().setup(trainer, module, 'fit')
    labels = np.concatenate([np.array(Image.open(path)).ravel() for path in others])
    counts = np.bincount(labels, minlength=256)[: len(CLASSES)]
    expected = counts.sum() / ((counts > 0).sum() * np.maximum(counts, 1)) * (counts > 0)
    assert module.segmentor.decode_head.loss_decode.class_weight == pytest.approx(list(expected))
