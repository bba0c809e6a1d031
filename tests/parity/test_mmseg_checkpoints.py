"""Checkpoints of mmseg come in and go out, and both sides predict the same masks from them."""

import copy
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import pytest
import torch
import yaml
from conftest import TINY_SEGMENTOR, Result
from mmcv.cnn.utils import revert_sync_batchnorm
from mmcv.runner import save_checkpoint
from mmseg.apis import inference_segmentor, init_segmentor
from mmseg.core.evaluation import mean_iou
from PIL import Image

import seglight
from seglight.config.settings import merge
from seglight.errors import collected_warnings

Run = Callable[..., Result]
CLASSES = [f'class {index}' for index in range(11)]
PALETTE = [[index, 100, 200 - index] for index in range(11)]
HEADS = {name: {**TINY_SEGMENTOR[name], 'num_classes': 11} for name in ('decode_head', 'auxiliary_head')}
#: A config as mmseg's users have it: a normalisation, and a size at which the model is tested.
NORMALIZE = {'type': 'Normalize', 'mean': [100.0, 110.0, 120.0], 'std': [50.0, 60.0, 70.0], 'to_rgb': True}
TEST: list[dict[str, Any]] = [
    {'type': 'LoadImageFromFile'},
    {
        'type': 'MultiScaleFlipAug',
        'img_scale': (96, 48),
        'flip': False,
        'transforms': [
            {'type': 'Resize', 'keep_ratio': True},
            {'type': 'RandomFlip'},
            NORMALIZE,
            {'type': 'ImageToTensor', 'keys': ['img']},
            {'type': 'Collect', 'keys': ['img']},
        ],
    },
]
CONFIG: dict[str, Any] = {
    'model': {**TINY_SEGMENTOR, **HEADS, 'pretrained': 'open-mmlab://resnet18_v1c'},
    'train_pipeline': [{'type': 'LoadImageFromFile'}, NORMALIZE],
    'data': {'test': {'type': 'CityscapesDataset', 'pipeline': TEST}},
    'optimizer': {'type': 'SGD', 'lr': 0.01, 'paramwise_cfg': {'custom_keys': {'a.b': {'lr_mult': 0.1}}}},
}
SLIDE = {'mode': 'slide', 'crop_size': (32, 32), 'stride': (24, 24)}


def segmentor_of_mmseg(config: dict[str, Any]) -> Any:
    """Build with mmseg itself, with the statistics of some images, so that all classes are predicted."""
    torch.manual_seed(0)
    segmentor = revert_sync_batchnorm(init_segmentor(mmcv.Config(config), device='cpu')).train()
    torch.nn.init.normal_(segmentor.decode_head.conv_seg.weight)
    with torch.no_grad():
        for _ in range(30):
            image = torch.nn.functional.interpolate(torch.randn(8, 3, 10, 10), size=48, mode='bicubic')
            segmentor.encode_decode(image, None)
    return segmentor.eval()


def save(segmentor: torch.nn.Module, path: str, settings: dict[str, Any], **meta: Any) -> None:
    """Write a checkpoint as mmseg's runner does, with numpy's scalars in the messages of its hooks."""
    optimizer = torch.optim.SGD(segmentor.parameters(), lr=0.01, momentum=0.9)
    hooks = {'hook_msgs': {'best_score': np.float64(0.5), 'last_ckpt': path}}
    known = {'CLASSES': tuple(CLASSES), 'PALETTE': np.array(PALETTE), 'config': mmcv.Config(settings).pretty_text}
    save_checkpoint(segmentor, path, optimizer, {**known, **hooks, 'epoch': 1, 'iter': 80, **meta})


@pytest.fixture
def images(workspace: Path) -> list[Path]:
    """Images of three shapes, in the layout of a data set."""
    rng = np.random.default_rng(0)
    paths = []
    for name, size in {'wide': (90, 50), 'high': (40, 75), 'small': (33, 33)}.items():
        path = workspace / 'own' / 'img_dir' / 'test' / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC).save(
            path
        )
        paths.append(path)
    return paths


