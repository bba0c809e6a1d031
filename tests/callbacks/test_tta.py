"""Test-time augmentation from the command line and the config."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Result
from PIL import Image

Run = Callable[..., Result]
CALLBACK = 'seglight.callbacks.TestTimeAugmentation'


def masks(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted((folder / 'masks').iterdir())]


def test_the_flag_and_the_config_give_the_same_masks_and_change_them(trained: Path, workspace: Path, run: Run) -> None:
    views = {'scales': [0.5, 1.0], 'flips': ['vertical'], 'rotations': [0, 90], 'merge': 'logits'}
    Path('tta.yaml').write_text(
        yaml.safe_dump({'trainer': {'callbacks': [{'class_path': CALLBACK, 'init_args': views}]}})
    )
    flags = [f'--trainer.callbacks.{name}={value}' for name, value in views.items()]
    for name, more in (
        ('plain', []),
        ('config', ['--config', 'tta.yaml']),
        ('flags', [f'--trainer.callbacks+={CALLBACK}', *flags]),
    ):
        done = run('predict', '--ckpt', trained / 'epoch_2.ckpt', '--output', name, *more)
        assert done.status == 0, done.err
    plain, config, typed = (masks(Path(name)) for name in ('plain', 'config', 'flags'))
    assert all((one == other).all() for one, other in zip(config, typed, strict=True))
    assert any((one != other).any() for one, other in zip(config, plain, strict=True))


@pytest.mark.parametrize('command', ['validate', 'test'])
def test_the_metrics_are_those_of_the_merged_masks(trained: Path, workspace: Path, run: Run, command: str) -> None:
    plain, merged = (
        run(command, '--ckpt', trained / 'epoch_2.ckpt', *more)
        for more in ([], [f'--trainer.callbacks+={CALLBACK}', '--trainer.callbacks.rotations=[0,180]'])
    )
    assert merged.status == plain.status == 0, merged.err
    assert merged.out != plain.out


def test_an_invalid_view_is_reported_with_its_flag(trained: Path, workspace: Path, run: Run) -> None:
    flags = [f'--trainer.callbacks+={CALLBACK}', '--trainer.callbacks.rotations=[45]']
    done = run('predict', '--ckpt', trained / 'epoch_2.ckpt', *flags)
    assert done.status == 2
    assert 'rotations of test-time augmentation must be multiples of 90' in done.err
    assert len(done.err.splitlines()) == 1
