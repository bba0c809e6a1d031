"""Small valid files of every kind that a command reads."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from pycocotools import mask as mask_utils

import seglight
from fuzzing.folds_cases import make_folds
from seglight.__main__ import main, run
from seglight.config.files import SHIPPED
from seglight.data.demo import generate
from seglight.errors import UserError

CLASSES = ['background', 'box', 'disc']

#: Trains in milliseconds.
SEGMENTOR: dict[str, Any] = {
    'type': 'EncoderDecoder',
    'backbone': {
        'type': 'ResNetV1c',
        'depth': 18,
        'base_channels': 4,
        'stem_channels': 4,
        'num_stages': 1,
        'strides': [1],
        'dilations': [1],
        'out_indices': [0],
    },
    'decode_head': {
        'type': 'FCNHead',
        'in_channels': 4,
        'in_index': 0,
        'channels': 8,
        'num_convs': 1,
        'loss_decode': {'type': 'CrossEntropyLoss', 'class_weight': [1.0, 1.0, 2.0]},
    },
    'test_cfg': {'mode': 'whole'},
}

MMSEG_CONFIG = """_base_ = ['base.py']
classes = 3
crop = (32, 32)
model = dict(
    type='EncoderDecoder', pretrained=None, backbone=dict(type='ResNetV1c', depth=18, num_stages=4),
    decode_head=dict(type='FCNHead', in_channels=512, in_index=3, channels=16, num_classes=classes),
    test_cfg=dict(mode='slide', crop_size=crop, stride=(16, 16)))
lr_config = dict(policy='poly', power=0.9, min_lr=1e-4 / 2, by_epoch=False)
total = sum([1, 2]) + 3 * classes
pipeline = [dict(type='Resize', img_scale=(64, 32 * k)) for k in [1, 2]]
"""


@dataclass(frozen=True)
class Corpus:
    """The folder of the files, and the contents of some of them.

    Attributes:
        root: the folder.
        checkpoint: the entries of `run/epoch_1.ckpt`.
        stored: the config in it.
        own: the config `own.yaml`.
        mmseg: the entries of `mmseg.pth`.
        soup: the entries of `soup.ckpt`, the average of that checkpoint with itself, exported as `soup.pth`.
        coco: the COCO file.
        predictor: of `run/epoch_1.ckpt`.
    """

    root: Path
    checkpoint: dict[str, Any]
    stored: dict[str, Any]
    own: dict[str, Any]
    mmseg: dict[str, Any]
    soup: dict[str, Any]
    coco: dict[str, Any]
    predictor: seglight.Predictor

    def read(self, name: str) -> bytes:
        """Return the contents of a file."""
        return (self.root / name).read_bytes()


def make_corpus(root: Path) -> Corpus:
    """Train a tiny model on generated images in a folder, and write one file of each kind next to it."""
    generate(root / 'data', seed=1, counts={'train': 2, 'val': 2, 'test': 2}, size=32)
    _write_masks(root / 'data/ann_dir')
    _write_config(root / 'own.yaml', root / 'data')
    with _working_in(root):
        _must('fit', '--config=own.yaml', '--work-dir=run')
        _must('export', 'run/epoch_1.ckpt', 'mmseg.pth')
        _must('soup', 'run/epoch_1.ckpt', 'run/epoch_1.ckpt', '--output=soup.ckpt')
        _must('export', 'soup.ckpt', 'soup.pth')
        _must('predict', '--ckpt=run/epoch_1.ckpt', '--input=data/img_dir/test', '--output=out', '--submission')
        make_folds(root, _must)
    (root / 'out/epoch_1.csv').rename(root / 'a.csv')
    (root / 'mmseg.py').write_text(MMSEG_CONFIG)
    (root / 'base.py').write_text("optimizer = dict(type='SGD', lr=0.01)\nmodel = dict(train_cfg=dict())\n")
    coco = _coco()
    (root / 'coco.json').write_text(json.dumps(coco))
    _write_images(root / 'images')
    _write_weights(root)
    checkpoint = torch.load(root / 'run/epoch_1.ckpt', weights_only=True)
    return Corpus(
        root,
        checkpoint,
        yaml.safe_load(checkpoint['config']),
        yaml.safe_load((root / 'own.yaml').read_text()),
        torch.load(root / 'mmseg.pth', weights_only=True),
        torch.load(root / 'soup.ckpt', weights_only=True),
        coco,
        seglight.load(root / 'run/epoch_1.ckpt'),
    )


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Change the working folder temporarily; `contextlib.chdir` needs Python 3.11."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _must(*argv: str) -> None:
    """Run a command silently; it must succeed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = run(argv)
    if status:
        raise RuntimeError(f'{argv} ended with {status}: {printed.getvalue()}')


