"""The cores of the machine that this process may use."""

from __future__ import annotations


def cores() -> int:
    """Return the number of cores that this process may use, by its affinity and the limit of its container."""
    from joblib import cpu_count  # late: only loading needs it

    return int(cpu_count())
