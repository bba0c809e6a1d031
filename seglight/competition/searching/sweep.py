"""Search over keys of a config: run its trials, several processes together, and report what mattered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from seglight.competition.jobs.executor import Executor
from seglight.competition.jobs.running import Command, Runner, check_jobs
from seglight.competition.out_of_fold.plan import data_arguments, newest_folder, text_of
from seglight.competition.out_of_fold.predictions import TRAINED
from seglight.competition.resolving import config_flags, resolved
from seglight.competition.searching.page import write_page
from seglight.competition.searching.space import Space, check_space, flags_of, read_space
from seglight.competition.searching.study import Study, Trial
from seglight.config.class_names import OF_DATA
from seglight.config.files import find_config
from seglight.console import labelled
from seglight.data import SegmentationDataModule
from seglight.errors import ConfigError, TrainingError, UsageError, say, warn
from seglight.files import WORK_DIRS, as_bytes, claim_run_folder, csv_text, write_atomically
from seglight.models.recipe import Recipe
from seglight.models.segmentor import Segmentor
from seglight.run import CONFIG
from seglight.run_lock import used
from seglight.studies import Unit

#: The file of the search in its folder.
SEARCH = 'sweep.yaml'

#: Runs that may fail in a row, before any has succeeded, until the search gives up.
FAILURES = 3

#: Keys of the trainer that let a run count steps.
STEPS = ('max_steps', 'val_check_interval', 'check_val_every_n_epoch')


@dataclass(frozen=True)
class Search:
    """What to search.

    Attributes:
        words: the arguments of `fit` for each trial.
        space: the values of each key.
        config: the resolved config without the keys of the search.
    """

    words: list[str]
    space: Space
    config: dict[str, Any]

    @property
    def metric(self) -> str:
        """The metric of val to optimise, that of the best checkpoint."""
        return str(self.config['best_checkpoint']['metric'])

    @property
    def unit(self) -> Unit:
        """What each trial counts: epochs, or steps if one may end, or be validated, within an epoch."""
        steps, interval, every = (self.config['trainer'][name] for name in STEPS)
        whole = interval is None or (isinstance(interval, float) and interval == 1)  # the number 1 is a batch
        searched = any(f'trainer.{name}' in self.space for name in STEPS)
        return 'epoch' if steps in (None, -1) and whole and every and not searched else 'step'

    def text(self) -> str:
        """Return the search as YAML, by which the same command finds its folder."""
        space = {key: repr(each) for key, each in self.space.items()}
        return yaml.safe_dump({'config': self.config, 'space': space}, sort_keys=False)


def sweep(
    configs: Sequence[str],
    search_file: Path | None,
    trials: int,
    flags: Sequence[str] = (),
    *,
    command_line: Callable[[Sequence[str]], object],
    work_dir: Path | None = None,
    jobs: int = 1,
    cluster: Executor | None = None,
) -> Path:
    """Run trials until there are enough, and write the page of what mattered; processes with the same search join.

    Args:
        configs: the config, or several that override one another.
        search_file: the values of each key, see `read_space`.
        trials: number of all trials, also of other processes.
        flags: further arguments of `fit`.
        command_line: runs a command line of the trainer.
        work_dir: the folder; by default that of the same search, or else the next free `work_dirs/sweep{N}`.
        jobs: number of processes on the cluster that run trials together.
        cluster: where they run; by default, this process runs the trials.

    Returns:
        The folder.

    Raises:
        UserError: if an argument, a config or a key is wrong, before any trial; or if all runs fail.
    """
    check_jobs(jobs)
    if jobs > 1 and not cluster:
        raise UsageError(f'--jobs must be 1 without --cluster or --ray, got {jobs}')
    search = read_search(configs, search_file, trials, flags, command_line)
    folder = find_folder(search, work_dir)
    say(labelled('Sweep', folder))
    seed = search.config.get('seed_everything')
    minimize = search.metric == 'loss'
    study = Study(folder, search.space, search.unit, minimize, seed if type(seed) is int else 0)
    if cluster:
        words = [*config_flags(configs), '--search', str(search_file), '--trials', str(trials), *flags]
        search_on(cluster, folder, words, jobs)
    else:
        run_trials(search, study, trials)
    report(study, search)
    conclude(study, search)
    return folder


def search_on(cluster: Executor, folder: Path, words: Sequence[str], jobs: int) -> None:
    """Run the same search as several jobs of a cluster, which join in its folder.

    Raises:
        UserError: for the first that fails.
    """
    commands = []
    for number in range(1, jobs + 1):
        name = f'search{number}'
        marker = folder / f'.{name}'
        marker.unlink(missing_ok=True)  # of an earlier command with fewer trials
        own = ['sweep', *words, '--work-dir', str(folder)]
        commands.append(Command(f'search {number} of {jobs}', own, marker, folder / f'{name}.log', folder))
    Runner(jobs, cluster).run([[command] for command in commands])


def run_trials(search: Search, study: Study, trials: int) -> None:
    """Run trials in this process until there are enough.

    Raises:
        TrainingError: if the first ones all fail.
    """
    failures = 0
    while True:
        with study.next_trial(trials) as trial:
            if trial is None:
                break
            failures = 0 if run_trial(search, study, trial, trials) else failures + 1
        report(study, search)
        if failures >= FAILURES and study.best() is None:
            raise TrainingError(f'{failures} trials in a row failed; their output is in {study.folder}/trial*.log')


def read_search(
    configs: Sequence[str],
    search_file: Path | None,
    trials: int,
    flags: Sequence[str],
    command_line: Callable[[Sequence[str]], object],
) -> Search:
    """Check all arguments, and return the search.

    Raises:
        UserError: for the first that is wrong.
    """
    if not configs:
        raise UsageError('sweep needs a config, for example --config pspnet.yaml')
    if search_file is None:
        raise UsageError('sweep needs the values to search, for example --search search.yaml')
    if trials < 1:
        raise UsageError(f'--trials must be at least 1, got {trials}')
    for name in configs:
        find_config(name)
    space = read_space(search_file)
    for each in space.values():
        each.distribution()  # an error if Optuna is missing
    words = [*config_flags(configs), '--report=false', *flags]
    config = resolved(words, command_line)
    if config['data']['full']:
        raise ConfigError('data.full', 'must be false for a search, which needs validation')
    if config['trainer']['fast_dev_run']:
        raise ConfigError('trainer.fast_dev_run', 'must be false for a search')
    check_space(space, search_file, partial(_check_flags, words, command_line))
    return Search(words, space, config)


def _check_flags(words: Sequence[str], command_line: Callable[[Sequence[str]], object], flags: Sequence[str]) -> None:
    """Resolve a config with some keys, and build the data module and the model, without images and weights.

    Raises:
        UserError: for a key or a value that one of them does not accept.
    """
    config = resolved([*words, *flags], command_line)
    data, model = config['data'], config['model']
    SegmentationDataModule(**data_arguments(config))
    recipe = Recipe(model['segmentor']).without_pretrained()
    shared = {name: data[name] for name in OF_DATA}
    Segmentor(**{**model, **shared, 'segmentor': recipe.model})


def find_folder(search: Search, work_dir: Path | None) -> Path:
    """Return the folder of an earlier command with this search, or else a new one.

    Raises:
        UsageError: if the given folder has other files, or belongs to another search.
    """
    WORK_DIRS.mkdir(parents=True, exist_ok=True)
    with FileLock(WORK_DIRS / '.sweep.lock'):  # processes that start at once share a folder
        folder = work_dir or newest_folder(SEARCH, search.text()) or claim_run_folder(WORK_DIRS, 'sweep')
        file = folder / SEARCH
        if file.is_file():
            if text_of(file) != search.text():
                cause = f'belongs to another config or search, or its {SEARCH} is damaged'
                raise UsageError(f'{folder} {cause}; choose another --work-dir')
        elif folder.exists() and (not folder.is_dir() or used(folder)):
            raise UsageError(f'--work-dir {folder} must be new, empty, or the folder of an earlier seglight sweep')
        else:
            write_atomically(file, as_bytes(search.text()))
    return folder


def run_trial(search: Search, study: Study, trial: Trial, trials: int) -> bool:
    """Train with the values of a trial, or go on with it, and return whether it succeeded."""
    run = study.folder / trial.name
    pruning = 'seglight.callbacks.trial_pruning.TrialPruning'
    callback = {
        'file': str(study.journal),
        'trial': trial.number,
        'unit': study.unit,
        'monitor': f'val/{search.metric}',
    }
    words = ['fit', *search.words, *flags_of(trial.words), f'--trainer.callbacks+={pruning}']
    words += [f'--trainer.callbacks.{name}={value}' for name, value in callback.items()]
    words += ['--work-dir', str(run), '--auto-resume']
    title = f'{trial.name} of {trials}'
    say(f'{title}: {", ".join(f"{key} {word}" for key, word in trial.words.items())}')
    command = Command(title, words, run / TRAINED, run.with_suffix('.log'), run)
    try:
        Runner().run([[command]])
        study.finish(trial)
    except (TrainingError, UsageError) as error:
        study.fail(trial)
        warn(str(error))
        return False
    return True


def report(study: Study, search: Search) -> None:
    """Write the table and the page."""
    head, rows = study.table()
    write_atomically(study.folder / 'trials.csv', as_bytes(csv_text([head, *rows])))
    write_page(study.folder / 'sweep.html', study, search.metric)


def conclude(study: Study, search: Search) -> None:
    """Print the best trial, what mattered, and where everything is; write the best values as a config."""
    best = study.best()
    for key, share in study.importances().items():
        say(labelled('Importance', f'{100 * share:.0f} %  {key}'))
    say(labelled('Trials', study.folder / 'trials.csv'))
    say(labelled('Report', study.folder / 'sweep.html'))
    if best is None:
        warn('no trial is complete, so none is the best')
        return
    say(labelled('Best', f'{search.metric} {best.best:.4f}, {study.folder / best.name}'))
    say(labelled('Config', study.folder / best.name / CONFIG))
