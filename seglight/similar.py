"""Words that are alike, for messages about one that is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `; did you mean 'x'?` with the candidate most similar to `word`, or an empty string.

    `cutoff` is the required similarity, from 0 to 1.
    """
    found = difflib.get_close_matches(word, list(candidates), n=1, cutoff=cutoff)
    return f"; did you mean '{found[0]}'?" if found else ''
