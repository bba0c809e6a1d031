"""Rounds of pseudo labels: the models of a round label the test images for those of the next.

Each fold has pseudo labels of its own, made by models that were not trained on its images, so that the next round is
also scored on images whose labels no part of it has seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglight.callbacks.writers.pseudo import check_weight, with_pseudo_labels
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.ensemble import Ensemble, Member
from seglight.competition.choosing.pixels import Candidate, Pixels, sample_pixels
from seglight.competition.choosing.selection import choose_members
from seglight.competition.jobs.running import Command, Runner
from seglight.competition.out_of_fold.plan import PLAN, Plan, check_one_pass
from seglight.competition.out_of_fold.predictions import DONE, PLAIN, OutOfFold, run_folder
from seglight.competition.out_of_fold.scores import percent
from seglight.competition.out_of_fold.splitting import copy_lists, data_module
from seglight.competition.pseudo_labels.precision import MIN_PIXELS, choose_confidence, count_precise, kept_pixels
from seglight.competition.pseudo_labels.round_file import ROUND, Labelling, Round, read_round
from seglight.config.arguments import as_word
from seglight.console import labelled
from seglight.errors import ConfigError, DataError, UsageError, collected_warnings, one_line, say
from seglight.files import as_bytes, write_atomically
from seglight.parts import PSEUDO
from seglight.run_lock import PREDICTS

#: Defaults of `--precision` and `--pseudo-weight`.
PRECISION, WEIGHT = 0.95, 1.0

#: The folder of the pseudo labels in that of a round, which has a folder for each fold.
FOLDER = 'pseudo'


@dataclass(frozen=True)
class Rounds:
    """How often to train, and on which pseudo labels.

    Attributes:
        count: number of rounds; the first has no pseudo labels.
        precision: precision of the pseudo labels of each class, as the labelled images show it.
        weight: how often each pseudo label occurs in an epoch, on average.
    """

    count: int = 1
    precision: float = PRECISION
    weight: float = WEIGHT


def make_rounds(count: int, precision: float | None, weight: float | None) -> Rounds:
    """Return the rounds of a command line, where None is an option that was not given.

    Raises:
        UsageError: if a value is out of range, or needless.
    """
    if count < 1:
        raise UsageError(f'--rounds must be at least 1, got {count}')
    for option, value in {'--precision': precision, '--pseudo-weight': weight}.items():
        if value is not None and count == 1:
            raise UsageError(f'{option} is for pseudo labels: add --rounds 2, or remove it')
    rounds = Rounds(count, PRECISION if precision is None else precision, WEIGHT if weight is None else weight)
    if not 0 < rounds.precision <= 1:
        raise UsageError(f'--precision must be above 0 and at most 1, got {rounds.precision}')
    check_weight(rounds.weight)
    return rounds


def round_folder(first: Path, number: int) -> Path:
    """Return the folder of a round, counted from 1, whose folder is `first`."""
    return first if number == 1 else first / f'round{number}'


def check_rounds(plan: Plan, rounds: Rounds, folder: Path | None) -> None:
    """Check what could end a later round, before the first one starts.

    Args:
        plan: the plan of all rounds.
        rounds: the rounds.
        folder: the folder of an earlier command with this plan.

    Raises:
        UserError: if the models cannot predict in one pass, there is nothing to predict, or the folder has rounds with
            other pseudo labels.
    """
    if rounds.count == 1:
        return
    check_one_pass(plan)
    _check_test_images(plan)
    for number in range(2, rounds.count + 1):
        path = folder and round_folder(folder, number) / ROUND
        if path and path.is_file():
            _check_same(read_round(path, plan), rounds, path)


def _check_test_images(plan: Plan) -> None:
    """Check that there are images to label.

    Raises:
        ConfigError: if `data.test` has no usable image.
    """
    module = data_module(plan, next(iter(plan.models)))
    module.prepare_data()
    try:
        with collected_warnings():  # the prediction prints them
            module.setup('predict')
    except DataError as error:
        raise ConfigError('data.test', f'must have images for --rounds: {one_line(error)}') from error
    if not len(module.datasets['test']):
        raise ConfigError('data.test', 'must have images for --rounds, got none')


def _check_same(earlier: Round, rounds: Rounds, path: Path) -> None:
    """Reject a round that an earlier command has begun with other options."""
    for option, old, new in (
        ('--precision', earlier.precision, rounds.precision),
        ('--pseudo-weight', earlier.weight, rounds.weight),
    ):
        if old != new:
            raise UsageError(
                f'{path.parent} has pseudo labels with {option} {old}, now {new}; remove that folder and those '
                'of later rounds, or choose another --work-dir'
            )


def label_round(first: Path, number: int, plan: Plan, rounds: Rounds, runner: Runner, trust: Sequence[str]) -> Path:
    """Label the test images with the models of the round before, and return the folder of the round.

    Whatever an earlier command has done is not done again.

    Args:
        first: the folder of the first round.
        number: of the round, from 2.
        plan: the plan of all rounds.
        rounds: the rounds.
        runner: runs the predictions.
        trust: flags that let checkpoints name classes of any package.

    Raises:
        UserError: if no class is precise enough, or a prediction fails.
    """
    before, folder = round_folder(first, number - 1), round_folder(first, number)
    say(labelled(f'Round {number}', folder))
    path = folder / ROUND
    if not path.is_file():
        found, comments = choose_round(OutOfFold(before, plan), rounds)
        found.write(path, comments)
        for comment in comments:
            say(f'  {comment}')
    found = read_round(path, plan)
    if left_out := ', '.join(_left_out(found, plan)):
        say(f'  no confidence has a precision of {found.precision:g}, so pseudo labels leave out: {left_out}')
    copy_lists(first, folder, plan.folds)
    write_atomically(folder / PLAN, as_bytes(plan.text()))
    runner.run(
        [[_command(before, folder, fold, labelling, trust)] for fold, labelling in enumerate(found.folds, start=1)]
    )
    return folder


def choose_round(predictions: OutOfFold, rounds: Rounds) -> tuple[Round, list[str]]:
    """Choose the members and the confidence of each class for each fold, on the predictions of the other folds.

    Returns:
        The round, and what its pseudo labels would be on the images of each fold, whose labels are known: a line each.

    Raises:
        UsageError: if no class has the precision.
    """
    plan = predictions.plan
    candidates = [Candidate(model, PLAIN) for model in plan.models]
    pixels = sample_pixels(predictions, candidates)
    folds, lines = [], []
    for fold in range(1, plan.folds + 1):
        others = pixels.of([other for other in range(1, plan.folds + 1) if other != fold])
        members = dict(sorted(Counter(choose_members(others)).items()))
        counts = count_precise(others, members)
        confidence = choose_confidence(counts, rounds.precision)
        if not confidence:
            raise UsageError(
                f'no class has {MIN_PIXELS} pixels with a precision of {rounds.precision:g} without fold {fold}, the '
                f'highest is {counts.precision.max():.3f}: lower --precision, or train longer in another --work-dir'
            )
        named = {plan.classes[label]: round(value, 4) for label, value in confidence.items()}
        folds.append(Labelling({candidates[index].model: count for index, count in members.items()}, named))
        lines.append(_line(fold, pixels.of([fold]), members, confidence))
    return Round(rounds.precision, rounds.weight, folds), lines


def _line(fold: int, pixels: Pixels, members: dict[int, int], confidence: dict[int, float]) -> str:
    """Return what a choice keeps of a fold that it was not made on."""
    share, right = kept_pixels(count_precise(pixels, members), confidence)
    return f'fold {fold}: would keep {percent(share)} % of its pixels, {percent(right)} % of them right'


def _left_out(found: Round, plan: Plan) -> Iterator[str]:
    """Yield each class that is without pseudo labels, and the folds if it is not so in all."""
    for name in plan.classes:
        folds = [fold for fold, labelling in enumerate(found.folds, start=1) if name not in labelling.confidence]
        if folds:
            where = '' if len(folds) == plan.folds else f' (fold {", ".join(map(str, folds))})'
            yield f'{name}{where}'


def pseudo_folder(folder: Path, fold: int) -> Path:
    """Return the folder of the predictions of the test images for a fold of a round."""
    return folder / FOLDER / f'fold{fold}'


def _command(before: Path, folder: Path, fold: int, labelling: Labelling, trust: Sequence[str]) -> Command:
    """Write the ensemble of a fold, and return the command that labels the test images with it."""
    output = pseudo_folder(folder, fold)
    file, log = output.with_suffix('.yaml'), output.with_suffix('.log')
    members = [
        Member([str(Checkpoint.find(run_folder(before, model, fold)))], weight)
        for model, weight in labelling.members.items()
    ]
    comments = [f'Labels the test images for fold {fold}, by models that were not trained on its images']
    write_atomically(file, as_bytes(Ensemble(members).text(comments)))
    words = ['predict', '--ensemble', str(file), '--output', str(output), '--resume', *trust]
    words.append(f'--pseudo-labels={as_word(labelling.confidence)}')
    return Command(f'pseudo labels, fold {fold}', words, output / DONE, log, output, use=PREDICTS)


def training_flags(folder: Path, plan: Plan, rounds: Rounds, model: str, fold: int) -> list[str]:
    """Return the flag of `fit` that adds the pseudo labels of a fold to the training data of a model."""
    train = plan.models[model]['data']['train']
    value = with_pseudo_labels(train, pseudo_folder(folder, fold) / PSEUDO, rounds.weight)
    return [f'--data.train={as_word(value)}']
