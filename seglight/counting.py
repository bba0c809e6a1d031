"""Counts with their nouns, 1 image, 2 images; and shares in percent."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless there is one: `1 image`, `0 images`, `2 batches`."""
    if number == 1:
        return f'1 {noun}'
    return f'{number} {noun}{"es" if noun.endswith(("tch", "s", "sh", "x")) else "s"}'


def percent(share: float) -> str:
    """Return a share in percent with four decimals; only a share of exactly 1 is shown as 100 %."""
    return '100 %' if share == 1 else f'{min(100 * share, 99.9999):.4f} %'


def duration(seconds: float) -> str:
    """Return a time in the unit in which it is easy to read: `90 seconds`, `30 minutes`, `2.5 hours`."""
    if seconds < 120:
        return f'{seconds:.0f} seconds'
    return f'{seconds / 60:.0f} minutes' if seconds < 7200 else f'{seconds / 3600:.1f} hours'
