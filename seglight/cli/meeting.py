"""Let processes that torchrun starts again meet without the processes before them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, MutableMapping
from datetime import timedelta

from torch.distributed import DistStoreError, TCPStore  # type: ignore[attr-defined]

from seglight.errors import TrainingError

#: The variable by which torchrun lets its processes meet in the store of its agents.
AGENT_STORE = 'TORCHELASTIC_USE_AGENT_STORE'

#: How long the processes of a run wait for each other, as in torch.
WAIT = timedelta(minutes=30)

#: Seconds between two looks into the store.
PAUSE = 0.05

#: Keys in the store of the agents.
ROUNDS, ASKED, ANSWER, CONFIRMED = 'seglight/rounds', 'seglight/asked', 'seglight/answer', 'seglight/confirmed'

_servers: list[TCPStore] = []  # a store ends with its last reference


def meet(environ: MutableMapping[str, str] = os.environ, wait: timedelta = WAIT) -> None:
    """Let the processes that torchrun started meet in its store or, after a restart, in a new one.

    torchrun keeps its store over restarts, with the addresses of the processes that have ended, so that new processes
    would connect to those (torch 2.4 and later). `TORCHELASTIC_RESTART_COUNT` cannot tell the rounds apart: each agent
    counts its own restarts. Therefore rank 0 counts the rounds in the store, and answers the requests of the others
    until each has confirmed its round. Requests of ended processes are answered in vain.

    Args:
        environ: the environment of this process; receives the port of a new store, where Lightning finds it.
        wait: how long to wait for the other processes.

    Raises:
        TrainingError: if some of them do not appear.
    """
    if environ.get(AGENT_STORE) != 'True':
        return
    host, others = environ['MASTER_ADDR'], int(environ['WORLD_SIZE']) - 1
    agents = TCPStore(host, int(environ['MASTER_PORT']), is_master=False, timeout=wait)
    if environ['RANK'] == '0':
        number = agents.add(ROUNDS, 1)
        port = _new_store(host) if number > 1 else 0
        _answer(agents, f'{number} {port}', f'{CONFIRMED}/{number}', others, wait)
    else:
        request = agents.add(ASKED, 1)
        number, port = map(int, _value(agents, f'{ANSWER}/{request}', wait).split())
        agents.add(f'{CONFIRMED}/{number}', 1)
    if port:
        environ.update({'MASTER_PORT': str(port), AGENT_STORE: 'False'})


def _new_store(host: str) -> int:
    """Start a store in this process, and return its port; torch finds it again by the port."""
    _servers.append(TCPStore(host, 0, is_master=True, wait_for_workers=False, multi_tenant=True))
    return int(_servers[-1].port)


def _answer(agents: TCPStore, text: str, confirmed: str, others: int, wait: timedelta) -> None:
    """Answer all requests until each of the other processes has confirmed.

    Raises:
        TrainingError: if some of them do not.
    """
    answered = 0
    for _ in _looks(wait):
        for request in range(answered + 1, agents.add(ASKED, 0) + 1):
            agents.set(f'{ANSWER}/{request}', text)
            answered = request
        if agents.add(confirmed, 0) >= others:
            return
    raise TrainingError(f'rank 0 waited {wait} for {others} other processes, but only {agents.add(confirmed, 0)} came')


def _value(agents: TCPStore, key: str, wait: timedelta) -> bytes:
    """Return the value of a key, as soon as another process sets it.

    Raises:
        TrainingError: if none does.
    """
    try:
        return agents.get(key)
    except DistStoreError as error:
        raise TrainingError(f'waited {wait} for rank 0, which did not come') from error


def _looks(wait: timedelta) -> Iterator[None]:
    """Yield until the time is up."""
    end = time.monotonic() + wait.total_seconds()
    while time.monotonic() < end:
        yield
        time.sleep(PAUSE)