def masks(folder: Path | str, images: list[Path]) -> list[np.ndarray]:
    return [np.array(Image.open(Path(folder) / 'masks' / f'{path.stem}.png')) for path in images]


@pytest.mark.parametrize('test_cfg', [{'mode': 'whole'}, SLIDE], ids=['whole', 'slide'])
def test_predict_takes_a_checkpoint_of_mmseg(test_cfg: dict[str, Any], images: list[Path], run: Run) -> None:
    config = {**CONFIG, 'model': {**CONFIG['model'], 'test_cfg': test_cfg}}
    segmentor = segmentor_of_mmseg(config)
    save(segmentor, 'mm.pth', config)
    result = run('predict', '--ckpt', 'mm.pth', '--data.root', 'own', '--output', 'out')
    assert result.status == 0, result.err
    expected = [inference_segmentor(segmentor, str(path))[0] for path in images]
    assert len(np.unique(np.concatenate([mask.ravel() for mask in expected]))) > 1
    for mask, other in zip(masks('out', images), expected, strict=True):
        np.testing.assert_array_equal(mask, other)
    assert (Image.open('out/masks/wide.png').getpalette() or [])[: 3 * 11] == [
        channel for colour in PALETTE for channel in colour
    ]


@pytest.mark.parametrize('name', ['mm.pth', 'mm.safetensors', pytest.param('mm.onnx', marks=pytest.mark.extras)])
def test_programs_and_exports_take_a_checkpoint_of_mmseg(name: str, images: list[Path], run: Run) -> None:
    segmentor = segmentor_of_mmseg(CONFIG)
    save(segmentor, 'mm.pth', CONFIG)
    if name != 'mm.pth':
        result = run('export', 'mm.pth', name)
        assert result.status == 0, result.err
    paths = [str(path) for path in images]
    predictor = seglight.load(name, 'cpu')
    assert (predictor.classes, predictor.palette) == (CLASSES, PALETTE)
    for path, mask in zip(paths, predictor.predict(paths), strict=True):
        np.testing.assert_array_equal(mask, inference_segmentor(segmentor, path)[0])


def test_validate_gives_mmsegs_figures(data_root: Path, workspace: Path, run: Run) -> None:
    segmentor = segmentor_of_mmseg(CONFIG)
    save(segmentor, 'mm.pth', CONFIG)
    result = run('validate', '--ckpt', 'mm.pth', '--data.root', data_root)
    assert result.status == 0, result.err
    paths = sorted((data_root / 'img_dir' / 'val').glob('*'))
    labels = [np.array(Image.open(data_root / 'ann_dir' / 'val' / f'{path.stem}.png')) for path in paths]
    predicted = [inference_segmentor(segmentor, str(path))[0] for path in paths]
    figures = mean_iou(predicted, labels, 11, 255)
    shown = {name: float(value) for name, value in re.findall(r'(aAcc|mIoU|mAcc)\s+([\d.]+)', result.out)}
    assert shown['mIoU'] == pytest.approx(100 * np.nanmean(figures['IoU']), abs=0.01)
    assert shown['aAcc'] == pytest.approx(100 * figures['aAcc'], abs=0.01)


@pytest.mark.parametrize('reduces', [True, False])
def test_label_0_is_ignored_where_the_stored_pipeline_ignores_it(
    reduces: bool, data_root: Path, workspace: Path, run: Run
) -> None:
    segmentor = segmentor_of_mmseg(CONFIG)
    load = {'type': 'LoadAnnotations', 'reduce_zero_label': reduces}
    save(segmentor, 'mm.pth', {**CONFIG, 'train_pipeline': [*CONFIG['train_pipeline'], load]})
    paths = sorted((data_root / 'img_dir' / 'val').glob('*'))
    labels = [np.array(Image.open(data_root / 'ann_dir' / 'val' / f'{path.stem}.png')) for path in paths]
    predicted = [inference_segmentor(segmentor, str(path))[0] for path in paths]
    for flags, reduced in ([], reduces), (['--data.reduce_zero_label=false'], False):
        result = run('validate', '--ckpt', 'mm.pth', '--data.root', data_root, '--report=false', *flags)
        assert result.status == 0, result.err
        assert ('Labels     label 0 of the masks is ignored' in result.out) == reduced
        figures = mean_iou(predicted, [each.copy() for each in labels], 11, 255, reduce_zero_label=reduced)
        shown = float(re.findall(r'mIoU\s+([\d.]+)', result.out)[0])
        assert shown == pytest.approx(100 * np.nanmean(figures['IoU']), abs=0.01)


