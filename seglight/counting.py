"""Counts with their nouns: 1 image, 2 images."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless there is one: `1 image`, `0 images`, `2 batches`."""
    if number == 1:
        return f'1 {noun}'
    return f'{number} {noun}{"es" if noun.endswith(("tch", "s", "sh", "x")) else "s"}'
