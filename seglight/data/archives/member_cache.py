"""A cache of the members of remote archives: files below the user's cache, shared by processes, with a maximum size."""

from __future__ import annotations

import functools
import hashlib
import os
import zlib
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from seglight.errors import warn
from seglight.files import cache_dir, write_atomically

#: Seconds to wait for the lock; without it, a member is fetched again the next time.
_PATIENCE = 30

#: Share of the maximum size that is kept when there is no room, so that room is made rarely.
_KEPT = 0.9

_CHECKSUM = 4  #: bytes of the CRC-32 before the bytes of a member


class MemberCache:
    """Keeps members of remote archives in files; those that were not used for the longest time are removed.

    Args:
        limit: maximum size in bytes, of all members of all archives together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def read(self, key: str) -> bytes | None:
        """Return the bytes of a member; None if they are not kept, or damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path)  # was used
        except OSError:
            return None
        content = data[_CHECKSUM:]
        is_sound = len(data) >= _CHECKSUM and int.from_bytes(data[:_CHECKSUM], 'little') == zlib.crc32(content)
        return content if is_sound else None

    def keep(self, key: str, data: bytes) -> None:
        """Keep the bytes of a member, if there is room or room can be made; warn once if they cannot be written."""
        path, size = self._path(key), _CHECKSUM + len(data)
        if size > self.limit:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / '.lock', timeout=_PATIENCE):  # what is written is counted
                write_atomically(path, zlib.crc32(data).to_bytes(_CHECKSUM, 'little') + data)
                held = self._held(size)
                if held > self.limit:
                    held = self._make_room(path)
                write_atomically(self._folder / '.size', str(held).encode())
        except (OSError, Timeout) as error:
            cause = 'it is locked' if isinstance(error, Timeout) else error.strerror
            _warn(f'members of remote archives are not kept in {self._folder}: {cause}')

    @property
    def _folder(self) -> Path:
        return cache_dir() / 'members'

    def _path(self, key: str) -> Path:
        digest = hashlib.blake2b(key.encode(errors='surrogatepass'), digest_size=20).hexdigest()
        return self._folder / digest[:2] / digest[2:]

    def _held(self, new: int) -> int:
        """Return how many bytes are kept with new ones; at least that, since replaced files count twice for a while."""
        try:
            return int((self._folder / '.size').read_text()) + new
        except (OSError, ValueError):
            return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[int, int, str]]:
        """Return when each file was used, its size and its path."""
        found = []
        for folder in self._folder.glob('??'):
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(OSError):  # another process may have removed it
                        status = entry.stat()
                        found.append((status.st_mtime_ns, status.st_size, entry.path))
        return found

    def _make_room(self, newest: Path) -> int:
        """Remove what was not used for the longest time, but not the newest file; return the bytes that are left."""
        files = self._files()
        held = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if held <= self.limit * _KEPT:
                break
            if path != str(newest):
                with suppress(OSError):  # on Windows, another process may read it
                    Path(path).unlink()
                    held -= size
        return held


_warn = functools.cache(warn)  # once, not for each member
