"""Checkpoints of a user's own subclass of `Segmentor`, trained without seglight's command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_SEGMENTOR, Result
from pytorch_lightning import Trainer

import seglight
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import CheckpointError
from seglight.models import Segmentor

Run = Callable[..., Result]
CLASSES = [f'class {index}' for index in range(5)]


class Teaching(Segmentor):
    """Has an argument, weights and a training of its own, and predicts as its base."""

    def __init__(self, segmentor: dict[str, Any], classes: list[str], alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(segmentor, classes, **kwargs)
        self.save_hyperparameters(logger=False)
        self.head = torch.nn.Linear(3, 3)
        self.alpha = alpha

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx)


class Inverting(Segmentor):
    """Predicts otherwise than its base."""

    def predict(self, *arguments: Any, **options: Any) -> Any:
        predictions = super().predict(*arguments, **options)
        return [each._replace(mask=4 - each.mask) for each in predictions]


def saved(cls: type[Segmentor], **arguments: Any) -> Path:
    torch.manual_seed(1)
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator='cpu')
    trainer.strategy.connect(cls(TINY_SEGMENTOR, classes=CLASSES, **arguments))
    trainer.save_checkpoint(f'{cls.__name__}.ckpt')
    return Path(f'{cls.__name__}.ckpt')


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


def test_a_subclass_that_predicts_as_its_base_needs_no_code(
    workspace: Path, image: np.ndarray, data_root: Path, run: Run
) -> None:
    path = saved(Teaching, alpha=0.25)
    expected = seglight.load(path, segmentor=Teaching)
    assert isinstance(expected.module, Teaching)
    assert expected.module.alpha == 0.25
    plain = seglight.load(path)
    assert type(plain.module) is Segmentor
    assert np.array_equal(plain.predict(image), expected.predict(image))
    result = run('predict', '--ckpt', path, '--input', data_root / 'img_dir/test', '--output', 'masks')
    assert result.status == 0, result.err
    assert len(list(Path('masks/masks').glob('*.png'))) == 3
    assert 'Teaching.ckpt stores no config; images are not resized' in result.err


def test_one_that_predicts_otherwise_must_be_passed(workspace: Path, image: np.ndarray, run: Run) -> None:
    path = saved(Inverting)
    message = (
        r'trained by \S*test_subclass\.Inverting, which overrides predict: pass segmentor=Inverting to seglight\.load'
    )
    with pytest.raises(CheckpointError, match=message):
        seglight.load(path)
    result = run('predict', '--ckpt', path, '--input', '.')
    assert result.status == 2
    assert 'pass segmentor=Inverting to seglight.load' in result.err
    passed = seglight.load(path, segmentor=Inverting)
    module = Segmentor(TINY_SEGMENTOR, classes=CLASSES)
    module.load_state_dict(Checkpoint(path).weights)
    module.eval()
    inverted = passed.predict(image)
    batch = {'image': torch.from_numpy(image).permute(2, 0, 1)[None], 'mask': None}
    meta = [{'path': '', 'name': '', 'size': (48, 64), 'original_size': (48, 64)}]
    with torch.inference_mode():
        [prediction] = module.predict({**batch, 'meta': meta})  # type: ignore[typeddict-item]
    assert np.array_equal(inverted, 4 - prediction.mask.numpy())


@pytest.mark.parametrize('to', ['safetensors', 'mmseg', 'soup'])
def test_no_export_and_no_soup_hides_that_a_subclass_predicts_otherwise(workspace: Path, run: Run, to: str) -> None:
    path = saved(Inverting)
    if to == 'soup':
        result = run('soup', path, path, '--output', 'a.ckpt')
    else:
        result = run('export', path, f'a.{"pth" if to == "mmseg" else to}', '--format', to)
        if to == 'safetensors':
            assert result.status == 0, result.err
            result = run('predict', '--ckpt', 'a.safetensors', '--input', '.')
    assert result.status == 2
    assert 'Inverting, which overrides predict: pass segmentor=Inverting' in result.err


def test_its_weights_start_a_training(tiny_config: Path, run: Run) -> None:
    path = saved(Teaching)
    result = run('fit', '--config', tiny_config, '--load-from', path, '--debug', '1')
    assert result.status == 0, result.err
    assert 'unexpected     2  head.weight' in result.out
    assert 'missing        0' in result.out


def test_hyperparameters_of_an_unknown_class_are_an_error_with_the_cure(workspace: Path) -> None:
    path = saved(Teaching)
    contents = torch.load(path, weights_only=False)
    del contents['subclass']
    torch.save(contents, path)
    with pytest.raises(CheckpointError, match=r'has the hyperparameter alpha, .* pass segmentor=THE_SUBCLASS'):
        seglight.load(path)


@pytest.mark.parametrize(
    'record',
    [
        {},
        {'name': 3},
        {'name': 3, 'predicts': []},
        {'name': 'a', 'predicts': 'b'},
        {'name': 'a', 'predicts': [1]},
        {'name': 'a', 'predicts': ['forward' * 1000]},
        {'name': 'a', 'predicts': ['forward'] * 1000},
        {'name': 'a b', 'predicts': []},
    ],
)
def test_a_wrong_record_is_refused(record: dict[str, Any], workspace: Path) -> None:
    path = saved(Segmentor)
    contents = torch.load(path, weights_only=False)
    assert 'subclass' not in contents
    torch.save({**contents, 'subclass': record}, path)
    with pytest.raises(CheckpointError, match='subclass must hold a name and a list of methods'):
        seglight.load(path)
