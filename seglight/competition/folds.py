"""Train several models on the same folds, and score them out of fold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seglight.competition.jobs.executor import Executor
from seglight.competition.jobs.running import Command, Runner, check_jobs
from seglight.competition.out_of_fold.page import write_page
from seglight.competition.out_of_fold.plan import Plan, earlier_folder, new_folder
from seglight.competition.out_of_fold.predictions import DONE, PLAIN, TRAINED, OutOfFold, prediction_folder, run_folder
from seglight.competition.out_of_fold.scores import Scores
from seglight.competition.out_of_fold.splitting import IMAGES, are_written, fold_folder, fold_lists, write_lists
from seglight.competition.pseudo_labels.rounds import Rounds, check_rounds, label_round, round_folder, training_flags
from seglight.competition.resolving import resolved
from seglight.config.arguments import as_word
from seglight.config.class_names import difference
from seglight.config.files import find_config
from seglight.console import labelled
from seglight.errors import ConfigError, UsageError, say
from seglight.files import as_bytes, write_atomically
from seglight.names import name_fault
from seglight.run_lock import PREDICTS, RunLock

#: Names of models that would be folders of something else.
RESERVED = re.compile(r'split|pseudo|round\d+')

#: The flag that lets checkpoints name classes of any package.
TRUST = '--trust-checkpoint'

#: Keys of `data` that all models must share, since their predictions are compared pixel by pixel.
SHARED = ('ignore_index',)


def train_folds(
    configs: Sequence[str],
    folds: int,
    flags: Sequence[str] = (),
    *,
    resolve: Callable[[Sequence[str]], object],
    group: str | None = None,
    jobs: int = 1,
    work_dir: Path | None = None,
    cluster: Executor | None = None,
    rounds: Rounds | None = None,
) -> Path:
    """Train each config on each fold, predict each image by the model that was not trained on it, and write the scores.

    Runs that are done are not touched; one that was interrupted resumes.

    Args:
        configs: a config for each model, whose name is that of the file.
        folds: number of folds.
        flags: further arguments of `fit`, for all models.
        resolve: runs a command line of the trainer.
        group: regular expression for the group in an image's name; by default that of the first config.
        jobs: number of runs at once.
        work_dir: the folder; by default that of the same command, or else the next free `work_dirs/folds{N}`.
        cluster: where the runs go; by default to this machine.
        rounds: how often to train, and on which pseudo labels from the second round on; by default once.

    Returns:
        The folder of the last round.

    Raises:
        UserError: if an argument or a config is wrong, before anything starts; or if a run fails.
    """
    if folds < 2:
        raise UsageError(f'--folds must be at least 2, got {folds}')
    check_jobs(jobs)
    rounds = rounds or Rounds()
    names = model_names(configs)
    models = {name: resolved(['--config', config, *flags], resolve) for name, config in names.items()}
    plan = make_plan(models, folds, group)
    earlier = earlier_folder(plan, work_dir)
    check_rounds(plan, rounds, earlier)
    # Faults of the data end the command before it makes a folder.
    lists = {} if earlier and are_written(earlier, folds) else fold_lists(plan)
    first = folder = earlier or new_folder(plan, work_dir)
    say(labelled('Folds', first))
    lock = RunLock(first)
    lock.acquire()
    runner = Runner(jobs, cluster)
    try:
        write_lists(first, lists)
        train_models(first, plan, names, flags, runner)
        for number in range(2, rounds.count + 1):
            folder = label_round(first, number, plan, rounds, runner, trust_flags(flags))
            train_models(folder, plan, names, flags, runner, partial(training_flags, folder, plan, rounds))
        if rounds.count > 1:
            report_rounds(first, plan, rounds.count)
    finally:
        lock.release()
    return folder


def train_models(
    folder: Path,
    plan: Plan,
    configs: Mapping[str, str],
    flags: Sequence[str],
    runner: Runner,
    more: Callable[[str, int], Sequence[str]] = lambda *_: (),
) -> None:
    """Train each model on each fold in a folder, predict each image, and write the scores.

    Args:
        folder: the folder of a round.
        plan: its plan.
        configs: the config of each model.
        flags: further arguments of `fit`, for all models.
        runner: runs them.
        more: returns further arguments for a model and a fold.

    Raises:
        UserError: if a run fails.
    """
    runner.run(
        [
            _job(folder, plan, name, config, fold, [*flags, *more(name, fold)])
            for name, config in configs.items()
            for fold in range(1, plan.folds + 1)
        ]
    )
    report(folder, plan)


def model_names(configs: Sequence[str]) -> dict[str, str]:
    """Return the configs by the names of their models: those of the files, without suffix.

    Raises:
        UsageError: if there are none, a file does not exist, or two have the same name.
    """
    if not configs:
        raise UsageError('folds needs a config for each model, for example --config a.yaml --config b.yaml')
    names: dict[str, str] = {}
    for config in configs:
        name = find_config(config).stem
        if name in names:
            raise UsageError(f"{names[name]} and {config} would both be the model '{name}'; rename one of the files")
        if RESERVED.fullmatch(name) or name_fault(name):
            raise UsageError(f"{config}: a model cannot have the name '{name}'; rename the file")
        names[name] = config
    return names


def make_plan(models: dict[str, dict[str, Any]], folds: int, group: str | None) -> Plan:
    """Return the plan of models with the same classes.

    Raises:
        ConfigError: if they differ, or a model would be trained on the images that it is validated on.
    """
    first, *_ = models
    expected = models[first]['data']
    for name, config in models.items():
        data = config['data']
        if data['classes'] != expected['classes']:
            raise ConfigError(
                'data.classes', f'must be equal in {first} and {name}: {_difference(name, data, expected)}'
            )
        for key in SHARED:
            if data[key] != expected[key]:
                message = f'must be equal in {first} and {name}, got {expected[key]} and {data[key]}'
                raise ConfigError(f'data.{key}', message)
        if data['full']:
            raise ConfigError('data.full', f'must be false for folds, got true in {name}: it trains on every fold')
        if config['trainer']['fast_dev_run']:
            raise ConfigError('trainer.fast_dev_run', 'must be false for folds: such a run keeps no checkpoint')
    return Plan(folds, group or (expected['split'] or {}).get('group'), models)


def _difference(name: str, data: dict[str, Any], expected: dict[str, Any]) -> str:
    """Return how the classes of two models differ."""
    own, first = data['classes'], expected['classes']
    if len(own) != len(first):
        return f'they have {len(first)} and {len(own)} classes'
    return f'{name} {difference(first, own)}'


def _job(folder: Path, plan: Plan, name: str, config: str, fold: int, flags: Sequence[str]) -> list[Command]:
    """Return the commands that train a model without a fold, and predict that fold."""
    run, lists = run_folder(folder, name, fold), fold_folder(folder, fold)
    split = as_word({'_delete_': True, 'folder': str(lists)})
    train = ['fit', '--config', config, *flags, f'--data.split={split}', '--work-dir', str(run), '--auto-resume']
    title, log = f'{name}, fold {fold} of {plan.folds}', run.with_suffix('.log')
    return [
        Command(title, train, run / TRAINED, log, run, '*.ckpt'),
        predict_command(folder, plan, name, fold, PLAIN, trust_flags(flags)),
    ]


def trust_flags(flags: Sequence[str]) -> list[str]:
    """Return those of the flags that `predict` needs, too."""
    return [flag for flag in flags if flag.replace('_', '-') == TRUST]


def predict_command(folder: Path, plan: Plan, name: str, fold: int, views: str, flags: Sequence[str]) -> Command:
    """Return the command that predicts a fold with some views; its masks are exact, its probabilities rounded."""
    run, output = run_folder(folder, name, fold), prediction_folder(folder, name, fold, views)
    words = ['predict', '--ckpt', str(run), '--input', str(fold_folder(folder, fold) / IMAGES), '--output', str(output)]
    words += ['--probabilities', 'uint8', '--resume', *flags]
    title = f'{name}, fold {fold} of {plan.folds}'
    return Command(title, words, output / DONE, run.with_suffix('.log'), output, use=PREDICTS)


def report(folder: Path, plan: Plan) -> None:
    """Write and print the scores of all models, and write the page that compares them."""
    predictions = OutOfFold(folder, plan)
    scores = Scores(plan.classes, {name: predictions.confusions(name) for name in plan.models})
    write_atomically(folder / 'scores.csv', as_bytes(scores.csv()))
    say(scores.table())
    say(labelled('Scores', folder / 'scores.csv'))
    say(labelled('Report', write_page(folder / 'folds.html', f'Folds of {folder.name}', scores)))


def report_rounds(first: Path, plan: Plan, count: int) -> None:
    """Write and print the scores of all models in all rounds, on the same images, and write the page of them."""
    confusions, pairs = {}, []
    for model in plan.models:
        names = [f'{model} round {number}' for number in range(1, count + 1)]
        for number, name in enumerate(names, start=1):
            confusions[name] = OutOfFold(round_folder(first, number), plan).confusions(model)
        pairs += [(names[0], later) for later in names[1:]]
    scores = Scores(plan.classes, confusions)
    write_atomically(first / 'rounds.csv', as_bytes(scores.csv()))
    say(labelled('Rounds', 'out of fold, on the same images'))
    say(scores.table())
    say(labelled('Scores', first / 'rounds.csv'))
    say(labelled('Report', write_page(first / 'rounds.html', f'Rounds of {first.name}', scores, pairs)))
