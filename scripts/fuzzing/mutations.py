"""Damage bytes and nested values at random."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

#: Replacements for nested values; `{canary}` is a folder that no command may read.
NASTY: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**40, 1e308, -0.0, float('nan'), float('inf')),
    *('', ' ', 'a', '0', '1e999', 'null', '~', '\n', '\r', '\x1b[31m', '\u2028', '\ud800', 'x' * 300, 'ä'),
    *('/', '.', '..', '../../x', '/etc/passwd', '{canary}/secret', '{canary}/weights.pkl', '{canary}/weights.npy'),
    *('http://192.0.2.1/w.pth', 'https://user:word@192.0.2.1/w.pkl', 'hf-hub:timm/resnet18', 's3://bucket/w.pkl'),
    *(
        'file:///etc/passwd',
        'open-mmlab://resnet50_v1c',
        'torchvision://resnet18',
        'weights://../../x',
        '//192.0.2.1/x',
    ),
    *('fuzz_canary.Evil', 'antigravity.X', 'os.system', 'builtins.eval', 'subprocess.Popen', 'this.x', 'seglight.cli'),
    *('TIMMBackbone', 'Pretrained', 'MemcachedBackend', 'ADE20KDataset', 'CustomDataset', 'Compose', 'ResNet'),
    *([], {}, [[]], {'type': 'x'}, {'class_path': 'fuzz_canary.Evil'}, {'type': 'fuzz_canary.Evil'}, [1, 'a', None]),
    *({'type': 'TIMMBackbone', 'model_name': 'resnet18'}, {'type': 'Pretrained', 'checkpoint': '{canary}/weights.pkl'}),
    *({'backend': 'memcached', 'sys_path': '{canary}'}, {'__class__': 'x'}, {'_base_': '{canary}/base.yaml'}),
    *([0] * 2000, {str(n): n for n in range(500)}),
]


def nasty(rng: random.Random) -> Any:
    """Return an unexpected value."""
    if rng.random() < 0.05:
        return deep(rng.choice([10, 100, 900]), rng.random() < 0.5)
    return copy.deepcopy(rng.choice(NASTY))


def deep(levels: int, lists: bool) -> Any:
    """Return a value with the given number of levels."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if lists else {'a': value}
    return value


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container within a nested value with each of its keys or indices."""
    stack = [value]
    while stack:
        node = stack.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            yield node, key
            stack.append(node[key])


def mutate_value(value: Any, rng: random.Random) -> Any:
    """Return a copy of a nested value with one to three parts replaced, removed, doubled, renamed or swapped."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        found = list(places(value))
        if not found or rng.random() < 0.02:
            return nasty(rng)
        node, key = rng.choice(found)
        action = rng.random()
        if action < 0.65:
            node[key] = nasty(rng)
        elif action < 0.75:
            del node[key]
        elif action < 0.85 and isinstance(node, dict):
            node[rng.choice(['type', 'class_path', 'pretrained', 'checkpoint', '_delete_', 'x', 'init_cfg'])] = nasty(
                rng
            )
        elif isinstance(node, list):
            node.extend(copy.deepcopy(node[key : key + 1]) * rng.choice([1, 2, 50]))
        else:
            other, name = rng.choice(found)
            if _holds(other, name):
                node[key] = copy.deepcopy(other[name])
    return value


def _holds(node: Any, key: Any) -> bool:
    """Return whether a place still exists after other changes."""
    return key in node if isinstance(node, dict) else isinstance(key, int) and key < len(node)


#: Numbers that break file formats, as bytes.
_NUMBERS = [
    b'\0\0\0\0',
    b'\xff\xff\xff\xff',
    b'\x7f\xff\xff\xff',
    b'\xff\xff\xff\x7f',
    b'\0\1',
    b'\1\0',
    b'\0',
    b'\xff',
]


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return damaged bytes: flipped, cut off, doubled, removed, overwritten or inserted, more often near the start."""
    result = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        size = len(result)
        place = min(size, int(size * rng.random() ** rng.choice([1, 3])))
        end = min(size, place + rng.choice([1, 2, 4, 16, 256]))
        action = rng.randrange(6)
        if action == 0 and place < size:
            result[place] ^= 1 << rng.randrange(8)
        elif action == 1:
            del result[place:]
        elif action == 2:
            result[place:place] = result[place:end] * rng.choice([1, 3, 100])
        elif action == 3:
            del result[place:end]
        elif action == 4:
            number = rng.choice(_NUMBERS)
            result[place : place + len(number)] = number
        else:
            result[place:place] = rng.randbytes(rng.choice([1, 4, 64]))
    return bytes(result)