def test_what_a_stored_config_says_and_is_not_done_is_told_once(data_root: Path, workspace: Path, run: Run) -> None:
    test = copy.deepcopy(TEST)
    test[1]['transforms'].insert(1, {'type': 'ResizeToMultiple', 'size_divisor': 32})
    save(
        segmentor_of_mmseg(CONFIG), 'mm.pth', {**CONFIG, 'data': {'test': {**CONFIG['data']['test'], 'pipeline': test}}}
    )
    result = run('validate', '--ckpt', 'mm.pth', '--data.root', data_root, '--report=false')
    said = "not supported: ResizeToMultiple in its test pipeline; metrics may differ from mmseg's"
    assert result.err.splitlines() == [f'seglight: warning: mm.pth: {said}']
    assert run('export', 'mm.pth', 'mm.safetensors').status == 0
    for name in ('mm.pth', 'mm.safetensors'):
        with collected_warnings() as warnings:
            seglight.load(name, 'cpu')
        assert warnings == [f'{name}: {said}']


def test_info_shows_it(workspace: Path, run: Run) -> None:
    save(segmentor_of_mmseg(CONFIG), 'mm.pth', CONFIG)
    rows = dict(line.split(maxsplit=1) for line in run('info', 'mm.pth').out.split('\nconfig\n')[0].splitlines())
    assert rows['trained'] == '1 epoch, 80 steps'
    assert rows['classes'].startswith('11: class 0, class 1')


def exported_masks(config: Any, checkpoint: str, images: list[Path]) -> list[np.ndarray]:
    segmentor = init_segmentor(config, checkpoint, device='cpu')
    return [inference_segmentor(segmentor, str(path))[0] for path in images]


def test_mmseg_loads_what_export_writes_and_predicts_the_same(trained: Path, images: list[Path], run: Run) -> None:
    result = run('export', '--format', 'mmseg', trained / 'epoch_2.ckpt', 'for/mmseg.pth')
    assert (result.status, result.err) == (0, '')
    assert result.out.splitlines() == ['for/mmseg.pth', 'for/mmseg.py']
    assert run('predict', '--ckpt', trained / 'epoch_2.ckpt', '--data.root', 'own', '--output', 'out').status == 0
    expected = masks('out', images)
    meta = torch.load('for/mmseg.pth', weights_only=True)['meta']
    in_meta = mmcv.Config.fromstring(meta['config'], '.py')
    for config in ('for/mmseg.py', in_meta):
        for mask, other in zip(exported_masks(config, 'for/mmseg.pth', images), expected, strict=True):
            np.testing.assert_array_equal(mask, other)
    stored = yaml.safe_load(torch.load(trained / 'epoch_2.ckpt', weights_only=True)['config'])
    assert list(meta['CLASSES']) == stored['data']['classes']
    assert (meta['epoch'], meta['iter']) == (2, 4)


def test_what_came_from_mmseg_goes_back_with_its_sizes_and_its_normalisation(images: list[Path], run: Run) -> None:
    segmentor = segmentor_of_mmseg(CONFIG)
    save(segmentor, 'mm.pth', CONFIG)
    assert run('export', 'mm.pth').status == 0
    expected = [inference_segmentor(segmentor, str(path))[0] for path in images]
    for mask, other in zip(exported_masks('mm_mmseg.py', 'mm_mmseg.pth', images), expected, strict=True):
        np.testing.assert_array_equal(mask, other)


