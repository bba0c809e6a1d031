"""Conversion of images of more than 8 bits to 8 bits."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from data.tiffs import tiff

from seglight.data import SegmentationDataModule
from seglight.data.images import read_image
from seglight.data.value_range import ValueRange, parse_range, to_8_bits
from seglight.errors import ConfigError

RNG = np.random.default_rng(0)


def test_values_are_spread_evenly_and_cut_off() -> None:
    values = np.array([[0, 291, 492, 694, 65535]], np.uint16)
    assert to_8_bits(values, ValueRange(291, 694)).tolist() == [[0, 0, round(255 * 201 / 403), 255, 255]]
    assert to_8_bits(values, None).tolist() == [[0, 1, 1, 2, 255]]
    deep = np.array([[-0.5, 0.0, 0.25, 1.0, np.nan, np.inf, -np.inf]], np.float32)
    assert to_8_bits(deep, ValueRange(0, 1)).tolist() == [[0, 0, 64, 255, 0, 255, 0]]
    assert to_8_bits(np.array([[-3, 0, 3]], np.int16), ValueRange(-3, 3)).tolist() == [[0, 128, 255]]


def test_images_of_8_bits_stay_as_they_are() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(to_8_bits(values, ValueRange(10, 20)), values)


def test_percentiles_are_those_of_each_image() -> None:
    values = RNG.integers(100, 900, (50, 60, 3)).astype(np.uint16)
    low, high = np.percentile(values, [2, 98])
    expected = np.rint(np.clip((values - low) / (high - low) * 255, 0, 255))
    assert np.array_equal(to_8_bits(values, ValueRange(2, 98, percentiles=True)), expected)
    assert to_8_bits(np.full((4, 4), 7, np.uint16), ValueRange(2, 98, percentiles=True)).max() == 0


@pytest.mark.parametrize(
    ('spec', 'expected'),
    [
        (None, None),
        (4095, ValueRange(0, 4095)),
        ([291, 694], ValueRange(291, 694)),
        ([-1.5, 2], ValueRange(-1.5, 2)),
        ({'percentiles': [1, 99]}, ValueRange(1, 99, percentiles=True)),
    ],
)
def test_a_range_is_given_in_three_ways(spec: Any, expected: ValueRange | None) -> None:
    assert parse_range(spec) == expected


@pytest.mark.parametrize(
    'spec', [0, -5, [5, 5], [694, 291], [1], [1, 2, 3], 'auto', [0, float('nan')], True, {'percentiles': [5, 101]},
             {'percentiles': 5}, {'max': 5}],
)  # fmt: skip
def test_an_invalid_range_is_rejected(spec: Any) -> None:
    with pytest.raises(ConfigError, match=r'data\.image_range') as raised:
        parse_range(spec)
    assert raised.value.key == 'data.image_range'


@pytest.mark.parametrize('kind', ['png', 'png rgb', 'tif', 'tif rgb', 'float', 'jp2', 'pgm'])
def test_every_format_has_the_range(kind: str, tmp_path: Path) -> None:
    values = RNG.integers(0, 1000, (40, 60, 3 if 'rgb' in kind else 1)).astype(np.uint16)
    if kind == 'float':
        data = tiff(values.astype(np.float32))
    elif kind.startswith('tif'):
        data = tiff(values, photometric=2 if 'rgb' in kind else 1)
    else:
        lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000] if kind == 'jp2' else []
        data = cv2.imencode(f'.{kind.split()[0]}', np.ascontiguousarray(values[..., ::-1]), lossless)[1].tobytes()
    (tmp_path / 'image').write_bytes(data)
    expected = np.rint(np.clip(values / 500.0 * 255, 0, 255)).astype(np.uint8)
    found = read_image(tmp_path / 'image', ValueRange(0, 500))
    assert np.array_equal(found, np.broadcast_to(expected, found.shape))


def test_the_data_module_reads_with_its_range_and_the_cache_knows_it(
    own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    values = RNG.integers(0, 1000, (64, 64)).astype(np.uint16)
    for path in (own_data / 'img_dir/val').iterdir():
        cv2.imwrite(str(path.with_suffix('.png')), values)
        path.unlink()
    ranges: list[tuple[Any, int]] = [(None, 65280), (1000, 1000), ([0, 500], 500)]
    for spec, white in ranges:
        module = SegmentationDataModule(
            [str(label) for label in range(11)], root=str(own_data), image_range=spec, cache=1.0
        )
        module.setup('validate')
        image = module.datasets['val'][0]['image'][0].numpy()
        if spec is None:
            assert np.array_equal(image, values // 256)
        else:
            assert np.array_equal(image, np.rint(np.clip(values * 255.0 / white, 0, 255)))
