"""The lock on a folder or a file: only one process at a time trains in it, or writes predictions to it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from seglight.errors import UsageError, warn
from seglight.files import as_bytes, write_atomically

#: Files that are not part of the run: the lock, and the description of its holder.
LOCK, HOLDER = '.lock', '.lock_holder'

#: Seconds that loader processes may outlive a killed run.
ORPHAN_SECONDS = 15


class RunLock:
    """A lock of the operating system, which it releases when the process ends for any reason.

    Args:
        folder: the folder, which must exist.
        name: of the file in it to lock; empty for the folder itself.
        use: what the holder of the lock does, for the message.
        option: the option that chooses the folder, for the message.
    """

    def __init__(self, folder: Path, name: str = '', use: str = 'trains there', option: str = '--work-dir') -> None:
        self.target = folder / name
        self.use = use
        self.option = option
        prefix = f'.{name}' if name else ''
        self._holder_file = folder / f'{prefix}{HOLDER}'
        self._lock = FileLock(folder / f'{prefix}{LOCK}', thread_local=False)

    def check(self) -> None:
        """Refuse a folder in which another process trains, and leave it as it is.

        Raises:
            ConfigError: with who trains there.
        """
        if self._holder_file.is_file():
            self.acquire()
            self.release()

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            UsageError: if another process holds it; the message names that process.
        """
        try:
            self._take()
        except Timeout:
            raise UsageError(
                f'{self.target} is in use: {self._holder()} {self.use}; wait until it ends, '
                f'or choose another {self.option}'
            ) from None
        except PermissionError:  # writing the first file fails, too, and says why
            return
        except (OSError, NotImplementedError) as error:
            warn(f'cannot lock {self.target} ({error}): make sure that no other run uses it')
            return
        since = datetime.now().astimezone().isoformat(' ', 'seconds')
        holder = f'process {os.getpid()} on {socket.gethostname()}, since {since},'
        write_atomically(self._holder_file, as_bytes(holder))

    def _take(self) -> None:
        """Take the lock; the loader processes of a killed run may hold it for a few more seconds."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            if not self._is_orphaned():
                raise
            self._lock.acquire(timeout=ORPHAN_SECONDS)

    def _is_orphaned(self) -> bool:
        """Return whether the process that took the lock has ended; false if that is unknown."""
        words = self._holder().replace(',', '').split()
        if len(words) < 4 or words[3] != socket.gethostname():
            return False
        try:
            os.kill(int(words[1]), 0)
        except ProcessLookupError:
            return True
        except (OSError, ValueError, OverflowError):
            return False
        return False

    def release(self) -> None:
        """Release the lock, if it is held; the folder may have been deleted."""
        if self._lock.is_locked:
            self._holder_file.unlink(missing_ok=True)
            self._lock.release()

    def _holder(self) -> str:
        """Return a description of the process that holds the lock."""
        with suppress(OSError, UnicodeError):
            return self._holder_file.read_text().strip()
        return 'another process'


def used(folder: Path) -> bool:
    """Return whether a folder contains anything but a lock."""
    return any(path.name not in (LOCK, HOLDER) for path in folder.iterdir())
