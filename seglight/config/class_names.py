"""The classes that a checkpoint was trained with beside those that it is used with."""

from __future__ import annotations

from collections.abc import Sequence


def order_of(trained: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Return where each wanted class is among the trained ones, if both are the same in another order; else None."""
    if list(trained) == list(wanted) or sorted(trained) != sorted(wanted) or len(set(wanted)) != len(wanted):
        return None
    return [list(trained).index(name) for name in wanted]


def difference(trained: Sequence[str], wanted: Sequence[str]) -> str:
    """Return in words how as many classes differ, empty if they do not."""
    pairs = [(index, *names) for index, names in enumerate(zip(trained, wanted, strict=True)) if names[0] != names[1]]
    if not pairs:
        return ''
    shown = ', '.join(f"{index} is '{old}' there and '{new}' here" for index, old, new in pairs[:3])
    what = 'has the same classes in another order' if order_of(trained, wanted) else 'has other names of classes'
    return f'{what}: {shown}{f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""}'
