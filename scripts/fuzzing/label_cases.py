"""Damaged labels: JSON of labelme, YOLO polygons, colours of a VOC label map; and YAML that refers to itself."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

from fuzzing.corpus import Corpus
from fuzzing.mutations import mutate_bytes, mutate_value, nasty

#: Lines of YAML that are more than values.
YAML = [
    *(
        'a: &a [*a]',
        'a: &a {b: *a}',
        '<<: {data: 1}',
        '<<: [1]',
        '<<: *x',
        '? [1, 2]\n: 3',
        '!!python/object:os.system {}',
    ),
    *(
        'a: !!binary AAAA',
        'a: !!set {b, c}',
        'a: !!timestamp 2020-13-45',
        'a: !!int x',
        '--- {}',
        '%YAML 9.9',
        '&a a: *a',
    ),
    *(
        'a: !!float "1_0"',
        'a: 1:2:3:4',
        'a: 0o9',
        'a: !<tag:yaml.org,2002:python/name:os.system> x',
        '"\\U0010ffff": 1',
    ),
    '\n'.join(
        [
            'a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]',
            *(f'a{n}: &a{n} [{", ".join([f"*a{n - 1}"] * 9)}]' for n in range(1, 9)),
        ]
    ),
]


def damaged_yaml(text: str, rng: random.Random) -> bytes:
    """Return YAML with an anchor, a merge, a tag or a document too many."""
    lines = text.splitlines()
    places = [number for number, line in enumerate(lines) if line[:1].strip()]
    lines.insert(rng.choice([*places, len(lines)]), rng.choice(YAML))
    return '\n'.join(lines).encode()


def damaged_labels(corpus: Corpus, folder: Path, rng: random.Random) -> dict[str, Any]:
    """Write two images with damaged labels, and return the source that reads them."""
    shutil.copytree(corpus.root / 'data/img_dir/train', folder / 'images')
    shutil.copytree(corpus.root / 'data/ann_dir/train', folder / 'masks')
    (folder / 'labels').mkdir()
    kind = rng.choice([_labelme, _yolo, _labelmap])
    return kind(folder, rng)


def _labelme(folder: Path, rng: random.Random) -> dict[str, Any]:
    shapes = [
        {
            'label': 'box',
            'shape_type': 'polygon',
            'points': [[1, 1], [20, 1], [20.5, 20]],
            'group_id': None,
            'flags': {},
        },
        {'label': 'disc', 'shape_type': rng.choice(['rectangle', 'circle', 'mask']), 'points': [[2, 2], [9, 9]]},
    ]
    for number in range(2):
        file: dict[str, Any] = {
            'version': '5.0.1',
            'flags': {},
            'shapes': shapes,
            'imagePath': rng.choice([f'../images/{number:04}.jpg'] * 4 + ['/etc/passwd', '../../canary/photo.jpg']),
            'imageData': None,
            'imageHeight': 32,
            'imageWidth': 32,
        }
        text = json.dumps(mutate_value(file, rng)).encode()
        (folder / f'labels/{number:04}.json').write_bytes(mutate_bytes(text, rng) if rng.random() < 0.2 else text)
    return {'type': 'LabelMeSource', 'ann_dir': 'labels', 'background': 'background'}


def _yolo(folder: Path, rng: random.Random) -> dict[str, Any]:
    words = ['0', '1', '0.5', '1.5', '-1', 'nan', 'inf', '1e400', '', 'x', '9' * 5000, '0x1', '1_0', '\ud7ff', '٣']
    for number in range(2):
        lines = ['0 0.1 0.1 0.9 0.1 0.5 0.9', '1 0.2 0.2 0.4 0.2 0.4 0.4 0.2 0.4']
        lines += [' '.join(rng.choices(words, k=rng.choice([0, 1, 5, 7, 8]))) for _ in range(rng.choice([0, 1, 2]))]
        text = '\n'.join(lines).encode()
        (folder / f'labels/{number:04}.txt').write_bytes(mutate_bytes(text, rng) if rng.random() < 0.3 else text)
    names: Any = (
        ['box', 'disc'] if rng.random() < 0.7 else rng.choice([{0: 'box', 1: 'disc'}, 'names.yaml', nasty(rng)])
    )
    (folder / 'names.yaml').write_bytes(damaged_yaml('names:\n  0: box\n  1: disc', rng))
    return {
        'type': 'YoloSource',
        'img_dir': 'images',
        'label_dir': 'labels',
        'names': names,
        'background': 'background',
    }


def _labelmap(folder: Path, rng: random.Random) -> dict[str, Any]:
    lines = ['# label:color_rgb:parts:actions', 'background:0,0,0::', 'box:1,1,1::', 'disc:2,2,2::']
    others = [
        'box:1,1',
        'x',
        ':::',
        'a:1,2,3',
        'box:300,1,1::',
        'box:1,1,1::',
        'disc:-1,0,0::',
        'ä:٣,1,1::',
        'a\0:1,1,1::',
    ]
    text = '\n'.join([*lines, *rng.sample(others, rng.choice([0, 1, 2]))]).encode()
    (folder / 'labelmap.txt').write_bytes(mutate_bytes(text, rng) if rng.random() < 0.5 else text)
    return {'type': 'FolderSource', 'img_dir': 'images', 'ann_dir': 'masks', 'labelmap': 'labelmap.txt'}
