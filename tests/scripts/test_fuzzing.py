"""The fuzzing sees what must not happen, makes the same inputs again, and finds nothing."""

import faulthandler
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from fuzzing.corpus import Corpus
from fuzzing.mutations import deep, mutate_bytes, mutate_value, places
from fuzzing.sandbox import Limits, Outcome, Watch, run_in_sandbox, warm_names
from fuzzing.weight_cases import ZIPS, damaged_zip

from seglight.errors import CheckpointError
from seglight.weight_files import read_file

ROOT = Path(__file__).parents[2]

#: Enough for what ends at once; the memory is beyond what this process has.
LIMITS = Limits(processor=20, waiting=30, memory=1 << 30)


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run a call in an empty folder beside a canary's, and return what became of it."""
    (tmp_path / 'case').mkdir()
    (tmp_path / 'canary').mkdir()
    (tmp_path / 'canary/secret').write_text('secret')
    (tmp_path / 'case/fuzz_canary.py').write_text('')
    monkeypatch.syspath_prepend(str(tmp_path / 'case'))

    def run(call: Callable[[], int], limits: Limits = LIMITS) -> Outcome:
        return run_in_sandbox(call, Watch(tmp_path / 'case', tmp_path / 'canary', warm_names([])), limits)

    return run


def import_canary() -> int:
    __import__('fuzz_canary')
    return 0


def import_loud() -> int:
    sys.modules.pop('this', None)
    __import__('this')
    return 0


def read_canary() -> int:
    return len(Path('../canary/secret').read_text()) * 0


def read_system() -> int:
    return len(Path('/etc/passwd').read_bytes()) * 0


def read_in_fork() -> int:
    if child := os.fork():
        os.waitpid(child, 0)
        return 0
    Path('../canary/secret').read_text()
    os._exit(0)


def write_outside() -> int:
    return Path('../outside').write_text('x') * 0


def rename_outside() -> int:
    Path('inside').write_text('x')
    Path('inside').rename('../outside')
    return 0


def make_folder_outside() -> int:
    Path('../outside').mkdir()
    return 0


def connect() -> int:
    with socket.socket() as line:
        line.connect(('192.0.2.1', 80))
    return 0


def ask_for_address() -> int:
    try:
        socket.getaddrinfo('localhost', 80)
    except OSError:  # as a library would, which goes on without
        return 0
    return 0


def start_program() -> int:
    subprocess.run(['true'], check=True)
    return 0


def start_git() -> int:
    subprocess.run(['git', 'status'], check=False)
    return 0


def raise_error() -> int:
    raise ValueError('unforeseen')


def print_traceback() -> int:
    print('Traceback (most recent call last):', file=sys.stderr)
    return 2


def sleep() -> int:
    time.sleep(60)
    return 0


def count() -> int:
    while True:
        pass


def kill() -> int:
    faulthandler.disable()  # pytest's own
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def take_memory() -> int:
    try:
        return len(bytearray(4 << 30)) * 0
    except MemoryError:
        print('seglight: out of memory', file=sys.stderr)
        return 2


FAULTS: dict[Callable[[], int], str] = {
    import_canary: 'import of fuzz_canary',
    import_loud: 'import of this',
    read_canary: "read '../canary/secret'",
    read_system: "read '/etc/passwd'",
    read_in_fork: "read '../canary/secret'",
    write_outside: "wrote '../outside', outside its folder",
    rename_outside: "os.rename '../outside', outside its folder",
    make_folder_outside: "os.mkdir '../outside', outside its folder",
    connect: 'socket.connect',
    ask_for_address: 'socket.getaddrinfo',
    start_program: 'subprocess.Popen',
    start_git: 'subprocess.Popen',
    raise_error: 'traceback',
    print_traceback: 'traceback',
    kill: 'killed by SIGSEGV',
    take_memory: 'memory',
    lambda: 1: 'status 1',
    lambda: 2: 'no reason',
}


