"""Damaged files in the folder of a training on folds, with a second round."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from fuzzing.mutations import mutate_bytes, mutate_value
from seglight.__main__ import _command_line
from seglight.competition.folds import make_plan
from seglight.competition.out_of_fold.plan import PLAN, new_folder
from seglight.competition.out_of_fold.predictions import DONE, PLAIN, TRAINED, prediction_folder, run_folder
from seglight.competition.out_of_fold.splitting import IMAGES, fold_folder, fold_lists, write_lists
from seglight.competition.pseudo_labels.round_file import ROUND, Labelling, Round
from seglight.competition.pseudo_labels.rounds import pseudo_folder, round_folder
from seglight.competition.resolving import resolved

#: The name of the folder and of its model, that of its config.
FOLDER, MODEL = 'folds', 'own'

#: The options of the command that has made it.
MADE = ['folds', '--folds=2', '--rounds=2', f'--work-dir={FOLDER}']


def make_folds(root: Path, must: Callable[..., None]) -> None:
    """Make the folder of two folds and two rounds in the working folder, without training.

    Args:
        root: the folder of the corpus, with `own.yaml` and the checkpoint of its run.
        must: runs a command.
    """
    plan = make_plan({MODEL: resolved(['--config', str(root / 'own.yaml')], _command_line)}, 2, None)
    folder = new_folder(plan, Path(FOLDER))
    write_lists(folder, fold_lists(plan))
    for fold in (1, 2):
        run, output = run_folder(folder, MODEL, fold), prediction_folder(folder, MODEL, fold, PLAIN)
        run.mkdir(parents=True)
        (run / TRAINED).touch()
        shutil.copy('run/epoch_1.ckpt', run)
        images = fold_folder(folder, fold) / IMAGES
        must('predict', '--ckpt=run/epoch_1.ckpt', f'--input={images}', f'--output={output}', '--probabilities=uint8')
        (output / DONE).touch()
    second = round_folder(folder, 2)
    shutil.copytree(folder, second, ignore=lambda path, _: [second.name] if Path(path) == folder else [])
    for fold in (1, 2):
        pseudo_folder(second, fold).mkdir(parents=True)
        (pseudo_folder(second, fold) / DONE).touch()
    confidence = dict.fromkeys(plan.classes[:2], 0.5)
    Round(0.95, 1.0, [Labelling({MODEL: 1}, confidence), Labelling({MODEL: 2}, confidence)]).write(second / ROUND, [])


def damaged_folds(root: Path, folder: Path, rng: random.Random, fill: Callable[[Any, Path], Any]) -> list[str]:
    """Copy the folder with one damaged file, and return a command that reads it.

    Args:
        root: of the corpus.
        folder: of the input.
        rng: makes the choices.
        fill: replaces what stands for the canary's folder in a value.
    """
    copy = Path(shutil.copytree(root / FOLDER, folder / FOLDER))
    kind = rng.choice([PLAN, PLAN, PLAN, ROUND, ROUND, 'list', 'predictions'])
    path = {PLAN: copy / PLAN, ROUND: round_folder(copy, 2) / ROUND}.get(kind) or rng.choice(_files(copy, kind))
    if kind in (PLAN, ROUND) and rng.random() < 0.7:
        values = fill(_damaged(yaml.safe_load(path.read_text()), rng), folder)
        path.write_bytes(yaml.safe_dump(values, sort_keys=False).encode(errors='surrogatepass'))
    else:
        path.write_bytes(mutate_bytes(path.read_bytes(), rng))
    config = ['--config', str(root / 'own.yaml')]
    reading = [['ensemble', FOLDER, '--views', PLAIN], ['data', 'labels', FOLDER], [*MADE, *config]]
    return reading[-1] if kind == ROUND else rng.choice(reading)


def _damaged(values: Any, rng: random.Random) -> Any:
    """Damage values, those above and in `data` more often than the many others of a plan."""
    if 'models' not in values:
        return mutate_value(values, rng)
    place = rng.random()
    if place < 0.3:
        changed = mutate_value({name: value for name, value in values.items() if name != 'models'}, rng)
        return {**values, **changed} if isinstance(changed, dict) else changed
    holder, name = (values['models'], MODEL) if place < 0.5 else (values['models'][MODEL], 'data')
    holder[name] = mutate_value(holder[name], rng)
    return values


def _files(folder: Path, kind: str) -> Sequence[Path]:
    """Return the lists of the folds, or the predictions of all images."""
    if kind == 'list':
        return sorted(folder.glob('split/*/*.txt'))
    return sorted(path for path in folder.glob(f'{MODEL}/fold*/out_of_fold/{PLAIN}/*/*') if path.is_file())
