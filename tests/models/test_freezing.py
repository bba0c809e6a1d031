"""Frozen parts keep their weights and their statistics."""

import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY_SEGMENTOR, random_batch
from torch.utils.data import DataLoader

from seglight.errors import ConfigError
from seglight.models import Segmentor
from seglight.models.freezing import freeze
from seglight.models.recipe import Recipe


def trained(folder: Path, frozen: list[str], **backbone: object) -> tuple[Segmentor, dict[str, torch.Tensor]]:
    """A segmentor after two epochs of one step each with a validation in between, and its earlier state."""
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['backbone'].update(backbone)
    module = Segmentor(model, list('abcde'), frozen=frozen)
    before = copy.deepcopy(module.state_dict())
    batches: Any = [random_batch()]
    loader: DataLoader[Any] = DataLoader(batches, collate_fn=lambda items: items[0])
    pl.Trainer(
        accelerator='cpu', logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, max_epochs=2, enable_checkpointing=False,
    ).fit(module, loader, loader)  # fmt: skip
    return module, before


def changed(module: Segmentor, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize('frozen', [['backbone'], ['backbone.*', '*.conv_seg.bias'], []])
def test_only_parts_that_are_not_frozen_change(tmp_path: Path, frozen: list[str]) -> None:
    module, before = trained(tmp_path, frozen)
    names = changed(module, before)
    in_backbone = {name for name in names if name.startswith('segmentor.backbone.')}
    assert bool(in_backbone) == (not frozen)
    assert any(name.endswith('running_mean') for name in names)
    assert 'segmentor.decode_head.conv_seg.weight' in names
    assert ('segmentor.decode_head.conv_seg.bias' in names) == ('*.conv_seg.bias' not in frozen)
    assert module.segmentor.backbone.layer1[0].bn1.training == (not frozen)


def test_parts_that_mmsegs_backbones_freeze_stay_frozen(tmp_path: Path) -> None:
    module, before = trained(tmp_path, [], norm_eval=True, frozen_stages=1)
    names = changed(module, before)
    assert not [name for name in names if 'backbone' in name and 'running' in name]
    assert not [name for name in names if 'backbone.layer1' in name]
    assert [name for name in names if 'backbone.layer2' in name]


def test_a_pattern_without_a_part_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no part is named 'backbon'; did you mean 'backbone'"):
        Segmentor(TINY_SEGMENTOR, list('abcde'), frozen=['backbon'])


@pytest.mark.parametrize('patterns', [['*'], ['backbone', '*_head']])
def test_a_model_with_nothing_to_train_is_refused(patterns: list[str]) -> None:
    with pytest.raises(ConfigError, match=r'model\.frozen names every part: nothing is left to train'):
        freeze(Recipe(TINY_SEGMENTOR).for_data(5).build(), patterns)
