"""Pictures in memory, compared with Pillow's."""

import io

import numpy as np
import pytest
from PIL import Image

from seglight.pictures import contact_sheet, encode_jpeg


def test_a_jpeg_has_the_colours_of_the_image() -> None:
    image = np.full((16, 24, 3), (200, 40, 10), np.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(encode_jpeg(image))))
    assert decoded.shape == image.shape
    assert np.abs(decoded.astype(int) - image).max() <= 3
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert len(encode_jpeg(noise, 50)) < len(encode_jpeg(noise))


@pytest.mark.parametrize(('count', 'size'), [(1, (4, 12)), (3, (4, 12)), (4, (8, 12)), (6, (8, 12))])
def test_a_contact_sheet_is_filled_row_by_row_and_ends_white(count: int, size: tuple[int, int]) -> None:
    tiles = [np.full((4, 4, 3), 10 * number, np.uint8) for number in range(count)]
    sheet = contact_sheet(tiles, 3)
    page = Image.new('RGB', (size[1], size[0]), 'white')
    for number, tile in enumerate(tiles):
        page.paste(Image.fromarray(tile), (4 * (number % 3), 4 * (number // 3)))
    assert (sheet == np.asarray(page)).all()
