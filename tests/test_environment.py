"""What is noted of the machine and the code runs nothing that a repository names."""

import subprocess
from pathlib import Path

import pytest

from seglight.environment import git_commit


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
