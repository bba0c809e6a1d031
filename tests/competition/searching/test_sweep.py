"""A search from a config to its page, killed on the way."""

from __future__ import annotations

import csv
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import check_with_axe
from conftest import Result
from forks import forked_commands, start  # noqa: F401

from seglight.competition.jobs.running import Command, Runner
from seglight.competition.searching.space import Choice, Range
from seglight.competition.searching.study import Study
from seglight.competition.searching.sweep import Search, find_folder, run_trials
from seglight.errors import TrainingError, UsageError
from seglight.studies import open_storage, open_study

Run = Callable[..., Result]

SEARCH = 'model.optimizer.lr: {low: 1e-3, high: 1e-1, log: true}\ndata.batch_size: {choices: [2, 4]}\n'


def words(config: Path, *more: str) -> list[str]:
    return ['sweep', '--config', str(config), '--search', 'search.yaml', *more]


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.usefixtures('forked_commands')  # after the kill
def test_a_search_that_was_killed_goes_on(tiny_config: Path, run: Run) -> None:
    pytest.importorskip('optuna')
    Path('search.yaml').write_text(SEARCH)
    folder = Path('work_dirs/sweep1')
    command = [sys.executable, '-m', 'seglight', *words(tiny_config, '--trials', '2')]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while not (folder / 'trial1/epoch_1.ckpt').is_file() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, out
    done = run(*words(tiny_config, '--trials', '2'))
    assert done.status == 0, done.err
    assert sorted(path.name for path in folder.glob('trial?')) == ['trial1', 'trial2']
    with (folder / 'trials.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert {row['state'] for row in rows} <= {'complete', 'pruned'}
    for row in rows:  # what the study holds is what the run was told and logged
        config = yaml.safe_load((folder / row['trial'] / 'config.yaml').read_text())
        assert config['model']['optimizer']['lr'] == pytest.approx(float(row['model.optimizer.lr']))
        assert config['data']['batch_size'] == int(row['data.batch_size'])
        assert 'TrialPruning' in str(config['trainer']['callbacks'])
        with (folder / row['trial'] / 'metrics.csv').open() as file:
            logged = [float(each['val/mIoU']) for each in csv.DictReader(file) if each['val/mIoU']]
        assert float(row['best']) == pytest.approx(max(logged), abs=6e-5)
    check_with_axe(folder / 'sweep.html')
    page = (folder / 'sweep.html').read_text()
    assert 'model.optimizer.lr' in page
    assert 'trial2' in page
    assert 'Best' in done.out
    again = run(*words(tiny_config, '--trials', '2'))
    assert again.status == 0, again.err
    assert 'epoch' not in again.out


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.usefixtures('forked_commands')
def test_runs_that_count_steps(own_config: Path, run: Run) -> None:
    pytest.importorskip('optuna')
    Path('search.yaml').write_text('model.optimizer.lr: {low: 1e-3, high: 1e-1, log: true}\n')
    done = run(*words(own_config, '--trials', '2', '--report=false', '--trainer.val_check_interval=2'))
    assert done.status == 0, done.err
    with Path('work_dirs/sweep1/trials.csv').open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        with Path('work_dirs/sweep1', row['trial'], 'metrics.csv').open() as file:
            logged = [float(each['val/mIoU']) for each in csv.DictReader(file) if each['val/mIoU']]
        assert len(logged) == int(row['steps']) // 2 > 0
        assert float(row['best']) == pytest.approx(max(logged), abs=6e-5)
    assert (rows[0]['state'], rows[0]['steps']) == ('complete', '6')


@pytest.mark.parametrize(
    ('trainer', 'space', 'unit'),
    [
        ({}, {}, 'epoch'),
        ({'val_check_interval': 1.0}, {}, 'epoch'),
        ({'check_val_every_n_epoch': 5}, {}, 'epoch'),
        ({'val_check_interval': 1}, {}, 'step'),  # each batch
        ({'val_check_interval': 0.25}, {}, 'step'),
        ({'check_val_every_n_epoch': None}, {}, 'step'),
        ({'max_steps': 100}, {}, 'step'),
        ({}, {'trainer.val_check_interval': Choice(['0.5', '1.0'])}, 'step'),
    ],
)
def test_a_search_counts_steps_where_epochs_may_have_several_validations(
    trainer: dict[str, Any], space: dict[str, Choice], unit: str
) -> None:
    defaults = {'max_steps': -1, 'val_check_interval': None, 'check_val_every_n_epoch': 1}
    assert Search([], space, {'trainer': {**defaults, **trainer}}).unit == unit


@pytest.mark.extras
def test_a_search_of_which_all_trials_diverge_ends(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optuna = pytest.importorskip('optuna')
    space = {'model.optimizer.lr': Range(1e-3, 1e-1)}
    study = Study(workspace, space, 'epoch', False, 42)

    def diverge(self: Runner, jobs: list[list[Command]]) -> None:
        number = next(word for word in jobs[0][0].words if word.startswith('--trainer.callbacks.trial='))
        storage = open_storage(study.journal)
        optuna.trial.Trial(open_study(storage), int(number.partition('=')[2])).report(math.nan, 1)

    monkeypatch.setattr(Runner, 'run', diverge)
    with pytest.raises(TrainingError, match='3 trials in a row failed; their output is in'):
        run_trials(Search([], space, {'best_checkpoint': {'metric': 'mIoU'}}), study, 9)
    assert [trial.state for trial in study.trials()] == ['failed'] * 3


def test_a_damaged_folder_does_not_end_other_searches(workspace: Path) -> None:
    search, damaged = Search([], {}, {'a': 1}), Path('work_dirs/old/sweep.yaml')
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b'\xff\xfe\x80')
    folder = find_folder(search, None)
    assert folder == Path('work_dirs/sweep1')
    assert find_folder(search, None) == folder
    with pytest.raises(UsageError, match=r'old belongs to another config or search, or its sweep.yaml is damaged'):
        find_folder(search, damaged.parent)


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.usefixtures('forked_commands')
def test_two_commands_at_once_share_one_search(tiny_config: Path, run: Run) -> None:
    pytest.importorskip('optuna')
    Path('search.yaml').write_text(SEARCH)
    command = words(tiny_config, '--trials', '4', '--trainer.max_epochs=1')
    with start(*command) as first, start(*command) as second:
        printed = [process.communicate()[0] for process in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0), printed
    folder = Path('work_dirs/sweep1')
    names = [f'trial{number}' for number in range(1, 5)]
    assert sorted(path.name for path in Path('work_dirs').glob('sweep*')) == ['sweep1']
    assert sorted(path.name for path in folder.glob('trial?')) == names
    begun = [re.findall(r'^(trial\d) of 4: model', out, re.M) for out in printed]
    assert all(begun), printed  # both have worked
    assert sorted(begun[0] + begun[1]) == names  # each trial once
    for name in names:
        assert (folder / f'{name}.log').read_text().count('epoch 1/1') == 1
    with (folder / 'trials.csv').open() as file:
        rows = {row['trial']: row for row in csv.DictReader(file)}
    assert list(rows) == names
    assert {row['state'] for row in rows.values()} <= {'complete', 'pruned'}
    for name, row in rows.items():  # no process has mixed up the values of two trials
        config = yaml.safe_load((folder / name / 'config.yaml').read_text())
        assert config['model']['optimizer']['lr'] == pytest.approx(float(row['model.optimizer.lr']))
    assert len({row['model.optimizer.lr'] for row in rows.values()}) == 4
    again = run(*command)
    assert again.status == 0, again.err
    assert 'epoch' not in again.out


@pytest.mark.extras
def test_wrong_input_starts_no_trial(tiny_config: Path, run: Run) -> None:
    pytest.importorskip('optuna')
    Path('search.yaml').write_text(SEARCH)

    def refused(*argv: str) -> str:
        result = run(*argv)
        assert result.status == 2, result.out + result.err
        assert len(result.err.splitlines()) == 1, result.err
        assert not Path('work_dirs').exists()
        return result.err

    assert 'sweep needs a config' in refused('sweep', '--search', 'search.yaml')
    assert 'sweep needs the values to search' in refused('sweep', '--config', 'tiny.yaml')
    assert '--print_config prints and trains nothing' in refused(*words(tiny_config, '--print_config'))
    assert '--trials must be at least 1, got 0' in refused(*words(tiny_config, '--trials', '0'))
    for key, hint in {
        'data.batchsize': '--data.batch_size',
        'model.optimizr.lr': '--model.optimizer',
        'model.optimizer.momentm': 'momentum',
        'model.segmentor.decode_head.dropout_ratioo': 'dropout_ratio',
    }.items():
        Path('search.yaml').write_text(f'{key}: {{low: 2, high: 4}}\n')
        message = refused(*words(tiny_config))
        assert message.startswith('seglight: search.yaml: ')
        assert f"did you mean '{hint}'?" in message
    Path('search.yaml').write_text('data.batch_size: {low: 0, high: 4}\n')
    assert 'data.batch_size must be at least 1, got 0' in refused(*words(tiny_config))


def test_a_missing_extra_is_one_line(tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path('search.yaml').write_text(SEARCH)
    monkeypatch.setitem(sys.modules, 'optuna', None)
    result = run(*words(tiny_config))
    assert result.status == 2
    assert result.err == "seglight: sweep needs optuna, which is not installed: pip install 'seglight[sweep]'\n"
