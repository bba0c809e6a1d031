"""Which images each part of a prediction has, and its record as a stranger might break it."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from seglight.errors import UsageError
from seglight.parts import RECORD, Part, Record, read_record


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


def whole_record() -> Record:
    """A record with each kind of file that a part may have."""
    folders = {'masks': '.png', 'overlays': '.jpg', 'probabilities': '.npz', 'pseudo_labels': '', 'own': '_mask.tif'}
    files = {'predictions.json': 'coco', 'epoch_2_caf\udce9.csv': 'labels'}
    names, stems = ['a/b.jpg', 'caf\udce9.png'], ['a/b', 'caf\udce9']
    return Record('1 of 2', 0, 4, 'f00', names, stems, {'seed': 1}, {'torch': '2.9'}, folders, files, ['a/b.jpg'], True)


def test_a_written_record_is_read_as_it_was(tmp_path: Path) -> None:
    whole_record().write(tmp_path)
    assert read_record(tmp_path) == whole_record()


@pytest.mark.parametrize(
    'changes',
    [
        *({name: 3} for name in ('part', 'images', 'names', 'stems', 'folders', 'files', 'failed', 'is_done')),
        *({name: None} for name in ('first', 'count', 'names', 'failed', 'settings', 'versions')),
        *({name: []} for name in ('folders', 'files', 'versions', 'settings', 'stems')),
        *({name: 'ab'} for name in ('names', 'stems', 'failed')),
        *({name: [1, 'a']} for name in ('names', 'stems', 'failed')),
        *({name: {'a': 1}} for name in ('folders', 'files', 'versions')),
        *({'first': value} for value in (-1, True, 1.0)),
        {'more': 1},
        *({'folders': {'masks': suffix}} for suffix in ('/../../.bashrc', '/x', '\n', '.png/..')),
        *({name: {path: '.png'}} for path in ('..', '', 'masks/a', '/etc', 'a\n') for name in ('folders', 'files')),
    ],
    ids=str,
)
def test_a_record_of_other_values_is_damaged(changes: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(json.dumps({**asdict(whole_record()), **changes}))
    with pytest.raises(
        UsageError, match=rf'^{re.escape(str(tmp_path))}.part\.json is damaged; predict the part again$'
    ):
        read_record(tmp_path)