def test_a_folder_means_its_best_and_the_file_lies_beside_it(trained: Path, run: Run) -> None:
    result = run('export', trained)
    best = next(trained.glob('best_mIoU_*.ckpt'))
    assert result.out.splitlines()[0] == str(trained / f'{best.stem}_mmseg.pth')
    for suffix in ('.pth', '.py'):
        (trained / f'{best.stem}_mmseg{suffix}').unlink()


class Payload:
    """A pickle that makes a folder when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ('was_run',)


def change(**meta: Any) -> Callable[[torch.nn.Module], None]:
    return lambda segmentor: save(segmentor, 'mm.pth', CONFIG, **meta)


BAD: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    'a config that runs code': (
        change(config='import os\nos.mkdir("was_run")'),
        ["a config may not contain 'import os'"],
    ),
    'a config with a call': (
        change(config='model = __import__("os").mkdir("was_run")'),
        ['since it is parsed without running it'],
    ),
    'a config without a model': (change(config='a = 1'), ['without a model']),
    'images as OpenCV reads them': (
        lambda segmentor: save(
            segmentor, 'mm.pth', {**CONFIG, 'train_pipeline': CONFIG['train_pipeline'][:1], 'data': {}}
        ),
        ['mm.pth was trained on BGR images (its pipeline has no Normalize)'],
    ),
    'BGR images': (
        lambda segmentor: save(segmentor, 'mm.pth', {**CONFIG, 'train_pipeline': [{**NORMALIZE, 'to_rgb': False}]}),
        ['mm.pth was trained on BGR images (to_rgb=False)'],
    ),
    'no classes': (change(CLASSES=None), ['mm.pth does not name its classes', '--config']),
    'an infinite colour': (change(PALETTE=[[math.inf, 0, 0]]), ['mm.pth has an invalid config or meta', 'infinity']),
    'a colour that is a number': (change(PALETTE=[5]), ['mm.pth has an invalid config or meta']),
    'no config': (change(config=None), ['mm.pth stores no config', '--config']),
    'code': (lambda _: torch.save({'state_dict': Payload()}, 'mm.pth'), ['mm.pth is refused', 'posix.mkdir']),
    'no weights': (lambda _: torch.save({'meta': {}}, 'mm.pth'), ['mm.pth contains no weights']),
    'a text': (lambda _: Path('mm.pth').write_text('text'), ['mm.pth is not a checkpoint']),
    'another model': (
        lambda segmentor: save(segmentor.backbone, 'mm.pth', CONFIG),
        ['mm.pth does not fit the model', 'segmentor.'],
    ),
}


@pytest.mark.parametrize('case', BAD)
def test_a_bad_checkpoint_is_told_in_one_line(case: str, workspace: Path, images: list[Path], run: Run) -> None:
    make, said = BAD[case]
    make(segmentor_of_mmseg(CONFIG))
    result = run('predict', '--ckpt', 'mm.pth', '--data.root', 'own')
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    for part in said:
        assert part in result.err
    assert not Path('was_run').exists()


def test_training_does_not_go_on_from_it(workspace: Path, run: Run) -> None:
    save(segmentor_of_mmseg(CONFIG), 'mm.pth', CONFIG)
    result = run('fit', '--ckpt', 'mm.pth')
    assert result.status == 2
    assert 'mm.pth is an mmseg checkpoint: training cannot resume from it; use --load-from' in result.err


@pytest.mark.parametrize(
    ('transforms', 'said'),
    [
        ([{'type': 'CLAHE', 'p': 1.0}], "has CLAHE, which mmseg's test pipelines do not support"),
        ([{'type': 'Resize', 'height': 8, 'width': 8}] * 2, 'has Resize'),
        ([{'type': 'Resize', 'height': 8, 'width': 8, 'area_for_downscale': 'image'}], 'has Resize'),
        ([{'type': 'Resize', 'height': 8, 'width': 8, 'p': 0.5}], 'has Resize'),
        ([{'type': 'KeepRatioResize', 'img_scale': [64, 32], 'ratio_range': [0.5, 0.5]}], 'has KeepRatioResize'),
        ([{'type': 'KeepRatioResize', 'img_scale': [64, 32], 'p': 0.5}], 'has KeepRatioResize'),
    ],
)
def test_what_mmseg_cannot_do_is_not_exported(
    transforms: Any, said: str, trained: Path, workspace: Path, run: Run
) -> None:
    entries = torch.load(trained / 'epoch_2.ckpt', weights_only=True)
    config = yaml.safe_load(entries['config'])
    config['data']['val_transforms'] = transforms
    torch.save({**entries, 'config': yaml.safe_dump(config)}, 'a.ckpt')
    result = run('export', 'a.ckpt')
    assert result.status == 2
    assert said in result.err
    assert [path.name for path in Path().iterdir()] == ['a.ckpt']


def test_an_export_needs_a_name_that_mmseg_knows_and_a_config(trained: Path, workspace: Path, run: Run) -> None:
    assert 'a.onnx must end with .pth' in run('export', '--format', 'mmseg', trained, 'a.onnx').err
    torch.save({'state_dict': {'a': torch.zeros(1)}}, 'a.ckpt')
    assert 'a.ckpt stores no config' in run('export', 'a.ckpt').err
    Path('file').touch()
    assert 'a.pth cannot be written' in run('export', trained, 'file/a.pth').err


def with_config(path: Path, change: dict[str, Any]) -> None:
    """Write a checkpoint with a changed config as `a.ckpt`."""
    content = torch.load(path, weights_only=True)
    content['config'] = yaml.safe_dump(merge(yaml.safe_load(content['config']), change))
    torch.save(content, 'a.ckpt')


SLIDE = {'mode': 'slide', 'crop_size': [48, 48], 'stride': [32, 32]}


@pytest.mark.parametrize(
    ('key', 'group', 'values'),
    [
        ('model.segmentor.test_cfg.blend', 'model', {'segmentor': {'test_cfg': {**SLIDE, 'blend': 'gaussian'}}}),
        ('data.image_range', 'data', {'image_range': [0, 65535]}),
    ],
)
def test_what_mmseg_would_predict_otherwise_is_not_exported(
    trained: Path, workspace: Path, run: Run, key: str, group: str, values: dict[str, Any]
) -> None:
    with_config(trained / 'epoch_2.ckpt', {group: values})
    result = run('export', '--format', 'mmseg', 'a.ckpt')
    assert result.status == 2
    assert f'{key} is not supported by mmseg, whose masks would differ' in result.err
    assert not list(Path().glob('*.p*'))


def test_a_loss_that_mmseg_lacks_is_not_in_its_config(trained: Path, images: list[Path], run: Run) -> None:
    loss = {'_delete_': True, 'class_path': 'torch.nn.CrossEntropyLoss'}
    with_config(trained / 'epoch_2.ckpt', {'model': {'segmentor': {'decode_head': {'loss_decode': loss}}}})
    result = run('export', 'a.ckpt')
    assert result.status == 0, result.err
    assert result.err == (
        'seglight: warning: export: model.segmentor.decode_head.loss_decode is torch.nn.CrossEntropyLoss, which mmseg '
        'does not have: its config has the loss CrossEntropyLoss\n'
    )
    config = mmcv.Config.fromfile('a_mmseg.py')
    assert config.model.decode_head.loss_decode == {'type': 'CrossEntropyLoss', 'use_sigmoid': False}
    assert run('predict', '--ckpt', 'a.ckpt', '--data.root', 'own', '--output', 'out').status == 0
    for mask, other in zip(exported_masks('a_mmseg.py', 'a_mmseg.pth', images), masks('out', images), strict=True):
        np.testing.assert_array_equal(mask, other)


def test_a_segmentor_that_mmseg_lacks_is_named(trained: Path, workspace: Path, run: Run) -> None:
    other = {'_delete_': True, 'type': 'SMPSegmentor', 'arch': 'Unet'}
    with_config(trained / 'epoch_2.ckpt', {'model': {'segmentor': other}})
    result = run('export', 'a.ckpt')
    assert result.status == 2
    assert 'model.segmentor.type is SMPSegmentor, which mmseg does not have; use another --format' in result.err
    assert not list(Path().glob('*.p*'))
