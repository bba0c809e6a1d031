"""Commands run in turn, once each, and stop together."""

import signal
import threading
from pathlib import Path

import pytest

from seglight import __version__
from seglight.competition.folds import predict_command
from seglight.competition.jobs.running import Command, Runner, environment
from seglight.competition.out_of_fold.plan import Plan
from seglight.competition.out_of_fold.predictions import PLAIN, prediction_folder
from seglight.errors import Interrupted, TrainingError
from seglight.run_lock import PREDICTS, RunLock

#: A command that ends at once, and one that fails at once.
GOOD, BAD = ['--version'], ['vote', 'none.csv', '--output', 'voted.csv']


def command(folder: Path, name: str, words: list[str]) -> Command:
    return Command(name, words, folder / name / '.done', folder / f'{name}.log', folder / name)


def test_a_command_runs_once_and_its_output_is_logged(workspace: Path) -> None:
    jobs = [[command(workspace, 'a', GOOD), command(workspace, 'b', GOOD)]]
    Runner(2).run(jobs)
    assert (workspace / 'a/.done').is_file()
    assert (workspace / 'b.log').read_text() == f'seglight {__version__}\n'
    (workspace / 'b/.done').unlink()
    Runner().run(jobs)
    assert (workspace / 'a.log').read_text().count('\n') == 1
    assert (workspace / 'b.log').read_text().count('\n') == 2


def test_after_a_failure_nothing_else_starts(workspace: Path) -> None:
    jobs = [[command(workspace, 'a', BAD), command(workspace, 'b', GOOD)], [command(workspace, 'c', GOOD)]]
    with pytest.raises(TrainingError, match=r'^a failed: vote: none.csv does not exist \(all output is in .*a.log\)$'):
        Runner().run(jobs)
    assert not list(workspace.glob('*/.done'))


def test_a_command_without_its_result_is_not_done(workspace: Path) -> None:
    train = command(workspace, 'a', GOOD)._replace(result='*.ckpt')
    with pytest.raises(TrainingError, match=r'^a left no \*.ckpt in .*a, see .*a.log$'):
        Runner().run([[train]])
    assert not train.marker.exists()
    train.folder.mkdir()
    (train.folder / 'epoch_1.ckpt').touch()
    Runner().run([[train]])
    assert train.marker.exists()


def test_after_a_signal_nothing_else_starts_and_the_handler_is_as_before(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Runner, command: Command, slot: int) -> tuple[int, str]:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        while self._signal is None:
            pass
        return Interrupted.status, ''

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Runner, '_communicate', interrupted)
    with pytest.raises(Interrupted, match='stopped by SIGTERM; the same command resumes'):
        Runner().run([[command(workspace, 'a', GOOD), command(workspace, 'b', GOOD)]])
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list(workspace.glob('*/.done'))


def test_a_run_that_outlived_its_command_is_waited_for(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / 'a').mkdir()
    lock = RunLock(workspace / 'a')
    lock.acquire()
    threading.Timer(1, lock.release).start()
    Runner().run([[command(workspace, 'a', GOOD)]])
    out = capsys.readouterr().out
    assert out.count('\n') == 1
    assert out.startswith(f'a: waiting, {workspace / "a"} is in use: process ')
    assert (workspace / 'a/.done').is_file()


def test_a_prediction_that_outlived_its_command_is_waited_for(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = predict_command(workspace, Plan(2, None, {'model': {}}), 'model', 1, PLAIN, [])
    output = prediction_folder(workspace, 'model', 1)
    output.mkdir(parents=True)
    lock = RunLock(output, use=PREDICTS, option='--output')
    lock.acquire()
    threading.Timer(1, lock.release).start()
    Runner().run([[predict._replace(words=GOOD)]])
    out = capsys.readouterr().out
    assert out.count('\n') == 1
    assert out.startswith(f'model, fold 1 of 2: waiting, {output} is in use: process ')
    assert out.endswith(', predicts into it\n')
    assert predict.marker.is_file()


def test_each_of_several_jobs_has_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '3,5')
    assert [environment(slot, 3)['CUDA_VISIBLE_DEVICES'] for slot in range(3)] == ['3', '5', '3']
    assert environment(0, 1)['CUDA_VISIBLE_DEVICES'] == '3,5'
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert environment(0, 2)['CUDA_VISIBLE_DEVICES'] == ''
