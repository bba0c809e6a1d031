"""Weights sharded over two processes on the CPU (gloo) train as whole ones, and checkpoints hold whole ones."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from compare_runs import differences
from conftest import Result, write_tiny_config
from mmseg.models import build_segmentor
from PIL import Image
from torch import nn
from torch.utils._pytree import tree_leaves

from seglight.models.sharding import blocks, sharded

Run = Callable[..., Result]

VIT = {
    'type': 'VisionTransformer',
    'img_size': 32,
    'patch_size': 8,
    'embed_dims': 16,
    'num_layers': 3,
    'num_heads': 2,
    'out_indices': [2],
}


def test_the_blocks_are_the_layers_that_a_backbone_repeats() -> None:
    vit = build_segmentor({'type': 'EncoderDecoder', 'backbone': VIT, 'decode_head': HEAD}).backbone
    assert blocks(vit) == list(vit.layers)[::-1]
    resnet = {'type': 'ResNetV1c', 'depth': 18}
    head = {**HEAD, 'in_channels': 512, 'in_index': 3}
    net = build_segmentor({'type': 'EncoderDecoder', 'backbone': resnet, 'decode_head': head}).backbone
    assert {type(block).__name__ for block in blocks(net)} == {'BasicBlock'}
    assert len(blocks(net)) == 8
    assert blocks(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))) == []


def test_what_is_not_sharded_stays_as_it_is() -> None:
    value = torch.ones(3)
    assert sharded(value, torch.ones(3)) is value
    assert sharded('a', None) == 'a'


HEAD = {'type': 'FCNHead', 'in_channels': 16, 'channels': 8, 'num_convs': 1, 'num_classes': 3, 'in_index': 0}


def together(*words: str) -> 'subprocess.CompletedProcess[str]':
    """Run a command in two processes."""
    command = [sys.executable, '-m', 'seglight', *words, '--trainer.devices=2']
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def write_config(folder: Path, data_root: Path) -> str:
    """Let the tiny config train a transformer, and normalise without statistics of a batch."""
    config = write_tiny_config(folder / 'tiny.yaml', data_root)
    values = yaml.safe_load(config.read_text())
    norm = {'type': 'GN', 'num_groups': 2}
    head = {**HEAD, 'norm_cfg': norm, 'dropout_ratio': 0}
    values['model']['segmentor'] = {'type': 'EncoderDecoder', 'backbone': VIT, 'decode_head': head}
    values['model']['optimizer'] = {'_delete_': True, 'type': 'AdamW', 'lr': 0.001}
    values['data'] |= {'batch_size': 1}
    values['trainer'] |= {'max_epochs': 2, 'gradient_clip_val': 1.0}
    values['checkpoint'] = {'unit': 'iter', 'interval': 1, 'max_keep_ckpts': -1}
    config.write_text(yaml.safe_dump(values))
    return str(config)


def rows(folder: str, key: str) -> list[float]:
    with Path(folder, 'metrics.csv').open() as file:
        return [float(row[key]) for row in csv.DictReader(file) if row[key]]


@pytest.mark.slow
def test_shards_train_what_whole_weights_train_and_resume_exactly(data_root: Path, workspace: Path, run: Run) -> None:
    command = ['fit', '--config', write_config(workspace, data_root), '--work-dir']
    for name, strategy in (('whole', 'ddp'), ('shards', 'fsdp2')):
        done = together(*command, name, f'--trainer.strategy={strategy}')
        assert done.returncode == 0, done.stderr
        assert name == 'whole' or 'arning' not in done.stderr
    files = [torch.load(f'{name}/last.ckpt', weights_only=True) for name in ('whole', 'shards')]
    assert rows('shards', 'train/loss') == pytest.approx(rows('whole', 'train/loss'), rel=1e-5)
    assert rows('shards', 'val/mIoU') == rows('whole', 'val/mIoU')
    assert files[1]['state_dict'].keys() == files[0]['state_dict'].keys()
    for kind in ('state_dict', 'optimizer_states'):
        torch.testing.assert_close(plain(files[1][kind]), plain(files[0][kind]), rtol=1e-3, atol=1e-6)

    Path('again').mkdir()
    for file in ('config.yaml', 'environment.yaml', 'metrics.csv', 'iter_1.ckpt', 'iter_2.ckpt', 'iter_3.ckpt'):
        shutil.copy(Path('shards') / file, 'again')
    resumed = together(*command, 'again', '--trainer.strategy=fsdp2', '--auto-resume')
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count('Resuming from again/iter_3.ckpt') == 1
    assert differences(Path('shards'), Path('again')) == []

    alone = run('validate', '--ckpt', 'shards/last.ckpt', '--trainer.strategy=auto', '--trainer.devices=1')
    assert alone.status == 0, alone.err
    figure = next(line.split()[1] for line in alone.out.splitlines() if line.split()[0] == 'mIoU')
    assert float(figure) == pytest.approx(100 * rows('shards', 'val/mIoU')[-1], abs=0.006)


@pytest.mark.slow
def test_processes_may_validate_and_predict_different_numbers_of_images(
    own_data: Path, workspace: Path, run: Run
) -> None:
    for split, size in (('val', (48, 40)), ('test', (40, 64))):
        for folder in ('img_dir', 'ann_dir')[: 1 if split == 'test' else 2]:
            first, *_, last = sorted((own_data / folder / split).iterdir())
            with Image.open(first) as image:
                image.resize(size, Image.Resampling.NEAREST).save(first)
            last.unlink()
    command = ['--trainer.strategy=fsdp2', '--data.batch_size=2']
    done = together('fit', '--config', write_config(workspace, own_data), '--work-dir', 'shards', *command)
    assert done.returncode == 0, done.stderr
    done = together('predict', '--ckpt', 'shards/last.ckpt', '--output', 'out', *command)
    assert done.returncode == 0, done.stderr
    assert len(list(Path('out/masks').iterdir())) == len(list((own_data / 'img_dir/test').iterdir()))
    alone = run('validate', '--ckpt', 'shards/last.ckpt', '--trainer.strategy=auto', '--trainer.devices=1')
    figure = next(line.split()[1] for line in alone.out.splitlines() if line.split()[0] == 'mIoU')
    assert float(figure) == pytest.approx(100 * rows('shards', 'val/mIoU')[-1], abs=0.006)


def plain(state: Any) -> list[torch.Tensor]:
    """Return the tensors of nested lists and dicts, in their order."""
    return [value for value in tree_leaves(state) if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize(
    ('flag', 'line'),
    [
        (
            '--trainer.precision=64-true',
            'trainer.precision must be one of 32-true, bf16-mixed, bf16-true with fsdp2, got',
        ),
        ('--model.channels_last=true', 'model.channels_last must be false with fsdp2'),
    ],
)
def test_what_cannot_be_sharded_is_one_line(flag: str, line: str, data_root: Path, workspace: Path, run: Run) -> None:
    result = run('fit', '--config', write_config(workspace, data_root), '--trainer.strategy=fsdp2', flag)
    assert result.status == 2
    assert line in result.err
