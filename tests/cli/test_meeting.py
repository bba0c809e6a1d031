"""Processes that torchrun started again meet in a store that those before them never used."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from seglight.cli.meeting import AGENT_STORE, ASKED, meet
from seglight.errors import TrainingError


@pytest.fixture
def agents() -> TCPStore:
    """The store of torchrun's agents, which outlives the processes."""
    return TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)


def environments(agents: TCPStore, size: int) -> list[dict[str, str]]:
    """The environments of the processes of a round; each agent may count other restarts."""
    shared = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(agents.port), AGENT_STORE: 'True', 'WORLD_SIZE': str(size)}
    return [{**shared, 'RANK': str(rank)} for rank in range(size)]


def ports_after_meeting(agents: TCPStore, size: int = 3) -> set[str]:
    processes = environments(agents, size)
    with ThreadPoolExecutor(size) as pool:
        list(pool.map(meet, reversed(processes)))
    for each in processes:
        assert each[AGENT_STORE] == str(each['MASTER_PORT'] == str(agents.port))
    return {each['MASTER_PORT'] for each in processes}


def test_the_first_round_stays_in_the_store_of_the_agents_and_each_later_one_has_its_own(agents: TCPStore) -> None:
    first, second, third = (ports_after_meeting(agents) for _ in range(3))
    assert first == {str(agents.port)}
    assert len(second) == len(third) == 1
    assert len(first | second | third) == 3
    (port,) = second
    store = TCPStore('127.0.0.1', int(port), is_master=False)
    store.set('key', 'value')
    assert store.get('key') == b'value'


def test_processes_that_ended_while_they_asked_count_for_nothing(agents: TCPStore) -> None:
    agents.add(ASKED, 2)
    assert ports_after_meeting(agents) == {str(agents.port)}
    agents.add(ASKED, 1)
    assert len(ports_after_meeting(agents, size=2) - {str(agents.port)}) == 1


@pytest.mark.parametrize(
    ('rank', 'text'), [(0, 'waited 0:00:00.2.* for 1 other processes, but only 0 came'), (1, 'for rank 0, which did')]
)
def test_a_missing_process_ends_the_others_in_one_line(agents: TCPStore, rank: int, text: str) -> None:
    with pytest.raises(TrainingError, match=text):
        meet(environments(agents, 2)[rank], timedelta(seconds=0.2))


def test_without_a_shared_store_nothing_changes() -> None:
    environ = {AGENT_STORE: 'False'}
    meet(environ)
    assert environ == {AGENT_STORE: 'False'}
