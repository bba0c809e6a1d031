"""Predicting from Python."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Result
from PIL import Image

import seglight
from seglight.checkpoints.checkpoint import CONFIG_ENTRY
from seglight.errors import CheckpointError, DataError, UsageError
from seglight.models.inference.views import Views, make_views
from seglight.predictor import READ_AHEAD, _batches

Run = Callable[..., Result]


def test_it_predicts_what_the_command_line_predicts(trained: Path, data_root: Path, run: Run, tmp_path: Path) -> None:
    flags = ['--output', tmp_path, '--probabilities', 'float16', '--aug-test', '--data.batch_size=1']
    assert run('predict', '--ckpt', trained / 'epoch_2.ckpt', *flags).status == 0
    predictor = seglight.load(trained / 'epoch_2.ckpt', 'cpu')
    paths = sorted((data_root / 'img_dir' / 'test').iterdir())
    from seglight.cli.arguments import AUG_TEST_SCALES

    views = Views(make_views(AUG_TEST_SCALES, ['horizontal'], [0]))
    for path, found in zip(paths, predictor.predict(paths, tta=views, probabilities=True), strict=True):
        assert (found.mask == np.asarray(Image.open(tmp_path / 'masks' / f'{path.stem}.png'))).all()
        written = np.load(tmp_path / 'probabilities' / f'{path.stem}.npz')['probabilities']
        np.testing.assert_allclose(found.probabilities, written, atol=1e-3)
        assert found.probabilities.dtype == np.float32


def test_it_pads_and_draws_random_numbers_as_the_command_line_does(
    trained: Path, data_root: Path, run: Run, tmp_path: Path
) -> None:
    checkpoint = torch.load(trained / 'epoch_2.ckpt', weights_only=True)
    settings = yaml.safe_load(checkpoint[CONFIG_ENTRY])
    settings['data']['val_transforms'] = [
        {'type': 'GaussNoise', 'std_range': [0.2, 0.4], 'p': 0.7},
        {'type': 'PadTo', 'size_divisor': 48},
    ]
    settings['seed_everything'] = 7
    checkpoint[CONFIG_ENTRY] = yaml.safe_dump(settings)
    torch.save(checkpoint, tmp_path / 'padded.ckpt')
    flags = ['--output', tmp_path, '--probabilities', 'float16', '--data.batch_size=1']
    assert run('predict', '--ckpt', tmp_path / 'padded.ckpt', *flags).status == 0
    predictor = seglight.load(tmp_path / 'padded.ckpt', 'cpu')
    paths = sorted((data_root / 'img_dir' / 'test').iterdir())
    for path, found in zip(paths, predictor.predict(paths, probabilities=True), strict=True):
        assert (found.mask == np.asarray(Image.open(tmp_path / 'masks' / f'{path.stem}.png'))).all()
        written = np.load(tmp_path / 'probabilities' / f'{path.stem}.npz')['probabilities']
        np.testing.assert_allclose(found.probabilities, written, atol=1e-3)


def test_a_path_an_array_and_a_list_are_the_same_image(trained: Path, data_root: Path) -> None:
    predictor = seglight.load(trained, 'cpu')
    path = next((data_root / 'img_dir' / 'test').iterdir())
    from seglight.data.images import read_image

    mask = predictor.predict(path)
    assert mask.dtype == np.uint8
    assert mask.shape == (64, 64)
    assert (mask == predictor.predict(read_image(path))).all()
    assert (mask == predictor.predict([str(path)])[0]).all()
    assert predictor.predict(np.zeros((20, 30), np.uint8)).shape == (20, 30)
    assert predictor.predict(path, tta=True).shape == (64, 64)


def test_what_is_no_image_is_refused(trained: Path, tmp_path: Path) -> None:
    predictor = seglight.load(trained, 'cpu')
    with pytest.raises(DataError, match=r'missing\.jpg does not exist'):
        predictor.predict('missing.jpg')
    with pytest.raises(DataError, match='image 1 cannot be read: it has float64 values; convert them to uint8'):
        predictor.predict([np.zeros((4, 4, 3), dtype) for dtype in (np.uint8, np.float64)])
    with pytest.raises(CheckpointError):
        seglight.load(tmp_path / 'missing.ckpt')


def test_importing_seglight_does_not_load_torch() -> None:
    script = "import seglight, sys; assert seglight.load; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, '-c', script], check=True)


@pytest.mark.parametrize('tta', [False, True])
def test_images_of_one_size_go_through_the_model_together(
    trained: Path, monkeypatch: pytest.MonkeyPatch, tta: bool
) -> None:
    predictor = seglight.load(trained, 'cpu')
    generator = np.random.default_rng(0)
    sizes = [(40, 30), (33, 48), (40, 30), (40, 30), (33, 48)]
    images = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    alone = [predictor.predict(image, tta, probabilities=True) for image in images]
    seen: list[int] = []
    backbone = predictor.module.segmentor.extract_feat

    def extract_feat(image: torch.Tensor) -> Any:
        seen.append(len(image))
        return backbone(image)

    monkeypatch.setattr(predictor.module.segmentor, 'extract_feat', extract_feat)
    together = predictor.predict(images, tta, probabilities=True, batch_size=5)
    if not tta:
        assert seen == [3, 2]
    for one, other, size in zip(alone, together, sizes, strict=True):
        assert one.mask.shape == other.mask.shape == size
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    seen.clear()
    in_pairs = predictor.predict(images, tta, batch_size=2)
    if not tta:
        assert seen == [2, 2, 1]  # grouped by size over the whole list
    assert all((mask == one.mask).all() for mask, one in zip(in_pairs, alone, strict=True))
    assert predictor.predict([]) == []
    with pytest.raises(UsageError, match='batch_size must be at least 1, got 0'):
        predictor.predict(images, batch_size=0)


def test_few_images_are_in_memory_while_sizes_differ(trained: Path) -> None:
    predictor = seglight.load(trained, 'cpu')
    images = [np.full((20 + number, 30), number, np.uint8) for number in range(30)]
    seen: list[int] = []

    def items() -> Any:
        for index, image in enumerate(images):
            seen.append(index)
            yield predictor._item(np.repeat(image[..., None], 3, 2), str(index), index)

    batches = _batches(items(), 2)
    assert next(batches)[0][0] == 0
    assert len(seen) == READ_AHEAD * 2
    rest = [index for batch in batches for index, _ in batch]
    assert sorted(rest) == list(range(1, 30))


def test_a_missing_file_in_a_list_is_named(trained: Path, data_root: Path) -> None:
    predictor = seglight.load(trained, 'cpu')
    path = next((data_root / 'img_dir' / 'test').iterdir())
    with pytest.raises(DataError, match=r'missing\.jpg'):
        predictor.predict([path, path, Path('missing.jpg'), path])
