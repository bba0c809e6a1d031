"""Which members an archive has and where: read once, then kept in columns for all processes and later starts."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np

from seglight.data.archives.archive import REMOTE, Archive, Member
from seglight.data.archives.member_cache import MemberCache
from seglight.data.archives.members import TYPES, Members
from seglight.data.archives.remote import connect
from seglight.data.archives.tars import list_tar
from seglight.data.archives.zips import list_zip
from seglight.data.column_files import Array, Columns, cached, is_settled, state
from seglight.data.formats import StrPath, UnreadableError, check_size, open_regular
from seglight.data.texts import Texts
from seglight.errors import DataError

#: Suffixes of archives.
ARCHIVE_SUFFIXES = ('.zip', '.tar')

#: Archives that a process knows at once; each takes a few kilobytes and maps one file.
_MOST_KNOWN = 4096

_INSIDE = re.compile(r'\.(?:zip|tar)[/\\]', re.IGNORECASE)


def is_archive(path: Path) -> bool:
    """Return whether a path has the suffix of an archive."""
    return path.suffix.lower() in ARCHIVE_SUFFIXES


_known: dict[Path, Archive] = {}


def open_archive(path: Path) -> Archive:
    """Return an archive; its list is read again when the file has changed.

    Raises:
        DataError: if it cannot be read, is damaged, or is refused for one of its members.
    """

    def local() -> io.RawIOBase:
        return open_regular(path, maximum=None)

    try:
        status = state(path)
        known = _known.get(path)
        if known is not None and known.status == status:
            return known
        columns = _columns(str(path.absolute()), status if is_settled([path]) else '', path.stat().st_size, local)
    except FileNotFoundError as error:
        raise DataError(f'The archive {path} does not exist; correct the path') from error
    except OSError as error:
        raise DataError(f'The archive {path} cannot be read: {error.strerror}') from error
    except UnreadableError as error:
        raise DataError(f'The archive {path} cannot be read: {error}') from error
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[path] = Archive(path, status, columns)
    return _known[path]


def open_remote(address: str, cache: MemberCache | None) -> Archive:
    """Return the archive at an address, and make it known, so that `find_member` finds its members.

    Args:
        address: the address, which must come from the user.
        cache: keeps its members, if the server gives a version or a date.

    Raises:
        DataError: if it cannot be read, is damaged, or is refused for one of its members.
        SetupError: if a package for the address is missing.
    """
    try:
        remote = connect(address)
        check_size(remote.size, maximum=None)
        columns = _columns(address, remote.status if remote.version else '', remote.size, remote.open)
    except UnreadableError as error:
        raise DataError(f'An archive cannot be read: {error}') from None
    kept = cache if remote.version else None  # without a version, members of another content have the same key
    archive = Archive(Path(address), remote.status, columns, remote, kept)
    REMOTE[str(archive.path)] = archive
    return archive


def _columns(place: str, status: str, size: int, opened: Callable[[], io.RawIOBase]) -> Columns:
    """Return the list of an archive from the cache, or read it.

    Args:
        place: its absolute path or its address.
        status: its state; empty if its list must not be kept.
        size: in bytes.
        opened: opens it.
    """

    def listed() -> dict[str, Array]:
        members = Members(place)
        is_zip = place.lower().endswith('.zip')
        with io.BufferedReader(opened(), 1 << 20 if is_zip else 1 << 14) as file:
            (list_zip if is_zip else list_tar)(file, members)
        return members.columns()

    key = f'{place} {status}' if status else ''
    return cached(f'archive {place}', key, TYPES, lambda found: _is_sound(found, size), listed)


def _is_sound(columns: Columns, size: int) -> bool:
    """Return whether the columns of a file in the cache fit each other and an archive of this size."""
    count = len(columns['name_end'])
    if any(len(columns[name]) != count for name in ('order', 'start', 'size', 'checksum')):
        return False
    if not Texts(columns['name'], columns['name_end']).is_sound():
        return False
    order, starts, sizes = columns['order'], columns['start'], columns['size']
    if count and not (starts.min() >= 0 and sizes.min() >= 0 and (starts + sizes).max() <= size):
        return False
    return np.array_equal(np.sort(order), np.arange(count))


def find_member(path: StrPath) -> Member | None:
    """Return the member of an archive that a path means, such as `train.zip/img_dir/a.jpg`; None for any other path.

    Raises:
        DataError: if the archive cannot be read.
        FileNotFoundError: if it has no such member.
    """
    text = os.fspath(path)
    for found in _INSIDE.finditer(text):
        file, name = text[: found.end() - 1], text[found.end() :].replace(os.sep, '/')
        archive = REMOTE.get(file)
        if archive is not None and archive.remote is not None:
            time = archive.remote.time
        else:
            try:
                status = os.stat(file)  # noqa: PTH116  (twice as fast)
            except OSError:
                return None
            if stat.S_ISDIR(status.st_mode):
                continue
            archive, time = open_archive(Path(file)), status.st_mtime_ns
        member = archive.member(name, time)
        if member is None:
            raise FileNotFoundError(2, os.strerror(2), text)
        return member
    return None


def address_of(path: StrPath) -> str | None:
    """Return the address of the remote archive that a path leads into; None for any other path."""
    text = os.fspath(path)
    return next((archive.place for file, archive in REMOTE.items() if text.startswith(f'{file}{os.sep}')), None)
