"""Crops that a model cannot take are known before a run has a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Result
from models.test_fitting import BEIT, UNET

Run = Callable[..., Result]


def with_model(path: Path, model: dict[str, Any], height: int, width: int) -> Path:
    config = yaml.safe_load(path.read_text())
    config['model']['segmentor'] = model
    config['data']['train_transforms'] = [
        {'type': 'PadIfNeeded', 'min_height': height, 'min_width': width},
        {'type': 'RandomCrop', 'height': height, 'width': width},
    ]
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_crop_larger_than_the_one_size_of_a_backbone_leaves_nothing_behind(tiny_config: Path, run: Run) -> None:
    model = {**BEIT, 'backbone': {**BEIT['backbone'], 'img_size': [64, 96]}}
    done = run('fit', '--config', with_model(tiny_config, model, 80, 96))
    assert done.status == 2
    assert (
        'data.train_transforms must give images of 96x64 pixels, the only size that BEiT takes, got 96x80' in done.err
    )
    assert done.out == ''
    assert not Path('work_dirs').exists()


@pytest.mark.parametrize('size', [(1, 500), (33, 50)])
def test_padding_is_reported_before_the_run(size: tuple[int, int], tiny_config: Path, run: Run) -> None:
    done = run('fit', '--config', with_model(tiny_config, UNET, *size), '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    lines = [line.split(maxsplit=1)[0] for line in done.out.splitlines() if line.strip()]
    assert lines.count('Padding') == 1
    assert lines.index('Padding') < lines.index('Run')


def test_a_batch_too_small_for_batchnorm_leaves_nothing_behind(tiny_config: Path, run: Run) -> None:
    pooling = {'type': 'PSPHead', 'in_channels': 64, 'in_index': 3, 'channels': 8, 'pool_scales': [1], 'norm_cfg': {'type': 'BN'}}  # fmt: skip
    config = yaml.safe_load(tiny_config.read_text())
    config['model']['segmentor']['decode_head'] = pooling
    tiny_config.write_text(yaml.safe_dump(config))
    done = run('fit', '--config', tiny_config, '--data.batch_size=1')
    assert done.status == 2
    assert 'BatchNorm cannot train on one value per channel' in done.err
    assert done.out == ''
    assert not Path('work_dirs').exists()


def test_a_sample_that_is_skipped_is_counted_once(own_data: Path, tiny_config: Path, run: Run) -> None:
    """The check loads the first images, too, but training counts and lists what it skips."""
    image = sorted((own_data / 'img_dir/train').iterdir())[0]
    data = image.read_bytes()
    image.write_bytes(data[: len(data) // 2] + data[-2:])  # cut off, but its last bytes look complete
    flags = [f'--data.root={own_data}', '--data.on_bad_sample=skip', '--trainer.max_epochs=1', '--data.batch_size=1']
    done = run('fit', '--config', tiny_config, *flags, '--data.class_balance=null')
    assert done.status == 0, done.err
    listed = next(Path('work_dirs').glob('*/left_out.txt')).read_text().splitlines()
    assert len(listed) == 1
