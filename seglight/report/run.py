"""Read a run's folder."""

from __future__ import annotations

import csv
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seglight.errors import UsageError, UserError, one_line
from seglight.files import WORK_DIRS, in_work_dirs
from seglight.plain_text import load_yaml_file, read_rows
from seglight.report.evaluation import EVALUATIONS, Evaluation, load_evaluation
from seglight.run import CONFIG, ENVIRONMENT

#: Values by step, oldest first.
Curve = list[tuple[int, float]]


@dataclass
class Run:
    """What a run's folder records.

    Attributes:
        folder: the folder.
        curves: every logged metric, for example `train/loss` and `lr-SGD`, by optimizer step.
        config: the resolved config.
        environment: command line, packages, git commit.
        evaluation: the best validation in training, or the requested one; None if there is none.
        title: a description of the evaluation.
    """

    folder: Path
    curves: dict[str, Curve]
    config: dict[str, Any]
    environment: dict[str, Any]
    evaluation: Evaluation | None
    title: str = ''

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name


def find_run(name: str) -> Path:
    """Return the folder of a run, given as a path or as the name of a folder in `work_dirs`.

    Raises:
        UsageError: if there is no such folder, or it does not contain a run.
    """
    for folder in in_work_dirs(name):
        if (folder / CONFIG).is_file() or (folder / EVALUATIONS).is_dir():
            return folder
    known = ', '.join(sorted(path.parent.name for path in WORK_DIRS.glob(f'*/{CONFIG}'))) or 'none'
    missing = f'{WORK_DIRS / name / CONFIG} does not exist'
    raise UsageError(f"report: '{name}' is not a run: {missing} (runs in {WORK_DIRS}: {known})")


def read_run(folder: Path, evaluation: str = 'fit') -> Run:
    """Read a run's folder; missing files leave their attributes empty.

    Args:
        folder: the folder.
        evaluation: the name of a file in its folder `evaluation`, without suffix.

    Raises:
        UserError: if a file is damaged.
    """
    file = folder / EVALUATIONS / f'{evaluation}.npz'
    found = load_evaluation(file) if file.is_file() else None
    title = evaluation.replace('_', ' ', 1) if evaluation != 'fit' else ''
    if found and evaluation == 'fit':
        title = f'the best validation, after epoch {found.epoch}'
    metrics, config, environment = (folder / name for name in ('metrics.csv', CONFIG, ENVIRONMENT))
    return Run(folder, read_curves(metrics), _mapping(config), _mapping(environment), found, title)


def read_curves(path: Path) -> dict[str, Curve]:
    """Read Lightning's `metrics.csv`, without values that are not finite.

    Raises:
        UserError: if the file is not such a table.
    """
    curves: dict[str, Curve] = {}
    if not path.is_file():
        return curves
    try:
        for row in read_rows(path)[1]:
            for name, text in row.items():
                if text and name != 'step' and math.isfinite(value := float(text)):
                    curves.setdefault(name, []).append((int(row['step']), value))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f'{path} is not a table of metrics: {one_line(error)}; fix or remove it') from error
    return curves


def previous_best(run: Run) -> Run | None:
    """Return the earlier run next to this one with the highest mIoU for the same classes, None if there is none."""
    if run.evaluation is None:
        return None
    run_folder = run.folder.resolve()
    started = _started(run_folder)
    candidates: list[tuple[float, Path]] = []
    for file in run_folder.parent.glob(f'*/{EVALUATIONS}/fit.npz'):
        folder = file.parents[1]
        if folder == run_folder or _started(folder) >= started:
            continue
        with suppress(UserError):  # a damaged file of another run must not prevent this report
            other = load_evaluation(file, examples=False)
            if other.classes == run.evaluation.classes and not math.isnan(other.miou):
                candidates.append((other.miou, folder))
    for _, folder in sorted(candidates, reverse=True):
        with suppress(UserError):
            return read_run(folder)
    return None


def flat(values: Any, path: str = '') -> dict[str, str]:
    """Return a nested config as dotted keys and YAML values on one line."""
    if isinstance(values, dict) and values:
        return {key: text for name, value in values.items() for key, text in flat(value, f'{path}.{name}').items()}
    text = yaml.safe_dump(values, default_flow_style=True, width=math.inf).removesuffix('...\n').strip()
    return {path.removeprefix('.'): text}


def first_difference(old: Any, new: Any) -> tuple[str, str, str] | None:
    """Return the first dotted key whose values differ between two configs, and both values; None if they are equal."""
    before, after = flat(old), flat(new)
    differing = (key for key in {**before, **after} if before.get(key) != after.get(key))
    return next(((key, before.get(key, 'not set'), after.get(key, 'not set')) for key in differing), None)


def differences(runs: list[Run]) -> list[tuple[str, list[str]]]:
    """Return the config keys whose values differ between runs, each with the value of every run."""
    configs = [flat(run.config) for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    rows = [(key, [config.get(key, '-') for config in configs]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _started(folder: Path) -> float:
    """Return when a run started: its config is written first and never changed."""
    config = folder / CONFIG
    return config.stat().st_mtime if config.is_file() else math.inf


def _mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Raises:
        UserError: if it does not.
    """
    if not path.is_file():
        return {}
    values = load_yaml_file(path)
    if not isinstance(values, dict):
        raise UserError(f'{path} is not a YAML mapping; restore or remove it')
    return values
