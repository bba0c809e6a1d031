"""`seglight soup`: averaged weights, and statistics of BatchNorm that belong to them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Result

from seglight.checkpoints.checkpoint import Checkpoint

Run = Callable[..., Result]


@pytest.fixture
def checkpoints(trained: Path, workspace: Path) -> list[str]:
    """The two checkpoints of a run."""
    return [str(shutil.copy(trained / f'epoch_{epoch}.ckpt', workspace)) for epoch in (1, 2)]


def state(path: str) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)['state_dict']
    return weights


def test_weights_are_the_weighted_mean(checkpoints: list[str], run: Run) -> None:
    done = run('soup', *checkpoints, '--weights', '3', '1', '--output', 'soup.ckpt')
    assert done.status == 0, done.err
    first, second, soup = state(checkpoints[0]), state(checkpoints[1]), state('soup.ckpt')
    assert soup.keys() == first.keys()
    for name, value in soup.items():
        if 'running_' not in name and value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * second[name])
    validated = run('validate', '--ckpt', 'soup.ckpt')
    assert validated.status == 0, validated.err
    assert 'mIoU' in validated.out
    assert run('predict', '--ckpt', 'soup.ckpt').status == 0


@pytest.mark.parametrize('on_device', [None, [{'type': 'RandomCrop', 'height': 32, 'width': 24}]])
def test_batch_norm_has_the_statistics_of_the_averaged_weights(
    checkpoints: list[str], run: Run, on_device: list[dict[str, Any]] | None
) -> None:
    for path in checkpoints:
        content = torch.load(path, weights_only=True)
        config = yaml.safe_load(content['config'])
        config['data']['device_transforms'] = on_device
        torch.save({**content, 'config': yaml.safe_dump(config)}, path)
    done = run('soup', *checkpoints, '--output', 'soup.ckpt', '--batches', '1')
    assert done.status == 0, done.err
    assert 'estimated on 1 batch' in done.out
    soup = Checkpoint('soup.ckpt').module()
    # The first layer of the stem, worked out by hand on the batch that the first epoch begins with.
    from seglight.data import SegmentationDataModule

    data = SegmentationDataModule(**Checkpoint('soup.ckpt').settings.values['data'])
    data.setup('fit')
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    convolution, norm = soup.segmentor.backbone.stem[0], soup.segmentor.backbone.stem[1]
    with torch.no_grad():
        image = soup._normalize(batch['image'], [meta['size'] for meta in batch['meta']], batch.get('padding'))
        features = convolution(image)
    torch.testing.assert_close(norm.running_mean, features.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, features.var((0, 2, 3)), atol=1e-5, rtol=1e-4)


def test_another_architecture_is_refused(checkpoints: list[str], run: Run) -> None:
    content = torch.load(checkpoints[1], weights_only=True)
    content['state_dict'].pop('segmentor.decode_head.conv_seg.bias')
    torch.save(content, 'other.ckpt')
    done = run('soup', checkpoints[0], 'other.ckpt', '--output', 'soup.ckpt')
    assert done.status == 2
    assert 'other.ckpt and ' in done.err
    assert not Path('soup.ckpt').exists()
    assert run('soup', checkpoints[0], '--output', 'soup.ckpt').status == 2


def test_a_checkpoint_without_data_is_refused(checkpoints: list[str], run: Run) -> None:
    entries = torch.load(checkpoints[0], weights_only=True)
    config = yaml.safe_load(entries['config'])
    del config['data']
    torch.save({**entries, 'config': yaml.safe_dump(config)}, 'bare.ckpt')
    done = run('soup', 'bare.ckpt', checkpoints[1], '--output', 'soup.ckpt')
    assert done.status == 2
    assert 'bare.ckpt must name the training data, on which BatchNorm is estimated' in done.err
    assert not Path('soup.ckpt').exists()


@pytest.mark.parametrize('fixed', ['--model.segmentor.backbone.norm_eval=true', '--model.frozen=[backbone]'])
def test_statistics_that_training_keeps_are_averaged(trained: Path, tiny_config: Path, run: Run, fixed: str) -> None:
    tuned = ['--load-from', trained / 'epoch_2.ckpt', fixed, '--work-dir', 'tuned', '--trainer.max_epochs=2']
    assert run('fit', '--config', tiny_config, *tuned).status == 0
    done = run('soup', 'tuned/epoch_1.ckpt', 'tuned/epoch_2.ckpt', '--output', 'soup.ckpt')
    assert done.status == 0, done.err
    first, soup = state('tuned/epoch_1.ckpt'), state('soup.ckpt')
    names = [name for name in soup if 'running_' in name]
    assert {name for name in names if torch.equal(soup[name], first[name])} == {
        name for name in names if '.backbone.' in name
    }


def test_other_values_of_the_images_are_refused(checkpoints: list[str], run: Run) -> None:
    content = torch.load(checkpoints[1], weights_only=True)
    content['hyper_parameters']['std'] = [1.0, 1.0, 1.0]
    torch.save(content, 'other.ckpt')
    done = run('soup', checkpoints[0], 'other.ckpt', '--output', 'soup.ckpt')
    assert done.status == 2
    assert 'other.ckpt must have the same std of the images as' in done.err
