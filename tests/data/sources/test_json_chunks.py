"""Large JSON files in pieces: the same objects as `json.loads`, and the bytes of each."""

import io
import json
import random
from typing import Any

import pytest

from seglight.data.sources import json_chunks
from seglight.data.sources.json_chunks import IrregularError, chunks


def value(draw: random.Random, depth: int = 0) -> Any:
    """Return any value of JSON, with what could be taken for structure in its strings."""
    kind = draw.random()
    if depth > 3 or kind < 0.3:
        return draw.choice([1, -2.5, None, True, 'a"b\\', '}{][', '\\\\', 'é', 1e9, float('nan'), '\\"'])
    if kind < 0.65:
        return [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {draw.choice('abcé"\\'): value(draw, depth + 1) for _ in range(draw.randrange(3))}


def shortened(given: Any) -> Any:
    """Return `[0]` for an array of numbers, however deeply nested."""
    text = json.dumps(given)
    numbers = isinstance(given, list) and set(text) <= set('0123456789+-.eE,[] ')
    return [0] if numbers and any(map(str.isdigit, text)) else given


@pytest.mark.parametrize('size', [1, 7, 64, 1 << 20])
def test_entries_and_places_are_those_of_json(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_chunks, 'CHUNK', size)
    draw = random.Random(size)
    for _ in range(100):
        content = {
            'info': value(draw, 1),
            'images': [{draw.choice('abc'): value(draw, 1)} for _ in range(draw.randrange(5))],
            'x': value(draw, 2),
            'annotations': [{'id': index, 'segmentation': value(draw, 1)} for index in range(draw.randrange(6))],
        }
        text = json.dumps(content, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, 2])).encode()
        entries: dict[str, list[Any]] = {}
        placed: dict[str, list[Any]] = {}
        for chunk in chunks(io.BytesIO(text), ('images', 'annotations')):
            entries.setdefault(chunk.part, []).extend(chunk.entries)
            places = zip(chunk.starts.tolist(), chunk.ends.tolist(), strict=True)
            placed.setdefault(chunk.part, []).extend(json.loads(text[start:end]) for start, end in places)
        for part in ('images', 'annotations'):
            expected: Any = content[part]
            assert repr(placed[part]) == repr(expected)
            short = [{key: shortened(each) for key, each in entry.items()} for entry in expected]
            assert repr(entries[part]) == repr(short)


@pytest.mark.parametrize(
    'text',
    [
        '',
        '[]',
        '{"images": [{"a": 1}',
        '{"images": [{"a": 1} {"a": 2}]}',
        '{"images": [{"a": 1},]}',
        '{"images": [1]}',
        '{"images": [{"a": 1}, 2, {"a": 3}]}',
        '{"images": {"a": [1]}}',
        '{"images": [{"a": [1, 2}, {"b": 3]}]}',
        '{"images": [{"a": "\\ud8"}]}',
        '{"images": [], "images": []}',
        '{"images": []} 1',
        '{"images": []',
        '{1: []}',
        '{"x": nul}',
    ],
)
def test_anything_else_is_left_to_another_reader(text: str) -> None:
    with pytest.raises(IrregularError):
        list(chunks(io.BytesIO(text.encode()), ('images',)))
