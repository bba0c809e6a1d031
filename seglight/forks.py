"""Work on data in memory by several processes, which inherit it."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

S = TypeVar('S')
T = TypeVar('T')


def in_processes(work: Callable[[S], T], shares: Sequence[S]) -> list[T]:
    """Do shares of some work at the same time: the first in this process, each other in a fork of it.

    A fork inherits what the work needs, and sends its result alone. Its share is done here if there is no safe fork (as
    outside of Linux) or if it ends without a result, so that every error is one of this process.

    Args:
        work: what to call with each share; not torch, whose threads a fork lacks.
        shares: at least one.

    Returns:
        The results, in the order of the shares.
    """
    first, *others = shares
    # Processes of a pool must not have children.
    if sys.platform != 'linux' or multiprocessing.current_process().daemon:
        return [work(share) for share in shares]
    with ExitStack() as stack:
        forks = [stack.enter_context(_fork(partial(work, share))) for share in others]
        results = [work(first)]
        for receiver, share in zip(forks, others, strict=True):
            try:
                results.append(receiver.recv())
            except EOFError:
                results.append(work(share))
        return results


@contextmanager
def _fork(work: Callable[[], Any]) -> Iterator[Connection]:
    """Start a fork of this process; yield where its result is received; end it."""
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(work, receiver, sender), daemon=True)
    with receiver:
        with sender, suppress(OSError):  # no more processes
            process.start()
        try:
            yield receiver
        finally:
            if process.pid is not None:
                process.kill()
                process.join()


def _send(work: Callable[[], Any], receiver: Connection, sender: Connection) -> None:
    """Send the result of some work; nothing if it fails."""
    receiver.close()  # else sending would wait for ever where the other process was killed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process has it, too, and ends this one
    with suppress(Exception):
        sender.send(work())
