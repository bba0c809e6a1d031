"""Damaged files of weights: zips that parsers read differently, pickles, files before torch 1.6, safetensors."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import seglight
from fuzzing.corpus import Corpus, from_python
from fuzzing.mutations import mutate_bytes, nasty
from fuzzing.pickles import damage_numbers, damage_pickle
from fuzzing.zips import DEFLATED, Record, make_zip

#: Zips that torch wrote.
ZIPS = ('run/epoch_1.ckpt', 'soup.ckpt', 'mmseg.pth', 'soup.pth', 'weights.pth')


def damaged_zip(corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """Write a zip of weights or of a checkpoint with one change, most often one after which torch can still read it."""
    name = rng.choice(ZIPS)
    with zipfile.ZipFile(corpus.root / name) as archive:
        records = [Record(info.filename, archive.read(info)) for info in archive.infolist()]
    change = rng.choices(list(_CHANGES), list(_CHANGES.values()))[0]
    path = folder / Path(name).name
    path.write_bytes(change(records, rng))
    return path.name


def _reordered(records: list[Record], rng: random.Random) -> bytes:
    """Return a zip with its records in another order."""
    return make_zip(rng.sample(records, len(records)))


def _other_values(records: list[Record], rng: random.Random) -> bytes:
    """Return a zip with other bytes in one to three of its tensors, for example NaN and infinity."""
    tensors = [place for place, record in enumerate(records) if '/data/' in record.name and record.data]
    for place in rng.sample(tensors, min(len(tensors), rng.choice([1, 2, 3]))):
        size = len(records[place].data)
        values = rng.choice([b'\0', b'\xff', b'\0\0\x80\x7f', b'\0\0\0\x80', b'\x01', rng.randbytes(64)])
        records[place] = records[place]._replace(data=(values * size)[:size])
    return make_zip(records)


def _other_numbers(records: list[Record], rng: random.Random) -> bytes:
    """Return a zip with one or two other sizes, strides, offsets or counts."""
    return make_zip(_with_pickle(records, lambda data: damage_numbers(data, rng)))


def _other_pickle(records: list[Record], rng: random.Random) -> bytes:
    """Return a zip with a damaged pickle."""
    return make_zip(_with_pickle(records, lambda data: damage_pickle(data, rng)))


def _with_pickle(records: list[Record], change: Callable[[bytes], bytes]) -> list[Record]:
    """Return the records with a changed pickle."""
    return [each._replace(data=change(each.data)) if each.name.endswith('data.pkl') else each for each in records]


def _other_record(records: list[Record], rng: random.Random) -> bytes:
    """Return a zip with one record that was changed, removed, doubled, or has the contents of another."""
    place, other = rng.randrange(len(records)), rng.choice(records)
    changed = [
        *[[_changed(records[place], rng)]] * 4,
        [],
        [records[place], records[place]._replace(data=mutate_bytes(records[place].data, rng))],
        [records[place]._replace(data=other.data)],
    ]
    return make_zip([*records[:place], *rng.choice(changed), *records[place + 1 :]])


def _other_structure(records: list[Record], rng: random.Random) -> bytes:
    """Return a zip with a second directory, a prefix, a comment, or damaged bytes."""
    action = rng.randrange(4)
    if action == 0:
        return make_zip(records, [each._replace(data=each.data[:8]) for each in records])
    if action == 1:
        return make_zip(records, prefix=rng.choice([b'x', b'PK\3\4']))
    if action == 2:
        return make_zip(records, comment=rng.choice([b'PK\5\6', b'x' * 70]))
    return mutate_bytes(make_zip(records), rng)


#: What is changed in a zip, and its share; the first two leave it one that torch can read, the third often.
_CHANGES: dict[Callable[[list[Record], random.Random], bytes], float] = {
    _reordered: 1,
    _other_values: 4,
    _other_numbers: 4,
    _other_pickle: 2,
    _other_record: 2,
    _other_structure: 1,
}


def _changed(record: Record, rng: random.Random) -> Record:
    """Return a record with another name, method, size, version or extra field, so that its header contradicts it."""
    large = struct.pack('<2HQ', 1, 8, rng.choice([0, 1, 2**32 - 1, 2**40]))
    changes: list[dict[str, Any]] = [
        {'method': DEFLATED},
        {'method': 12},
        {'local_name': '../../x'},
        {'name': rng.choice(['/x', '../x', record.name.upper(), f'{record.name}\0', ''])},
        {'claimed': rng.choice([0, 1, 2**31, 2**32 - 1])},
        {'version': 1000},
        {'extra': large},
        {'extra': large + large, 'claimed': 2**32 - 1},
        {'data': record.data[: len(record.data) // 2]},
        {'data': b'\0' * 10**6, 'method': DEFLATED},
    ]
    return record._replace(**rng.choice(changes))


def old_format(corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """Write a damaged file in the format before torch 1.6, or in the tar before that."""
    buffer = io.BytesIO()
    torch.save(torch.load(corpus.root / 'weights.pth'), buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    if rng.random() < 0.2:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode='w') as archive:
            for name in ('sys_info', 'pickle', 'tensors', 'storages', rng.choice(['../../x', '/tmp/x', 'storages'])):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        data = tar.getvalue()
    elif rng.random() < 0.5:
        data = damage_pickle(data, rng)
    (folder / 'weights.pth').write_bytes(mutate_bytes(data, rng) if rng.random() < 0.7 else data)
    return 'weights.pth'


def safetensors(corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """Write safetensors whose header has other types, shapes or places, or a name twice."""
    data = corpus.read('weights.safetensors')
    size = int.from_bytes(data[:8], 'little')
    header, tensors = json.loads(data[8 : 8 + size]), data[8 + size :]
    for name in rng.sample(list(header), rng.choice([1, 1, 2])):
        entry = header[name] if isinstance(header[name], dict) else {}
        entry[rng.choice(['dtype', 'shape', 'data_offsets'])] = rng.choice(
            ['F64', 'F8_E8M0', 'I4', [2**62, 4], [-1], [0, 0], [0, 2**63], [4, 2], [0, len(tensors)], nasty(rng)]
        )
    text = json.dumps(header).encode(errors='replace')
    if rng.random() < 0.3:
        text = text[:-1] + b',' + text[1:]  # each name twice
    if rng.random() < 0.2:
        text = mutate_bytes(text, rng)
    length = len(text) if rng.random() < 0.9 else rng.choice([0, 2**20, 2**63, 2**64 - 1])
    (folder / 'weights.safetensors').write_bytes(length.to_bytes(8, 'little') + text + tensors)
    return 'weights.safetensors'


def weight_words(path: str, corpus: Corpus, rng: random.Random) -> tuple[list[str], Any]:
    """Return the words of a command that reads weights, and the call in its place or None.

    Args:
        path: the file, `weights.pth` or `weights.safetensors` for a backbone's, else a checkpoint.
        corpus: what else the commands take.
        rng: makes the choice.
    """
    backbone = path.startswith('weights')
    if rng.random() < (0.1 if backbone else 0.3):
        image = corpus.root / 'images/colour.jpg'
        return ['seglight.load', path], from_python(lambda: seglight.load(path).predict(image))
    convert = [['convert', family, path, 'out.pth'] for family in ('swin', 'swin', 'swin', 'swin', 'timm', 'resnet')]
    others = [
        *[['info', path]] * 4,
        *[['export', path, 'out.pth']] * 2,
        ['soup', path, str(corpus.root / 'run/epoch_1.ckpt'), '--output=out.ckpt'],
        ['fit', f'--config={corpus.root / "own.yaml"}', f'--load-from={path}', '--trainer.fast_dev_run=1'],
    ]
    return rng.choice([*convert, *others] if backbone else [*convert[-1:], *others]), None
