"""Choose an ensemble on out-of-fold predictions, with a score that its own choice does not flatter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.ensemble import Ensemble, Member
from seglight.competition.choosing.chooser import Chooser, Variant, make_variants, miou
from seglight.competition.choosing.pixels import Candidate
from seglight.competition.folds import TRUST, predict_command
from seglight.competition.jobs.running import Runner, check_jobs
from seglight.competition.out_of_fold.plan import Plan, check_one_pass, open_folds
from seglight.competition.out_of_fold.predictions import PLAIN, OutOfFold, check_complete, run_folder
from seglight.competition.out_of_fold.scores import percent
from seglight.config.arguments import as_word
from seglight.errors import UsageError, say
from seglight.files import as_bytes, write_atomically
from seglight.run_lock import RunLock

#: Views that members may have, by name: the arguments of the test-time augmentation.
VIEWS: dict[str, dict[str, Any] | None] = {
    PLAIN: None,
    'flips': {'scales': [1.0], 'flips': ['horizontal']},
    'scales': {'scales': [0.75, 1.0, 1.25], 'flips': ['horizontal']},
}


def choose_ensemble(
    name: str,
    views: Sequence[str] = (PLAIN, 'flips'),
    jobs: int = 1,
    output: Path | None = None,
    trust_checkpoint: bool = False,
) -> Path:
    """Choose an ensemble of the models of a folder, print its scores, and write it to a file.

    The file has the variant with the highest nested score: for each fold, everything is chosen on the other folds and
    evaluated on that fold, and the pixels of all folds are counted together.

    Args:
        name: the folder of `seglight folds`, or its name in `work_dirs`.
        views: names of the views that each model may have; missing predictions are made first.
        jobs: number of processes that predict at once.
        output: the file to write; by default `ensemble.yaml` in the folder.
        trust_checkpoint: whether the folder is your own; its plan and checkpoints may then name classes of any package.

    Raises:
        UserError: if an argument is wrong, a run or its predictions are missing, or the models cannot predict in one
            pass.
    """
    check_jobs(jobs)
    folder, plan = open_folds(name, trust_checkpoint)
    _check(folder, plan, views, output)
    checkpoints = {model: _checkpoints(folder, plan, model) for model in plan.models}
    lock = RunLock(folder, option='')
    lock.acquire()
    try:
        _predict(folder, plan, views, jobs, [TRUST] if trust_checkpoint else [])
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
    return path


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
    check_complete(folder, plan)
    check_one_pass(plan)


def _checkpoints(folder: Path, plan: Plan, model: str) -> list[str]:
    """Return the best checkpoint of each fold of a model."""
    runs = [run_folder(folder, model, fold) for fold in range(1, plan.folds + 1)]
    return [str(Checkpoint.find(run)) for run in runs]


def _predict(folder: Path, plan: Plan, views: Sequence[str], jobs: int, trust: Sequence[str]) -> None:
    """Predict each fold with the views that are not predicted yet."""
    commands = []
    for model in plan.models:
        for each in views:
            arguments = VIEWS[each]
            flags = [*trust, *(['--trainer.callbacks=' + as_word([_augmentation(arguments)])] if arguments else [])]
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
