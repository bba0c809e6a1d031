"""torchrun starts the processes of a run on one machine or several, and again after one was killed."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from compare_runs import differences
from conftest import Result, write_tiny_config
from watched_runs import WATCH, grouped, losses, validations


def free_port() -> int:
    with socket.socket() as own:
        own.bind(('127.0.0.1', 0))
        return int(own.getsockname()[1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='starts processes that find each other on loopback')
def test_machines_train_what_one_process_trains_also_after_a_kill(
    data_root: Path, workspace: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = grouped(write_tiny_config(workspace / 'tiny.yaml', data_root))
    (workspace / 'watching.py').write_text(WATCH)
    command = ['fit', '--config', str(config), '--trainer.callbacks+=watching.Watch', '--work-dir']
    monkeypatch.setenv('LOSSES', 'alone_losses')
    assert run(*command, 'alone').status == 0

    def torchrun(name: str, *options: str, **environment: str) -> 'subprocess.Popen[str]':
        words = [sys.executable, '-m', 'torch.distributed.run', *options, '-m', 'seglight', *command, name]
        return subprocess.Popen(
            [*words, '--data.batch_size=2', '--auto-resume'],
            env={**os.environ, 'LOSSES': f'{name}_losses', **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    endpoint = f'--rdzv-endpoint=127.0.0.1:{free_port()}'
    options = [
        '--nnodes=2',
        '--nproc-per-node=1',
        '--rdzv-backend=c10d',
        '--rdzv-id=test',
        endpoint,
        '--local-addr=127.0.0.1',
    ]
    machines = [torchrun('machines', *options) for _ in range(2)]
    said = [machine.communicate(timeout=200) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert sorted(out.count('Run        machines') for out, _ in said) == [0, 2]
    np.testing.assert_allclose(losses('machines_losses'), losses('alone_losses'), rtol=2e-5)
    assert len(losses('alone_losses')) == 20
    assert validations('machines') == validations('alone')

    Path('kill').touch()
    killed = torchrun('killed', '--standalone', '--nproc-per-node=2', '--max-restarts=1', KILL_ONCE='kill')
    out, err = killed.communicate(timeout=200)
    assert killed.returncode == 0, err
    assert 'Resuming from killed/iter_6.ckpt' in out
    assert not Path('kill').exists()
    assert differences(Path('machines'), Path('killed')) == []
    weights = [torch.load(f'{name}/last.ckpt', weights_only=True)['state_dict'] for name in ('alone', 'killed')]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6)
