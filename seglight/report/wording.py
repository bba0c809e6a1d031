"""How pages write numbers and lists of names."""

from __future__ import annotations

import math
from collections.abc import Iterable

NAMED = 5  #: maximum number of names in a sentence


def percent(share: float, places: int = 2) -> str:
    """Return a fraction in percent, or `absent` for NaN."""
    return 'absent' if math.isnan(share) else f'{100 * share:.{places}f} %'


def small(share: float) -> str:
    """Return a fraction in percent with two significant digits, for shares that may be tiny."""
    return f'{100 * share:.2g} %'


def enumerated(names: Iterable[str]) -> str:
    """Return names as part of a sentence, at most `NAMED` of them."""
    listed = list(names)
    more = f' and {len(listed) - NAMED} more' if len(listed) > NAMED else ''
    return f'{", ".join(listed[:NAMED])}{more}'
