"""Choose an ensemble on out-of-fold predictions, with a score that its own choice does not flatter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.ensemble import Ensemble, Member
from seglight.competition.folds import predict_command
from seglight.competition.out_of_fold import PLAIN, Held, OutOfFold, confusion, missing_runs, run_folder
from seglight.competition.pixels import Candidate, sample_pixels
from seglight.competition.plan import Plan, find_folds, read_plan
from seglight.competition.refining import Changes
from seglight.competition.running import Runner
from seglight.competition.scores import percent
from seglight.competition.selection import choose_members, choose_thresholds
from seglight.config.arguments import as_word
from seglight.errors import ConfigError, UsageError, say
from seglight.files import as_bytes, write_atomically
from seglight.models.inference.postprocessing import Floats, Postprocessing, with_thresholds
from seglight.report.evaluation import Counts, class_iou, mean_known
from seglight.run_lock import RunLock

#: Views that members may have, by name: the arguments of the test-time augmentation.
VIEWS: dict[str, dict[str, Any] | None] = {
    PLAIN: None,
    'flips': {'scales': [1.0], 'flips': ['horizontal']},
    'scales': {'scales': [0.75, 1.0, 1.25], 'flips': ['horizontal']},
}

#: Settings of the data that all models share, since an ensemble reads each image once.
READ_ONCE = ('val_transforms', 'image_range')

#: Maximum of images on which areas are chosen.
MAX_REFINED = 500


@dataclass(frozen=True)
class Choice:
    """An ensemble: the weight of each candidate, and the post-processing."""

    weights: dict[int, int]
    rule: Postprocessing = field(default_factory=Postprocessing)


class Variant(NamedTuple):
    """What an ensemble may consist of, and its confusions: on the images that it was chosen on, and nested."""

    name: str
    choice: Choice
    plain: Counts
    nested: Counts


class Chooser:
    """Chooses ensembles on the images of some folds, and evaluates them on those of others.

    Args:
        predictions: the out-of-fold predictions.
        candidates: the models with their views.
    """

    def __init__(self, predictions: OutOfFold, candidates: Sequence[Candidate]) -> None:
        self.predictions = predictions
        self.candidates = candidates
        self.plan = predictions.plan
        self._pixels = sample_pixels(predictions, candidates)

    def choose(self, folds: Sequence[int]) -> list[Choice]:
        """Return the best single candidate, the ensemble, and the ensemble with post-processing."""
        pixels = self._pixels.of(folds)
        single = int(np.argmax([pixels.miou(value) for value in pixels.values]))
        members = dict(Counter(choose_members(pixels)))
        total = sum(np.float32(count) * pixels.values[index] for index, count in members.items())
        thresholds = choose_thresholds(pixels, np.asarray(total / (255 * sum(members.values())), dtype=np.float32))
        changes = Changes(len(self.plan.classes), self.plan.data['ignore_index'])
        images = self._images(folds)
        for held in images[:: -(-len(images) // MAX_REFINED)]:
            scores = with_thresholds(self._probabilities(held, members), thresholds)
            changes.add(held.mask.read(), scores)
        rule = Postprocessing(thresholds, changes.best('smallest'), changes.best('holes'))
        return [Choice({single: 1}), Choice(members), Choice(members, rule)]

    def confusions(self, choices: Sequence[Choice], folds: Sequence[int]) -> Counts:
        """Return the confusion of each choice on the images of some folds, int64 `[choices, C, C]`."""
        count = len(self.plan.classes)
        total = np.zeros((len(choices), count, count), dtype=np.int64)
        for held in self._images(folds):
            labels = held.mask.read()
            for at, choice in enumerate(choices):
                mask = choice.rule.mask(self._probabilities(held, choice.weights))
                total[at] += confusion(labels, mask, count, self.plan.data['ignore_index'])
        return total

    def _images(self, folds: Sequence[int]) -> list[Held]:
        return [held for held in self.predictions.images if held.fold in folds]

    def _probabilities(self, held: Held, weights: dict[int, int]) -> Floats:
        """Return the weighted mean probabilities of an image, float32 `[C, H, W]`."""
        read = {index: self.predictions.probabilities(held, *self.candidates[index]) for index in weights}
        total: Any = sum(np.float32(weight) * read[index] for index, weight in weights.items())
        mean: Floats = total / np.float32(255 * sum(weights.values()))
        return mean


def choose_ensemble(
    name: str, views: Sequence[str] = (PLAIN, 'flips'), jobs: int = 1, output: Path | None = None
) -> Path:
    """Choose an ensemble of the models of a folder, print its scores, and write it to a file.

    The file has the variant with the highest nested score: for each fold, everything is chosen on the other folds and
    evaluated on that fold, and the pixels of all folds are counted together.

    Args:
        name: the folder of `seglight folds`, or its name in `work_dirs`.
        views: names of the views that each model may have; missing predictions are made first.
        jobs: number of processes that predict at once.
        output: the file to write; by default `ensemble.yaml` in the folder.

    Raises:
        UserError: if a run or its predictions are missing, or the models cannot predict in one pass.
    """
    folder = find_folds(name)
    plan = read_plan(folder)
    _check(folder, plan, views, output)
    checkpoints = {model: _checkpoints(folder, plan, model) for model in plan.models}
    lock = RunLock(folder)
    lock.acquire()
    try:
        _predict(folder, plan, views, jobs)
    finally:
        lock.release()
    candidates = [Candidate(model, each) for model in plan.models for each in dict.fromkeys(views)]
    variants = make_variants(Chooser(OutOfFold(folder, plan), candidates), plan.folds)
    say(table(variants))
    best = max(variants, key=lambda variant: miou(variant.nested))  # the first, which is the simplest, of equal ones
    path = output or folder / 'ensemble.yaml'
    write_atomically(path, as_bytes(_file(best, plan, candidates, checkpoints).text(_comments(folder, best))))
    for line in describe(best, plan, candidates):
        say(line)
    say(f'Predict with the {best.name}: seglight predict --ensemble {path} --submission')
    return path


def make_variants(chooser: Chooser, folds: int) -> list[Variant]:
    """Return the variants with their plain and nested confusions."""
    everything = range(1, folds + 1)
    choices = chooser.choose(everything)
    plain = chooser.confusions(choices, everything)
    nested = np.zeros_like(plain)
    for fold in everything:
        others = [other for other in everything if other != fold]
        nested += chooser.confusions(chooser.choose(others), [fold])
    names = ('best single model', 'ensemble', 'ensemble with post-processing')
    return [Variant(*each) for each in zip(names, choices, plain, nested, strict=True)]


def miou(confusion: Counts) -> float:
    """Return the mIoU of a confusion matrix."""
    return mean_known(class_iou(confusion))


def table(variants: Iterable[Variant]) -> str:
    """Return the table of the scores."""
    lines = [f'  {"mIoU, %":<30}  {"plain":>7}  {"nested":>7}']
    for name, _, *confusions in variants:
        plain, nested = (percent(miou(each)) for each in confusions)
        lines.append(f'  {name:<30}  {plain:>7}  {nested:>7}')
    return '\n'.join(lines)


def describe(variant: Variant, plan: Plan, candidates: Sequence[Candidate]) -> list[str]:
    """Return lines with the members and the post-processing of a variant."""
    weights, rule = variant.choice.weights, variant.choice.rule
    lines = [f'  {candidates[index]}: weight {weight}' for index, weight in sorted(weights.items())]
    named = {'threshold': rule.thresholds, 'smallest area': rule.smallest_areas, 'largest hole': rule.largest_holes}
    for title, values in named.items():
        lines += [f'  {plan.classes[label]}: {title} {value}' for label, value in values.items()]
    return lines


def _check(folder: Path, plan: Plan, views: Sequence[str], output: Path | None) -> None:
    """Check what can be wrong before anything is predicted."""
    if unknown := set(views) - set(VIEWS):
        raise UsageError(f"unknown views '{min(unknown)}'; choose from {', '.join(VIEWS)}")
    if output is not None and output.exists():
        raise UsageError(f'ensemble: {output} exists; choose another --output or remove it')
    missing = next(missing_runs(folder, plan, list(plan.models)), None)
    if missing is not None:
        raise UsageError(f'{missing} has no complete predictions; repeat the command of seglight folds first')
    first, *others = plan.models
    for other in others:
        for key in READ_ONCE:
            if plan.models[other]['data'][key] != plan.models[first]['data'][key]:
                text = f'must be equal in {first} and {other} for an ensemble, which reads each image once'
                raise ConfigError(f'data.{key}', text)


def _checkpoints(folder: Path, plan: Plan, model: str) -> list[str]:
    """Return the best checkpoint of each fold of a model."""
    runs = [run_folder(folder, model, fold) for fold in range(1, plan.folds + 1)]
    return [str(Checkpoint.find(run)) for run in runs]


def _predict(folder: Path, plan: Plan, views: Sequence[str], jobs: int) -> None:
    """Predict each fold with the views that are not predicted yet."""
    commands = []
    for model in plan.models:
        for each in views:
            arguments = VIEWS[each]
            flags = ['--trainer.callbacks+=' + as_word(_augmentation(arguments))] if arguments else []
            commands += [predict_command(folder, plan, model, fold, each, flags) for fold in range(1, plan.folds + 1)]
    Runner(jobs).run([[command] for command in commands])


def _augmentation(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the config of the callback of test-time augmentation."""
    return {'class_path': 'seglight.callbacks.TestTimeAugmentation', 'init_args': arguments}


def _file(variant: Variant, plan: Plan, candidates: Sequence[Candidate], checkpoints: dict[str, list[str]]) -> Ensemble:
    """Return the file of a variant."""
    members = [
        Member(checkpoints[candidates[index].model], weight, VIEWS[candidates[index].views])
        for index, weight in sorted(variant.choice.weights.items())
    ]
    rule = variant.choice.rule
    tables: list[dict[str, Any]] = [
        {plan.classes[label]: value for label, value in values.items()}
        for values in (rule.thresholds, rule.smallest_areas, rule.largest_holes)
    ]
    return Ensemble(members, *tables)


def _comments(folder: Path, variant: Variant) -> list[str]:
    """Return the comments of the file."""
    scores = f'mIoU out of fold {percent(miou(variant.plain))} %, nested {percent(miou(variant.nested))} %'
    return [f'{variant.name} of {folder}: {scores}', 'seglight predict --ensemble FILE; weights are those of all folds']