def _write_masks(folder: Path) -> None:
    """Limit the generated masks to three labels."""
    for path in folder.rglob('*.png'):
        labels = np.zeros((32, 32), np.uint8)
        labels[8:20, 8:20], labels[20:, 20:] = 1, 2
        cv2.imwrite(str(path), labels)


def _write_config(path: Path, data: Path) -> None:
    """Write the config of a run of one epoch."""
    config = {
        '_base_': [str(SHIPPED / name) for name in ('schedules/sgd_poly.yaml', 'runtime.yaml')],
        'model': {'segmentor': SEGMENTOR},
        'data': {
            'root': str(data),
            'classes': CLASSES,
            'train_transforms': [
                {'type': 'HorizontalFlip', 'p': 0.5},
                {'type': 'RandomCrop', 'height': 16, 'width': 16},
            ],
            'batch_size': 2,
            'num_workers': 0,
        },
        'report': False,
        'trainer': {'max_epochs': 1, 'accelerator': 'cpu', 'log_every_n_steps': 1},
    }
    path.write_text(yaml.safe_dump(config))


def _coco() -> dict[str, Any]:
    """Return a COCO file of the generated images, with polygons and both kinds of run lengths."""
    images = [{'id': n, 'file_name': f'img_dir/train/{n:04}.jpg', 'height': 32, 'width': 32} for n in range(2)]
    polygon = [[4.0, 4.0, 20.5, 4.0, 20.0, 20.0]]
    runs = {'size': [32, 32], 'counts': [100, 50, 874]}
    mask = np.zeros((32, 32), np.uint8, order='F')
    mask[10:20, 4:9] = 1
    text = {'size': [32, 32], 'counts': mask_utils.encode(mask)['counts'].decode()}
    return {
        'images': images,
        'categories': [{'id': 1, 'name': 'box'}, {'id': 2, 'name': 'disc'}],
        'annotations': [
            {'id': n, 'image_id': n % 2, 'category_id': 1 + n % 2, 'segmentation': each, 'area': 9, 'iscrowd': 0}
            for n, each in enumerate([polygon, runs, polygon, text])
        ],
    }


def _write_images(folder: Path) -> None:
    """Write an image in each format that OpenCV encodes, and masks of several kinds."""
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for suffix in ('.jpg', '.png', '.bmp', '.tif', '.webp'):
        cv2.imwrite(str(folder / f'colour{suffix}'), image)
    cv2.imwrite(str(folder.parent / 'mask.png'), image[..., 0] % len(CLASSES))
    for name, pixels in (('grey', image[..., 0]), ('deep', image[..., 0].astype(np.uint16) * 200)):
        for suffix in ('.png', '.tif'):
            cv2.imwrite(str(folder / f'{name}{suffix}'), pixels)


def _write_weights(root: Path) -> None:
    """Write the weights of a small Swin, of one block, in the forms that `convert` takes."""
    from safetensors.torch import save_file

    block = 'layers.0.blocks.0'
    weights = {
        'patch_embed.proj.weight': torch.ones(4, 3, 4, 4),
        'patch_embed.norm.weight': torch.ones(4),
        f'{block}.attn.relative_position_bias_table': torch.ones(9, 1),
        f'{block}.attn.relative_position_index': torch.zeros(4, 4, dtype=torch.int64),
        f'{block}.attn.qkv.weight': torch.ones(12, 4),
        f'{block}.mlp.fc1.weight': torch.ones(16, 4),
        'layers.0.downsample.reduction.weight': torch.ones(8, 16),
        'layers.0.downsample.norm.weight': torch.ones(16),
        'layers.1.blocks.0.norm1.weight': torch.ones(8),
        'head.bias': torch.zeros(2),
    }
    torch.save({'state_dict': weights}, root / 'weights.pth')
    save_file(weights, root / 'weights.safetensors')
    arrays: dict[str, Any] = {name: value.numpy() for name, value in weights.items()}
    np.savez(root / 'weights.npz', **arrays)


def command(*argv: str) -> Callable[[], int]:
    """Return a function that runs a command in this process like a shell; it may raise SystemExit."""

    def call() -> int:
        sys.argv = ['seglight', *argv]
        main()
        return 0

    return call


def from_python(call: Callable[[], object]) -> Callable[[], int]:
    """Return a function that makes a call of the Python interface, whose errors are the user's to read."""

    def checked() -> int:
        try:
            call()
        except UserError as error:
            print(error, file=sys.stderr)
            return 2
        return 0

    return checked
