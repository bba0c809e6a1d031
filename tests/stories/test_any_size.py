"""Images of any size with a model that takes multiples of 16 only."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from conftest import Result, write_tiny_config
from models.test_fitting import UNET
from PIL import Image

Run = Callable[..., Result]


def test_a_unet_trains_validates_and_predicts_on_odd_sizes(own_data: Path, workspace: Path, run: Run) -> None:
    for path in own_data.glob('*/*/*'):
        with Image.open(path) as image:
            image.crop((0, 0, 59, 43)).save(path)  # 59x43 pixels
    path = write_tiny_config(workspace / 'unet.yaml', own_data)
    config = yaml.safe_load(path.read_text())
    config['model']['segmentor'] = UNET
    config['data']['train_transforms'] = [{'type': 'RandomCrop', 'height': 33, 'width': 50}]
    config['data']['val_transforms'] = [{'type': 'PadTo', 'size_divisor': 8}]
    path.write_text(yaml.safe_dump(config))
    done = run('fit', '--config', path, '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    said = 'Padding    UNet cannot take 50x33 pixels: batches are padded to 64x48, and the loss ignores the padding; '
    assert done.out.count(said + 'a crop of 64x48 needs none') == 1
    (workspace / 'photos').mkdir()
    sizes = {'photo': (131, 97), 'line': (500, 1), 'column': (1, 500)}
    rng = np.random.default_rng(0)
    for name, (width, height) in sizes.items():
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(workspace / 'photos' / f'{name}.png')
    for flags in ([], ['--aug-test']):
        done = run('predict', '--ckpt', 'exp1', '--input', 'photos', '--output', 'out', *flags)
        assert done.status == 0, done.err
        for name, size in sizes.items():
            assert Image.open(f'out/masks/{name}.png').size == size
