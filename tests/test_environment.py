"""What is noted of the machine and the code runs nothing that a repository names."""

import io
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from seglight.environment import cores, git_commit

#: Where Linux states the limit of a container.
QUOTA = '/sys/fs/cgroup/cpu.max'


def git(*words: str) -> str:
    identity = ('-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'commit.gpgsign=false')
    return subprocess.run(['git', *identity, *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(workspace: Path) -> Path:
    git('init', '-q')
    Path('file.txt').write_text('one')
    Path('.gitattributes').write_text('* filter=evil')
    git('add', '-A')
    git('commit', '-q', '-m', 'one')
    return workspace


def test_the_commit_is_named_with_whether_files_were_changed(repository: Path) -> None:
    commit = git('rev-parse', 'HEAD')
    assert git_commit() == commit
    Path('file.txt').write_text('two')
    assert git_commit() == f'{commit}-dirty'


def test_commands_in_the_settings_of_a_repository_are_not_run(repository: Path) -> None:
    commit = git('rev-parse', 'HEAD')
    git('config', 'core.fsmonitor', 'touch ran; false')
    git('config', 'filter.evil.clean', 'touch ran; cat')
    Path('file.txt').write_text('two')
    assert git_commit() == commit
    assert not Path('ran').exists()


def test_elsewhere_there_is_no_commit(workspace: Path) -> None:
    assert git_commit() is None


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'cpu_count', lambda: 64)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(12)), raising=False)
    assert cores() == 12


def test_cores_are_limited_by_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with 2.5 of 64 cores: its quota in microseconds for each period."""
    monkeypatch.setattr(os, 'cpu_count', lambda: 64)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(64)), raising=False)
    exists, read = os.path.exists, open

    def opened(file: Any, *more: Any, **named: Any) -> Any:
        return io.StringIO('250000 100000\n') if file == QUOTA else read(file, *more, **named)

    monkeypatch.setattr(os.path, 'exists', lambda file: file == QUOTA or exists(file))
    monkeypatch.setattr('builtins.open', opened)
    assert cores() == 3
