"""Errors of the machine, such as a full disk or memory, and their cures."""

from __future__ import annotations

import errno
import re

_ELSEWHERE = 'or write elsewhere (--work-dir, --output)'
SMALLER = 'give a smaller data.batch_size, smaller crops or images, or fewer data.num_workers'

#: Errors of the operating system, and their cures.
SYSTEM_CURES = {
    errno.ENOSPC: f'free some space, {_ELSEWHERE}',
    errno.EDQUOT: f'free some space, {_ELSEWHERE}',
    errno.EFBIG: f'raise the largest size of a file (ulimit -f), {_ELSEWHERE}',
    errno.EACCES: f'change the permissions, {_ELSEWHERE}',
    errno.EPERM: f'change the permissions, {_ELSEWHERE}',
    errno.EROFS: 'write elsewhere (--work-dir, --output)',
    errno.EMFILE: 'raise the number of open files (ulimit -n), or give fewer data.num_workers',
    errno.ENFILE: 'raise the number of open files of the system, or give fewer data.num_workers',
    errno.EAGAIN: 'raise the number of processes (ulimit -u), or give fewer data.num_workers',
    errno.ENOMEM: SMALLER,
    errno.EEXIST: 'give another name, or remove that file',
    errno.ENAMETOOLONG: 'give a shorter name',
    errno.ENOTDIR: 'give the path of a folder',
    errno.EISDIR: 'give the path of a file',
}

#: Messages of libraries that run out of a resource, and their cures.
RUNTIME_CURES = (
    (
        r'shared memory\(shm\)|shm_open|/dev/shm',
        '/dev/shm is full: free it, increase it (in a container with --shm-size), or set data.num_workers: 0',
    ),
    (r'out of memory|can.t allocate memory|Insufficient memory|Cannot allocate memory', SMALLER),
    (r'PytorchStreamWriter failed writing|No space left on device', SYSTEM_CURES[errno.ENOSPC]),
    (r'DataLoader worker .*(killed by signal|exited unexpectedly)', f'the system killed it; {SMALLER}'),
    (
        r'Connection closed by peer|Connection reset by peer',
        'another process of this run has ended, and its last line says why',
    ),
    (r'received 0 items of ancdata|Too many open files', SYSTEM_CURES[errno.EMFILE]),
)  # fmt: skip


def cure_of_machine(error: BaseException) -> str | None:
    """Return the cure for an error by which a library reports that the machine lacks something; None for another error.

    The class tells nothing: torch raises `RuntimeError` for these, as for an image that a model cannot take, and
    reports an ended loader process wherever the main process is at that moment.
    """
    return next((cure for pattern, cure in RUNTIME_CURES if re.search(pattern, str(error))), None)
