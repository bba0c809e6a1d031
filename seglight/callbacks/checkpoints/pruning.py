"""Which checkpoints in a folder to keep, and the link to the newest."""

from __future__ import annotations

from collections.abc import Iterable, Set
from pathlib import Path

from seglight.files import link, newest, numbered, resumable
from seglight.weight_files import temporary_name


def prune(folder: Path, prefixes: Iterable[str], kept: Set[str]) -> None:
    """Delete the files `{prefix}_{N}.ckpt` and their unfinished versions, except those whose names are in `kept`."""
    for prefix in prefixes:
        start, end = temporary_name(Path(f'{prefix}_*.ckpt')).name.split('*')
        for path in [*numbered(folder, f'{prefix}_', '.ckpt'), *numbered(folder, start, end)]:
            if path.name not in kept:
                path.unlink(missing_ok=True)


def newest_names(folder: Path, prefix: str, count: int) -> set[str]:
    """Return the names of the `count` newest files `{prefix}_{N}.ckpt`; of all if `count` is -1."""
    found = numbered(folder, f'{prefix}_', '.ckpt')
    paths = sorted(found, key=lambda path: (path.stat().st_mtime_ns, int(path.stem.rpartition('_')[2])))
    return {path.name for path in (paths if count == -1 else paths[-count:])}


def link_newest(folder: Path) -> None:
    """Link `last.ckpt` to the newest checkpoint, like mmcv's `latest.pth`."""
    if target := newest(resumable(folder)):
        link(folder / 'last.ckpt', Path(target.name))
