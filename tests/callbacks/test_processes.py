"""What the processes of a run agree on."""

import json
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.multiprocessing import get_all_start_methods
from torch.multiprocessing.spawn import start_processes

from seglight.callbacks.processes import Vote


def ask(rank: int, folder: str) -> None:
    """Vote six times in one of two processes; the second wants something in its third and fourth call."""
    distributed.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2)
    vote = Vote()
    answers = [vote.any(rank == 1 and call in (2, 3)) for call in range(6)]
    Path(folder, f'{rank}.json').write_text(json.dumps(answers))
    distributed.barrier()
    distributed.destroy_process_group()


def test_alone_a_process_gets_its_own_answer() -> None:
    assert not torch.distributed.is_initialized()
    vote = Vote()
    assert [vote.any(own) for own in (False, True, False)] == [False, True, False]


@pytest.mark.skipif('fork' not in get_all_start_methods(), reason='starts processes by fork')
def test_all_processes_learn_at_the_same_call_what_one_wants_and_act_once(tmp_path: Path) -> None:
    start_processes(ask, (str(tmp_path),), nprocs=2, start_method='fork')
    answers = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2)]
    assert answers[0] == answers[1] == [False, False, False, True, False, False]
