"""Damage pickles by their opcodes: calls that take memory or run code, and values of the memo in other places."""

from __future__ import annotations

import pickle
import pickletools
import random
import struct


def _text(value: str) -> bytes:
    data = value.encode(errors='replace')
    return b'X' + struct.pack('<I', len(data)) + data


def _number(value: int) -> bytes:
    data = pickle.encode_long(value)
    return b'\x8a' + bytes([len(data)]) + data


def _call(module: str, name: str, *arguments: bytes) -> bytes:
    return f'c{module}\n{name}\n('.encode() + b''.join(arguments) + b'tR'


def _doubled(times: int) -> bytes:
    value = _call('_codecs', 'encode', _text('a' * 100), _text('utf-16'))
    for _ in range(times):
        value = _call('_codecs', 'encode', value, _text('hex'))
    return value


#: Values that a pickle pushes.
SNIPPETS = [
    *(b'N', b')', b']', b'}', b'\x88', _number(0), _number(-1), _number(2**62), _text(''), _text('../x'), _text('cpu')),
    *(_call('builtins', name, _number(2**33)) for name in ('bytearray', 'set', 'complex', 'range', 'list')),
    *(_call('exceptions', 'bytearray', _number(2**33)), _call('torch', 'FloatTensor', _number(2**31)), _doubled(30)),
    *(_call('posix', 'system', _text('true')), _call('fuzz_canary', 'Evil'), _call('builtins', 'eval', _text('1'))),
    *(_call('numpy', 'dtype', _text(code)) for code in ('O', 'f8', 'S999999', 'V10')),
    _call('numpy.core.multiarray', '_reconstruct', _call('numpy', 'dtype', _text('f8')), b')', _text('b')),
    *(_call('torch', 'Size', b']'), _call('torch', 'device', _text('meta')), _call('torch', 'device', _text('cuda:0'))),
    *(_call('torch._utils', '_rebuild_tensor_v2', *[_number(1)] * 6), _call('collections', 'OrderedDict', b']')),
    b'(' + b'\x8f' * 100 + b't',
    b']q\xff' + b'h\xff' * 3,
]


def damage_pickle(data: bytes, rng: random.Random) -> bytes:
    """Return a pickle in which values were replaced, or opcodes removed, repeated or moved."""
    parts = _split(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(parts))
        values = [number for number, part in enumerate(parts) if part[:1] in (b'X', b'N', b'K', b'J', b'M', b'h')]
        if values and rng.random() < 0.6:
            parts[rng.choice(values)] = rng.choice(SNIPPETS)
        elif rng.random() < 0.5:
            parts[place] = rng.choice([b'', parts[place] * 2, rng.choice(parts), b'R', b'b', b'h\1', b'0', b'2'])
        else:
            other = rng.randrange(len(parts))
            parts[place], parts[other] = parts[other], parts[place]
    return b''.join(parts)


#: Opcodes of whole numbers, and their sizes in bytes: one, two and four.
_NUMBERS = {b'K': 1, b'M': 2, b'J': 4}


def damage_numbers(data: bytes, rng: random.Random) -> bytes:
    """Return a pickle with one or two other whole numbers, mostly near what they were, so that it stays a pickle."""
    parts = _split(data)
    places = [place for place, part in enumerate(parts) if len(part) == 1 + _NUMBERS.get(part[:1], -1)]
    for place in rng.sample(places, min(len(places), rng.choice([1, 1, 2]))):
        value = int.from_bytes(parts[place][1:], 'little', signed=parts[place][:1] == b'J')
        near = [value + 1, max(value - 1, 0), 2 * value, value // 2, 0, 1]
        parts[place] = _number(rng.choice(near if rng.random() < 0.8 else [-1, 2**31, 2**40, 2**62, 2**63]))
    return b''.join(parts)


def _split(data: bytes) -> list[bytes]:
    """Return the bytes of each opcode of the first pickle, and the rest; all of it if it is damaged."""
    try:
        places = [place for _, _, place in pickletools.genops(data)]
    except ValueError:
        return [data]
    ends = [*(place or 0 for place in places[1:]), (places[-1] or 0) + 1, len(data)]
    return [data[start or 0 : end] for start, end in zip([*places, ends[-2]], ends, strict=True)]
