"""A command line, and the settings of its checkpoint."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result

from seglight.cli.request import Request
from seglight.errors import CheckpointError, UsageError

Run = Callable[..., Result]


@pytest.mark.parametrize('subcommand', ['validate', 'test', 'predict'])
def test_a_missing_checkpoint_is_an_error(subcommand: str, workspace: Path) -> None:
    with pytest.raises(UsageError, match=f'{subcommand} needs a checkpoint, for example --ckpt exp1/epoch_2.ckpt'):
        Request([subcommand])._use_checkpoint()


def test_the_settings_come_from_the_first_checkpoint_and_all_are_found(trained: Path, workspace: Path) -> None:
    first, second = (str(trained / f'epoch_{epoch}.ckpt') for epoch in (1, 2))
    request = Request(['predict', '--ckpt', first, '--ckpt', second])
    request._use_checkpoint()
    assert str(request.checkpoint) == first
    assert [str(each) for each in request.more_checkpoints] == [second]
    assert request.settings.values.keys() == {'model', 'data', 'seed_everything'}
    assert 'optimizer' not in request.settings.values['model']
    assert request.trained_on['classes'] == request.settings.values['data']['classes']


def test_training_resumes_from_the_last_ckpt_flag(trained: Path, workspace: Path) -> None:
    first, second = (str(trained / f'epoch_{epoch}.ckpt') for epoch in (1, 2))
    request = Request(['fit', '--ckpt', first, '--ckpt', second])
    request._use_checkpoint()
    assert str(request.checkpoint) == second
    assert request.more_checkpoints == []
    assert request.settings.values['model']['optimizer']
    assert request.trained_on == {}


def test_training_does_not_resume_from_an_mmseg_checkpoint(workspace: Path) -> None:
    Path('a.pth').write_bytes(b'x')
    with pytest.raises(CheckpointError, match=r'a\.pth is an mmseg checkpoint: training cannot resume from it'):
        Request(['fit', '--ckpt', 'a.pth'])._use_checkpoint()


def test_settings_that_predictions_do_not_read_need_no_trust() -> None:
    needless = Request(['predict', '--ckpt', 'a.ckpt'])._needless()
    assert needless == {('data', 'train'), ('data', 'val'), ('data', 'split')}
    with_input = Request(['predict', '--ckpt', 'a.ckpt', '--input', 'images', '--pseudo-labels', '0.9'])._needless()
    assert with_input == {('data', 'val'), ('data', 'test'), ('data', 'split')}