@pytest.mark.parametrize(('call', 'fault'), FAULTS.items(), ids=[f'{call.__name__} {FAULTS[call]}' for call in FAULTS])
def test_each_fault_is_seen(call: Callable[[], int], fault: str, sandbox: Callable[..., Outcome]) -> None:
    outcome = sandbox(call)
    assert any(each.startswith(fault) for each in outcome.faults), outcome


@pytest.mark.parametrize(('call', 'limits'), [(sleep, Limits(20, 1.0)), (count, Limits(1, 60.0))])
def test_what_does_not_end_is_a_hang(call: Callable[[], int], limits: Limits, sandbox: Callable[..., Outcome]) -> None:
    outcome = sandbox(call, limits)
    assert outcome.faults == ['hang']
    assert outcome.seconds < 30


def refuse() -> int:
    print('seglight: a.yaml is wrong', file=sys.stderr)
    raise SystemExit(2)


def work() -> int:
    Path('folder').mkdir()
    Path('folder/file').write_text('x')
    Path('folder/file').rename('file')
    print('done')
    raise SystemExit(0)


def record() -> int:
    command = ['git', '-c', 'core.fsmonitor=false', '-c', 'protocol.allow=never', 'rev-parse', '--git-dir']
    try:
        subprocess.run(command, check=False)
    except OSError:
        return 0
    raise AssertionError('it ran')


@pytest.mark.parametrize(('call', 'status'), [(refuse, 2), (work, 0), (record, 0)])
def test_what_commands_do_is_no_fault(call: Callable[[], int], status: int, sandbox: Callable[..., Outcome]) -> None:
    outcome = sandbox(call)
    assert (outcome.status, outcome.faults) == (status, [])


def test_damage_depends_on_the_seed_alone() -> None:
    value: Any = {'a': [1, {'b': 'text'}], 'c': {'d': None}}
    damage: Callable[[Any, random.Random], Any]
    for damage, sound in ((mutate_value, value), (mutate_bytes, bytes(range(256)))):
        first, again = ([repr(damage(sound, random.Random(seed))) for seed in range(50)] for _ in range(2))
        assert first == again
        assert len(set(first)) > 30
    assert value == {'a': [1, {'b': 'text'}], 'c': {'d': None}}


def test_values_have_as_many_levels_as_are_asked_for() -> None:
    assert len(list(places(deep(900, lists=True)))) == 900


def test_a_good_share_of_the_zips_is_read_and_few_are_as_they_were(tmp_path: Path) -> None:
    weights = {f'{name}.weight': torch.rand(4, 3, 2) for name in 'abcdef'}
    for name in ZIPS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        torch.save({'state_dict': weights, 'epoch': 3, 'config': 'data: {}'}, tmp_path / name)
    read, same = 0, 0
    (tmp_path / 'case').mkdir()
    for number in range(100):
        name = damaged_zip(cast(Corpus, SimpleNamespace(root=tmp_path)), tmp_path / 'case', random.Random(number))
        try:
            values = read_file(tmp_path / 'case' / name)
        except CheckpointError:
            continue
        read += 1
        found = values.get('state_dict', {}) if isinstance(values, dict) else {}
        same += found.keys() == weights.keys() and all(
            isinstance(found[key], torch.Tensor) and torch.equal(found[key], weights[key]) for key in weights
        )
    assert 30 <= read <= 80
    assert same < read / 2


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, str(ROOT / 'scripts/fuzz'), *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow  # the corpus is made first, by a run
@pytest.mark.parametrize('jobs', ['1', '2'])
def test_ten_inputs_find_nothing(jobs: str) -> None:
    done = fuzz('--count', '10', '--seed', '1', '--jobs', jobs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'all ' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('first', range(0, 2000, 200))  # which processes share
def test_many_inputs_find_nothing(first: int, tmp_path: Path) -> None:
    keep = str(tmp_path / 'failed')
    done = fuzz('--seed', '101', '--first', str(first), '--count', '200', '--keep', keep)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
