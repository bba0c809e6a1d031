"""Damaged files of weights: zips that parsers read differently, pickles, files before torch 1.6, safetensors."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import torch

import seglight
from fuzzing.corpus import Corpus, from_python
from fuzzing.mutations import mutate_bytes, nasty
from fuzzing.pickles import damage_pickle
from fuzzing.zips import DEFLATED, Record, make_zip


def damaged_zip(corpus: Corpus, folder: Path, rng: random.Random) -> list[str]:
    """Write a zip of weights or of a checkpoint whose records, pickle or directories were changed."""
    name = rng.choice(['run/epoch_1.ckpt', 'mmseg.pth', 'weights.pth'])
    with zipfile.ZipFile(corpus.root / name) as archive:
        records = [Record(info.filename, archive.read(info)) for info in archive.infolist()]
    records = [_pickle(record, rng) if record.name.endswith('data.pkl') else record for record in records]
    shown: list[Record] = []
    action = rng.randrange(6)
    if action < 3:
        records = [_changed(each, rng) if rng.random() < 0.1 else each for each in records]
    elif action == 3:
        records += [each._replace(data=mutate_bytes(each.data, rng)) for each in rng.sample(records, 2)]
    elif action == 4:
        shown = [each._replace(data=each.data[:8]) for each in records]
    rng.shuffle(records[1:])
    prefix, comment = rng.choice([b'', b'', b'', b'x', b'PK\3\4']), rng.choice([b'', b'', b'', b'PK\5\6', b'x' * 70])
    data = make_zip(records, shown, prefix, comment)
    path = folder / f'a{Path(name).suffix}'
    path.write_bytes(mutate_bytes(data, rng) if rng.random() < 0.1 else data)
    return [path.name]


def _pickle(record: Record, rng: random.Random) -> Record:
    return record._replace(data=damage_pickle(record.data, rng)) if rng.random() < 0.5 else record


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


def old_format(corpus: Corpus, folder: Path, rng: random.Random) -> list[str]:
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
    (folder / 'a.pth').write_bytes(mutate_bytes(data, rng) if rng.random() < 0.7 else data)
    return ['a.pth']


def safetensors(corpus: Corpus, folder: Path, rng: random.Random) -> list[str]:
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
    (folder / 'a.safetensors').write_bytes(length.to_bytes(8, 'little') + text + tensors)
    return ['a.safetensors']


def weight_words(path: str, corpus: Corpus, rng: random.Random) -> tuple[list[str], Any]:
    """Return the words of a command that reads weights, and the call in its place or None."""
    if rng.random() < 0.3:
        image = corpus.root / 'images/colour.jpg'
        return ['seglight.load', path], from_python(lambda: seglight.load(path).predict(image))
    words = [
        *[['convert', rng.choice(['swin', 'timm', 'resnet', 'vit', 'mit']), path, 'out.pth']] * 8,
        *[['info', path]] * 4,
        ['export', path, 'out.pth'],
        ['soup', path, str(corpus.root / 'run/epoch_1.ckpt'), '--output=soup.ckpt'],
        ['fit', f'--config={corpus.root / "own.yaml"}', f'--load-from={path}', '--trainer.fast_dev_run=1'],
    ]
    return rng.choice(words), None
