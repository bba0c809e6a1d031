"""For which images a file with the predictions of all images is complete, noted beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from seglight.files import write_atomically
from seglight.plain_text import read_text


def checksum(names: Iterable[str]) -> str:
    """Return a checksum of the names of images in order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode(errors='surrogateescape') + b'\0')
    return digest.hexdigest()


def note_images(target: Path, names: Iterable[str]) -> None:
    """Note the images of a complete file in a hidden file beside it."""
    write_atomically(_note(target), checksum(names).encode())


def has_images(target: Path, names: Iterable[str]) -> bool:
    """Return whether a file exists and is complete for these images."""
    note = _note(target)
    return target.is_file() and note.is_file() and read_text(note, errors='replace') == checksum(names)


def _note(target: Path) -> Path:
    return target.with_name(f'.{target.name}.images')
