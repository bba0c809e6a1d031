"""The lock on a folder or a file: only one process at a time trains in it, or writes predictions to it."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from seglight.errors import UsageError, say, warn
from seglight.files import as_bytes, write_atomically

#: Files that are not part of the run: the lock, and the description of its holder.
LOCK, HOLDER = '.lock', '.lock_holder'

#: What processes do in a folder that they lock, for `use`.
TRAINS, PREDICTS = 'trains there', 'predicts into it'

#: Seconds between two signs of life of a holder, and those without one after which another machine takes its lock.
BEAT, SILENCE = 10.0, 35.0

#: Seconds that loader processes may outlive a killed run.
ORPHAN_SECONDS = 15


class RunLock:
    """A lock of the operating system, which it releases when the process ends for any reason.

    Since some network file systems keep such locks on one machine, or have none, the holder also touches the file that
    describes it, and a process on another machine takes the lock only if that has stopped. Without locks, two processes
    that start in the same second may both take it.

    Args:
        folder: the folder, which must exist.
        name: of the file in it to lock; empty for the folder itself.
        use: what the holder of the lock does, for the message.
        option: the option that chooses the folder, for the message; empty if there is none.
    """

    def __init__(self, folder: Path, name: str = '', use: str = TRAINS, option: str = '--work-dir') -> None:
        self.target = folder / name
        self.use = use
        self.option = option
        prefix = f'.{name}' if name else ''
        self._holder_file = folder / f'{prefix}{HOLDER}'
        self._lock = FileLock(folder / f'{prefix}{LOCK}', thread_local=False)
        self._ended: threading.Event | None = None  # while it is held; stops the signs of life

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
            raise self._in_use() from None
        except PermissionError:  # writing the first file fails, too, and says why
            return
        except (OSError, NotImplementedError) as error:
            warn(f'cannot lock {self.target} ({error}): make sure that no other run on this machine uses it')
        if self._lives_elsewhere():
            self._lock.release()
            raise self._in_use()
        since = datetime.now().astimezone().isoformat(' ', 'seconds')
        holder = f'process {os.getpid()} on {socket.gethostname()}, since {since},'
        write_atomically(self._holder_file, as_bytes(holder))
        self._ended = threading.Event()
        threading.Thread(target=_touch, args=(self._holder_file, self._ended), daemon=True).start()

    def _in_use(self) -> UsageError:
        cure = f'wait until it ends{f", or choose another {self.option}" if self.option else ""}'
        return UsageError(f'{self.target} is in use: {self._holder()} {self.use}; {cure}')

    def _lives_elsewhere(self) -> bool:
        """Return whether a process on another machine gives signs of life; this waits for one."""
        before = self._touched()
        if before is None or self._machine() in (None, socket.gethostname()):
            return False
        say(f'{self.target} was used by {self._holder()} waiting {SILENCE:.0f} s for a sign of life')
        end = time.monotonic() + SILENCE
        while time.monotonic() < end:
            time.sleep(min(1.0, SILENCE / 10))
            if self._touched() not in (None, before):
                return True
        return False

    def _touched(self) -> int | None:
        """Return when the holder gave its last sign of life, None without a holder."""
        with suppress(OSError):
            return self._holder_file.stat().st_mtime_ns
        return None

    def _machine(self) -> str | None:
        """Return the machine of the holder, None if it is unknown."""
        words = self._holder().replace(',', '').split()
        return words[3] if len(words) > 3 else None

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
        if sys.platform == 'win32' or self._machine() != socket.gethostname():  # where signal 0 is Ctrl-C
            return False
        try:
            os.kill(int(self._holder().split()[1]), 0)
        except ProcessLookupError:
            return True
        except (OSError, ValueError, OverflowError):
            return False
        return False

    def release(self) -> None:
        """Release the lock, if it is held; the folder may have been deleted."""
        if self._ended:
            self._ended.set()
            self._ended = None
            self._holder_file.unlink(missing_ok=True)
        self._lock.release()

    def _holder(self) -> str:
        """Return a description of the process that holds the lock."""
        with suppress(OSError, UnicodeError):
            return self._holder_file.read_text().strip()
        return 'another process'


def _touch(file: Path, ended: threading.Event) -> None:
    """Touch a file until an event; it may be deleted, or its file system fail for a while."""
    while not ended.wait(BEAT):
        with suppress(OSError):
            os.utime(file)


def used(folder: Path) -> bool:
    """Return whether a folder contains anything but a lock."""
    return any(path.name not in (LOCK, HOLDER) for path in folder.iterdir())
