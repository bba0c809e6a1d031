"""The plan of a training on folds: its models and folds, stored in its folder, by which the same command finds it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from seglight.checkpoints.ensemble import READ_ONCE
from seglight.checkpoints.stored import read_stored
from seglight.config.settings import Settings
from seglight.errors import ConfigError, UsageError
from seglight.files import WORK_DIRS, as_bytes, claim_run_folder, in_work_dirs, write_atomically
from seglight.masking import masked
from seglight.names import name_fault
from seglight.own_modules import find_named
from seglight.plain_text import load_yaml, read_text
from seglight.report.run import first_difference

#: The file of the plan in its folder.
PLAN = 'plan.yaml'

#: Limit for the number of folds, that of the images of each class.
MAX_FOLDS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What to train.

    Attributes:
        folds: number of folds.
        group: regular expression for the group in an image's name, as in `data.split`; None if there are no groups.
        models: the resolved config of each model, without secrets, by the model's name.
    """

    folds: int
    group: str | None
    models: dict[str, dict[str, Any]]

    @property
    def data(self) -> dict[str, Any]:
        """The arguments of the data of the first model, whose classes and images are those of all."""
        return data_arguments(next(iter(self.models.values())))

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return list(self.data['classes'])

    def text(self) -> str:
        """Return the plan as YAML."""
        return yaml.safe_dump(masked(asdict(self)), sort_keys=False)


def check_origin(plan: Plan, path: Path) -> None:
    """Check that the data of a plan names no classes of other packages, which building them would import.

    Args:
        plan: a plan that someone else may have written.
        path: its file, for the error.

    Raises:
        CheckpointError: names the key that it sets.
    """
    for config in plan.models.values():
        text = yaml.safe_dump({'data': config['data']})
        read_stored(text, path, ('data',), trust=False, purpose='training').check(Settings())


def check_one_pass(plan: Plan) -> None:
    """Check that an ensemble of all models can read each image once.

    Raises:
        ConfigError: names the key in which two models differ.
    """
    first, *others = plan.models
    for other in others:
        for key in READ_ONCE:
            if plan.models[other]['data'][key] != plan.models[first]['data'][key]:
                text = f'must be equal in {first} and {other} for an ensemble, which reads each image once'
                raise ConfigError(f'data.{key}', text)


def data_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the data module in a resolved config, with the seed of the run."""
    data, seed = dict(config['data']), config.get('seed_everything')
    return data if seed is None or isinstance(seed, bool) else {**data, 'seed': seed}


def read_plan(folder: Path) -> Plan:
    """Read the plan of a folder.

    Raises:
        UsageError: if it is missing or damaged.
    """
    path = folder / PLAN
    try:
        values = load_yaml(read_text(path), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'{folder} is not a folder of seglight folds: {path} cannot be read') from error
    if not _is_plan(values):
        raise UsageError(f'{path} is damaged: restore it, or train again in another --work-dir')
    return Plan(**values)


def _is_plan(values: Any) -> bool:
    """Return whether the values of a file are those of a plan, as far as they are used without further checks."""
    if not isinstance(values, dict) or set(values) != {'folds', 'group', 'models'}:
        return False
    folds, group, models = values['folds'], values['group'], values['models']
    return (
        (type(folds) is int and 2 <= folds <= MAX_FOLDS)
        and (group is None or isinstance(group, str))
        and (isinstance(models, dict) and bool(models) and all(map(_is_model, models.items())))
    )


def _is_model(item: tuple[Any, Any]) -> bool:
    """Return whether a name and a config are those of a model of a plan."""
    name, config = item
    data = config.get('data') if isinstance(config, dict) else None
    if not isinstance(name, str) or name_fault(name) or not isinstance(data, dict):
        return False
    classes, ignored = data.get('classes'), data.get('ignore_index')
    named = isinstance(classes, list) and bool(classes) and all(isinstance(each, str) for each in classes)
    return named and type(ignored) is int and {*READ_ONCE, 'train'} <= set(data)


def find_folds(name: str) -> Path:
    """Return the folder of a training on folds, given as a path or as a name in `work_dirs`.

    Raises:
        UsageError: if it does not exist.
    """
    for folder in in_work_dirs(name):
        if (folder / PLAN).is_file():
            return folder
    known = ', '.join(sorted(path.parent.name for path in WORK_DIRS.glob(f'*/{PLAN}'))) or 'none'
    raise UsageError(f"'{name}' is not a folder of seglight folds (those in {WORK_DIRS}: {known})")


def open_folds(name: str, trust_checkpoint: bool) -> tuple[Path, Plan]:
    """Return the folder of a training on folds, and its plan.

    Args:
        name: the folder, as a path or as a name in `work_dirs`.
        trust_checkpoint: whether it is the user's own; its plan may then name classes of any package.

    Raises:
        UserError: if it does not exist, is damaged, or names a class that it may not.
    """
    folder = find_folds(name)
    plan = read_plan(folder)
    if trust_checkpoint:
        find_named(plan.models)
    else:
        check_origin(plan, folder / PLAN)
    return folder, plan


def earlier_folder(plan: Plan, work_dir: Path | None = None) -> Path | None:
    """Return the folder of an earlier command with this plan, the newest of several; None if there is none.

    Args:
        plan: the plan.
        work_dir: the folder, if the user gave it.

    Raises:
        UsageError: if the given folder contains another plan or other files.
    """
    if work_dir is None:
        return newest_folder(PLAN, plan.text())
    if (work_dir / PLAN).is_file():
        _check_same(read_plan(work_dir), plan, work_dir)
        return work_dir
    if work_dir.exists() and (not work_dir.is_dir() or any(work_dir.iterdir())):
        raise UsageError(f'--work-dir {work_dir} must be new, empty, or the folder of an earlier seglight folds')
    return None


def newest_folder(name: str, text: str) -> Path | None:
    """Return the folder in `work_dirs` whose file of that name has a text, the newest of several; None without one."""
    newest_first = sorted(WORK_DIRS.glob(f'*/{name}'), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return next((path.parent for path in newest_first if text_of(path) == text), None)


def text_of(path: Path) -> str:
    """Return the text of a file; empty if it cannot be read, as that of a damaged folder among others."""
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError):
        return ''


def new_folder(plan: Plan, work_dir: Path | None = None) -> Path:
    """Create the folder of a plan, by default the next free `work_dirs/folds{N}`, and write the plan to it.

    Raises:
        UsageError: if it cannot be created.
    """
    try:
        folder = work_dir or claim_run_folder(WORK_DIRS, 'folds')
        write_atomically(folder / PLAN, as_bytes(plan.text()))
    except OSError as error:
        raise UsageError(f'cannot create the folder {work_dir or WORK_DIRS}: {error.strerror}') from error
    return folder


def _check_same(earlier: Plan, plan: Plan, folder: Path) -> None:
    """Reject a folder with another plan; name the first key that differs."""
    if differing := first_difference(*(yaml.safe_load(each.text()) for each in (earlier, plan))):
        key, old, new = differing
        change = f'{key} is {new} now, and was {old}'
        raise UsageError(f'{folder} belongs to other settings: {change}; choose another --work-dir')
