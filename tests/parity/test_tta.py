"""Test-time augmentation and sliding windows, compared with mmseg's own `aug_test` and `slide_inference`."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmseg.datasets.pipelines import Compose
from parity.architectures import ARCHITECTURES
from PIL import Image

from seglight.batch import Batch
from seglight.models import Segmentor
from seglight.models.inference.logits import image_logits
from seglight.models.inference.options import Options
from seglight.models.inference.views import Views, make_views

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
SLIDE = {'mode': 'slide', 'crop_size': (48, 48), 'stride': (32, 32)}


def segmentor(name: str, **test_cfg: Any) -> Segmentor:
    torch.manual_seed(3)
    model = {**copy.deepcopy(ARCHITECTURES[name]), 'train_cfg': {}, 'test_cfg': test_cfg or {'mode': 'whole'}}
    module = Segmentor(model, list('abcde')).eval()
    head: Any = module.segmentor.decode_head
    last: Any = (head[-1] if isinstance(head, torch.nn.ModuleList) else head).conv_seg
    torch.nn.init.normal_(last.weight)
    with torch.no_grad():  # so that each class wins somewhere
        logits = module.segmentor.encode_decode(torch.randn(1, 3, 64, 64), [{}])
        last.bias -= logits.mean((0, 2, 3))
    return module


@pytest.fixture(scope='module')
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coloured blobs of 90x72 pixels."""
    path = tmp_path_factory.mktemp('photo') / 'photo.png'
    blobs = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(blobs).resize((90, 72), Image.Resampling.BICUBIC).save(path)
    return path


def mmsegs_views(path: Path, ratios: list[float], directions: list[str]) -> dict[str, list[Any]]:
    """Return what the test pipeline of mmseg's configs makes of an image."""
    pipeline = [
        {'type': 'LoadImageFromFile'},
        {
            'type': 'MultiScaleFlipAug',
            'img_scale': None,
            'img_ratios': ratios,
            'flip': bool(directions),
            'flip_direction': directions or 'horizontal',
            'transforms': [
                {'type': 'Resize', 'keep_ratio': True},
                {'type': 'RandomFlip'},
                {'type': 'Normalize', 'mean': MEAN, 'std': STD, 'to_rgb': True},
                {'type': 'ImageToTensor', 'keys': ['img']},
                {'type': 'Collect', 'keys': ['img']},
            ],
        },
    ]
    made: dict[str, list[Any]] = Compose(pipeline)({'img_info': {'filename': str(path)}, 'img_prefix': None})
    return {'imgs': [img[None] for img in made['img']], 'img_metas': [[meta.data] for meta in made['img_metas']]}


def batch(path: Path) -> Batch:
    image = torch.from_numpy(np.asarray(Image.open(path)).transpose(2, 0, 1).copy())[None]
    height, width = image.shape[2:]
    size = (height, width)
    return {'image': image, 'meta': [{'path': str(path), 'name': path.stem, 'original_size': size, 'size': size}]}


@pytest.mark.parametrize('test_cfg', [{}, SLIDE], ids=['whole', 'slide'])
@pytest.mark.parametrize('name', ARCHITECTURES)
def test_masks_equal_those_of_mmsegs_aug_test(name: str, test_cfg: dict[str, Any], photo: Path) -> None:
    module = segmentor(name, **test_cfg)
    scales = [0.75, 1.0, 1.5]
    views = Views(make_views(scales, ['horizontal'], [0]))
    with torch.inference_mode():
        expected = module.segmentor.aug_test(**mmsegs_views(photo, scales, ['horizontal']))[0]
        ours = module.predict(batch(photo), Options(views))[0].mask
    assert (ours.numpy() == expected).all()
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize('name', ARCHITECTURES)
def test_logits_equal_those_of_mmsegs_slide_inference(name: str) -> None:
    module = segmentor(name, **SLIDE)
    image = torch.randn(2, 3, 90, 131)
    meta = [{'ori_shape': (90, 131, 3), 'img_shape': (90, 131, 3), 'flip': False}] * 2
    with torch.inference_mode():
        expected = module.segmentor.slide_inference(image, meta, rescale=True)
        ours = image_logits(module.segmentor, image, (90, 131))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    assert (ours.argmax(1) == expected.argmax(1)).all()
