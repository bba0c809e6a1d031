"""Which checkpoints in a folder to keep, and the link to the newest."""

from __future__ import annotations

from collections.abc import Iterable, Set
from pathlib import Path

from seglight.files import link, newest
from seglight.weight_files import temporary_name

#: Checkpoints from which a run can resume exactly, each written between two steps.
RESUMABLE = ('epoch_*.ckpt', 'iter_*.ckpt')


def prune(folder: Path, patterns: Iterable[str], kept: Set[str]) -> None:
    """Delete the files that match a pattern, and their unfinished versions, except those whose names are in `kept`."""
    for pattern in patterns:
        for path in [*folder.glob(pattern), *folder.glob(temporary_name(Path(pattern)).name)]:
            if path.name not in kept:
                path.unlink(missing_ok=True)


def newest_names(folder: Path, prefix: str, count: int) -> set[str]:
    """Return the names of the `count` newest files `{prefix}_{N}.ckpt`; of all if `count` is -1."""
    paths = sorted(folder.glob(f'{prefix}_*.ckpt'), key=lambda path: (path.stat().st_mtime_ns, _number(path)))
    return {path.name for path in (paths if count == -1 else paths[-count:])}


def link_newest(folder: Path) -> None:
    """Link `last.ckpt` to the newest checkpoint, like mmcv's `latest.pth`."""
    if target := newest(folder, *RESUMABLE):
        link(folder / 'last.ckpt', Path(target.name))


def _number(path: Path) -> int:
    """Return the number in `epoch_12.ckpt`."""
    digits = path.stem.rpartition('_')[2]
    return int(digits) if digits.isdigit() else 0
