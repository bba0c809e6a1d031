"""Class weights from the masks, in programs with a trainer of their own."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_SEGMENTOR, random_batch
from PIL import Image
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from seglight.data import SegmentationDataModule
from seglight.errors import UsageError
from seglight.models import Segmentor

CLASSES = [f'class {index}' for index in range(11)]


def balanced() -> Segmentor:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode']['class_weight'] = 'balanced'
    return Segmentor(model, CLASSES)


def trainer() -> Trainer:
    return Trainer(fast_dev_run=1, accelerator='cpu', enable_progress_bar=False)


def expected(masks: list[Path]) -> list[float]:
    labels = np.concatenate([np.array(Image.open(path)).ravel() for path in masks])
    counts = np.bincount(labels, minlength=256)[: len(CLASSES)]
    return list(counts.sum() / ((counts > 0).sum() * np.maximum(counts, 1)) * (counts > 0))


def test_any_trainer_trains_with_the_weights_of_the_masks(
    data_root: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = balanced()
    trainer().fit(module, SegmentationDataModule(CLASSES, root=str(data_root), batch_size=2, num_workers=0))
    weights = expected(sorted((data_root / 'ann_dir/train').iterdir()))
    assert module.segmentor.decode_head.loss_decode.class_weight == pytest.approx(weights)
    assert f'class 0 {weights[0]:.2f}, class 1 {weights[1]:.2f}' in capsys.readouterr().out


def test_an_unreadable_mask_is_skipped(own_data: Path) -> None:
    data = SegmentationDataModule(CLASSES, root=str(own_data), on_bad_sample='skip', num_workers=0)
    data.setup('fit')
    first, *others = sorted((own_data / 'ann_dir/train').iterdir())
    first.write_bytes(first.read_bytes()[:60])  # only now: of a large data set not every mask is checked before
    assert data.class_pixels().sum() == sum((np.array(Image.open(path)) < len(CLASSES)).sum() for path in others)


def test_data_without_masks_to_count_are_refused(workspace: Path) -> None:
    batches: Any = [random_batch()]
    with pytest.raises(UsageError, match='class_weight: balanced needs a SegmentationDataModule'):
        trainer().fit(balanced(), DataLoader(batches, batch_size=None))
