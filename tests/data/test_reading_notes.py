"""Losses when reading files are reported."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from conftest import Result
from data.tiffs import tiff
from PIL import Image

from seglight.data import SegmentationDataModule
from seglight.data.labels import LabelMap
from seglight.data.reading_notes import reading_notes
from seglight.data.sources import Context, MaskFile, Sample
from seglight.data.value_range import ValueRange

RNG = np.random.default_rng(0)


def samples(folder: Path) -> list[Sample]:
    return [Sample(path, path.stem) for path in sorted(folder.iterdir())]


def test_grey_levels_that_are_left_are_counted(tmp_path: Path) -> None:
    for index in range(3):
        values = np.resize(np.arange(291, 694, 3, dtype=np.uint16), (40, 50))
        cv2.imwrite(str(tmp_path / f'{index}.png'), values)
    assert len(np.unique(values)) == 135
    assert len(np.unique(values >> 8)) == 2
    notes = reading_notes(samples(tmp_path), None)
    assert notes.lines == ['uint16 images keep 2 of 135 grey levels; their values are 291 to 693']
    assert notes.warnings == [
        f'{notes.lines[0]}: set data.image_range to the values of black and white, for example [291, 693]'
    ]
    better = reading_notes(samples(tmp_path), ValueRange(291, 693))
    assert better.lines == ['uint16 images keep 135 of 135 grey levels; their values are 291 to 693']
    assert not better.warnings


def test_a_range_that_spoils_images_is_warned_of(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), RNG.integers(0, 65536, (40, 50)).astype(np.uint16))
    assert not reading_notes(samples(tmp_path), None).warnings
    assert 'set data.image_range' in reading_notes(samples(tmp_path), ValueRange(0, 10)).warnings[0]


def rgba(alpha: np.ndarray) -> np.ndarray:
    return np.dstack([RNG.integers(0, 256, (20, 30, 3)), alpha]).astype(np.uint8)


OPAQUE, CLEAR = np.full((20, 30), 255), np.tile(np.arange(30), (20, 1))


@pytest.mark.parametrize(
    ('suffix', 'content', 'message'),
    [
        ('png', OPAQUE, None),
        ('png', CLEAR, 'has transparency, which is dropped'),
        ('webp', CLEAR, 'has transparency, which is dropped'),
        ('tif', OPAQUE, None),
        ('tif', CLEAR, 'has a fourth band, which is dropped'),
        ('alpha.tif', CLEAR, 'has transparency, which is dropped'),
        ('grey.tif', CLEAR, 'has a fourth band, which is dropped'),
    ],
)
def test_a_fourth_band_with_information_is_reported(
    suffix: str, content: np.ndarray, message: str | None, tmp_path: Path
) -> None:
    for name in 'ab':
        path = tmp_path / f'{name}.{suffix}'
        if suffix.endswith('tif'):
            kind = {'alpha.tif': (2, [2]), 'grey.tif': (1, [0, 0, 0])}.get(suffix, (2, [0]))
            path.write_bytes(tiff(rgba(content), photometric=kind[0], extra=kind[1]))
        else:
            Image.fromarray(rgba(content)).save(path, lossless=True)
    warnings = reading_notes(samples(tmp_path), None).warnings
    more = ' (2 of 2 images examined) '
    assert warnings == ([] if message is None else [f'the image {tmp_path / f"a.{suffix}"}{more}{message}'])


@pytest.mark.parametrize('suffix', ['tif', 'gif', 'webp', 'png'])
def test_several_pages_are_reported(suffix: str, tmp_path: Path) -> None:
    pages = [Image.fromarray(RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)) for _ in range(3)]
    pages[0].save(tmp_path / f'a.{suffix}', save_all=True, append_images=pages[1:])
    assert reading_notes(samples(tmp_path), None).warnings == [
        f'the image {tmp_path}/a.{suffix} has several pages, of which the first is used'
    ]


def test_unreadable_files_are_skipped(tmp_path: Path) -> None:
    (tmp_path / 'a.png').write_bytes(b'no image')
    (tmp_path / 'b.tif').write_bytes(b'II*\0\xff\xff\xff\x7f')
    Image.new('RGB', (5, 4)).save(tmp_path / 'c.jpg')
    notes = reading_notes(samples(tmp_path), None)
    assert not notes.lines + notes.warnings


def test_masks_with_a_palette_in_another_order_are_reported(tmp_path: Path) -> None:
    mask = Image.fromarray(np.array([[0, 1]], np.uint8))
    mask.putpalette([0, 0, 255, 255, 0, 0])
    labels = LabelMap.of(Context(['a', 'b'], [[255, 0, 0], [0, 0, 255]]))
    for name in 'ab':
        mask.save(tmp_path / f'{name}.png')
    found = [Sample(tmp_path / 'no.jpg', name, MaskFile(tmp_path / f'{name}.png', labels)) for name in 'ab']
    (warning,) = reading_notes(found, None, ['a', 'b']).warnings
    assert 'a.png has the colours of data.palette in another order; the colours count' in warning
    assert warning.endswith('(and 1 of 1 other masks examined are alike)')


def test_check_and_fit_say_it(
    own_data: Path, tmp_path: Path, run: Callable[..., Result], capfd: pytest.CaptureFixture[str]
) -> None:
    for path in (own_data / 'img_dir/train').iterdir():
        cv2.imwrite(str(path.with_suffix('.png')), RNG.integers(0, 31, (64, 64)).astype(np.uint16))
        path.unlink()
    wanted = 'uint16 images keep 1 of 31 grey levels; their values are 0 to 30'
    classes = [str(label) for label in range(11)]
    (tmp_path / 'own.yaml').write_text(yaml.safe_dump({'data': {'classes': classes, 'root': str(own_data)}}))
    done = run('data', 'check', '--config', tmp_path / 'own.yaml')
    assert done.status == 0
    assert f'  {wanted}\n' in done.out
    assert f'warning: train: {wanted}: set data.image_range' in done.out
    SegmentationDataModule(classes, root=str(own_data)).setup('fit')
    assert f'seglight: warning: {wanted}: set data.image_range' in capfd.readouterr().err
    done = run('data', 'check', '--config', tmp_path / 'own.yaml', '--data.image_range=[0, 30]')
    assert 'keep 31 of 31 grey levels' in done.out
    assert 'set data.image_range' not in done.out
