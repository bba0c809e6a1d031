"""Which images each part of a prediction has."""

import pytest

from seglight.errors import UsageError
from seglight.parts import Part


@pytest.mark.parametrize('batch_size', [1, 2, 7, 8, 100])
@pytest.mark.parametrize('parts', [1, 2, 3, 8])
def test_parts_cover_all_images_once_and_in_order(parts: int, batch_size: int) -> None:
    for count in (8, 9, 20, 63, 64, 65, 1000):
        ranges = [Part(number, parts).images(count, batch_size) for number in range(1, parts + 1)]
        assert [position for own in ranges for position in own] == list(range(count))
        assert all(len(own) for own in ranges)
        sizes = [len(own) for own in ranges]
        if count >= parts * batch_size:
            assert all(own.start % batch_size == 0 for own in ranges)
            assert max(sizes) - min(sizes) <= 2 * batch_size
        else:
            assert max(sizes) - min(sizes) <= 1


def test_parts_are_written_in_two_ways_and_sorted_by_their_folders() -> None:
    assert Part.parse('3 of 8') == Part.parse('3/8') == Part.parse(str(Part(3, 8))) == Part(3, 8)
    folders = [Part(number, 12).folder for number in range(1, 13)]
    assert folders[0] == 'part_01_of_12'
    assert sorted(folders) == folders


@pytest.mark.parametrize(
    'text', ['', '3', '0 of 8', '9 of 8', '-1 of 8', '3 of 8 of 9', '1 of 10000000000', '\uff13/\uff18']
)
def test_other_texts_are_not_parts(text: str) -> None:
    with pytest.raises(UsageError, match="must look like '3 of 8'"):
        Part.parse(text)


def test_fewer_images_than_parts_are_refused() -> None:
    with pytest.raises(UsageError, match='3 images cannot be divided into 4 parts; use at most 3'):
        Part(1, 4).images(3)
