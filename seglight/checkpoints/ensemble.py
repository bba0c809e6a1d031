"""The file of an ensemble: checkpoints with weights and views, and how masks follow from their mean probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seglight.data.arguments import is_number
from seglight.errors import UsageError
from seglight.models.inference.postprocessing import Postprocessing
from seglight.models.inference.views import Views, make_views
from seglight.plain_text import load_yaml, read_text
from seglight.voting import vote_weights

#: Settings of the data that all checkpoints of an ensemble share, since it reads each image once.
READ_ONCE = ('val_transforms', 'image_range')


@dataclass(frozen=True)
class Member:
    """Checkpoints that share a weight, for example those of all folds of a model.

    Attributes:
        checkpoints: paths, or relative to `work_dirs`.
        weight: their weight together.
        views: `scales`, `flips` and `rotations` of their test-time augmentation; None for the image as it is.
    """

    checkpoints: Sequence[str]
    weight: float
    views: Mapping[str, Any] | None = None

    def made_views(self) -> Views | None:
        """Return the views.

        Raises:
            UsageError: for an unknown key or value.
        """
        if self.views is None:
            return None
        defaults = {'scales': [1.0], 'flips': [], 'rotations': [0]}
        if unknown := set(self.views) - set(defaults):
            raise UsageError(f"unknown key '{min(unknown)}' of views; choose from {', '.join(defaults)}")
        return Views(make_views(**{**defaults, **self.views}))


@dataclass(frozen=True)
class Ensemble:
    """Members, and by class name the values of `Postprocessing`."""

    members: Sequence[Member]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    smallest_areas: Mapping[str, int] = field(default_factory=dict)
    largest_holes: Mapping[str, int] = field(default_factory=dict)

    @property
    def checkpoints(self) -> list[str]:
        """The checkpoints of all members, each once."""
        return list(dict.fromkeys(name for member in self.members for name in member.checkpoints))

    def postprocessing(self, classes: Sequence[str]) -> Postprocessing:
        """Return the post-processing by the labels of the classes.

        Raises:
            UsageError: for an unknown class.
        """
        tables: list[dict[int, Any]] = []
        for table in (self.thresholds, self.smallest_areas, self.largest_holes):
            if unknown := [name for name in table if name not in classes]:
                raise UsageError(f"the ensemble names the class '{unknown[0]}', which its checkpoints do not have")
            tables.append({list(classes).index(name): value for name, value in table.items()})
        return Postprocessing(*tables)

    def text(self, comments: Sequence[str] = ()) -> str:
        """Return the ensemble as YAML, after comments of one line each."""
        head = ''.join(f'# {comment}\n' for comment in comments)
        values = {name: value for name, value in asdict(self).items() if value}
        return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def read_ensemble(path: Path) -> Ensemble:
    """Read the file of an ensemble.

    Raises:
        UsageError: if it cannot be read, or has an unknown key or a wrong value.
    """
    try:
        values = load_yaml(read_text(path), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or 'it is not UTF-8 text'
        raise UsageError(f'--ensemble {path} cannot be read: {reason}') from error
    try:
        return _parsed(values)
    except UsageError as error:
        raise UsageError(f'{path}: {error}') from error


def _parsed(values: Any) -> Ensemble:
    """Return the ensemble with the values of a file."""
    fields = ('members', 'thresholds', 'smallest_areas', 'largest_holes')
    _check(isinstance(values, dict), 'must be a mapping, as seglight ensemble writes it')
    _check(set(values) <= set(fields), f'has keys other than {", ".join(fields)}')
    members = values.get('members')
    _check(isinstance(members, list) and bool(members), 'members must be a list of at least one')
    tables = [
        _table(values, 'thresholds', 'numbers from 0 to 1', lambda value: 0 <= value <= 1),
        _table(values, 'smallest_areas', 'whole numbers above 0', _is_area),
        _table(values, 'largest_holes', 'whole numbers above 0', _is_area),
    ]
    return Ensemble([_member(each) for each in members], *tables)


def _member(values: Any) -> Member:
    """Return a member with the values in a file."""
    known = ('checkpoints', 'weight', 'views')
    _check(isinstance(values, dict) and set(values) <= set(known), f'a member must have the keys {", ".join(known)}')
    names, weight, views = (values.get(name) for name in known)
    good = isinstance(names, list) and bool(names) and all(isinstance(name, str) for name in names)
    _check(good, 'checkpoints of a member must be a list of paths')
    good = is_number(weight) and vote_weights([weight], 1) is not None
    _check(good, f'weight of a member must be above 0 and below 1e308, got {weight!r:.40}')
    _check(views is None or isinstance(views, dict), 'views of a member must be a mapping or null')
    member = Member(names, float(weight), views)
    try:
        member.made_views()
    except TypeError as error:
        raise UsageError('views of a member must have lists as scales, flips and rotations') from error
    return member


def _table(values: dict[str, Any], name: str, what: str, valid: Callable[[Any], bool]) -> dict[str, Any]:
    """Return the table of a file with a number for each class."""
    table = values.get(name) or {}
    good = isinstance(table, dict) and all(
        isinstance(key, str) and is_number(value) and valid(value) for key, value in table.items()
    )
    _check(good, f'{name} must have {what} by class name')
    return dict(table)


def _is_area(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _check(valid: bool, message: str) -> None:
    """Raise an error unless something is valid."""
    if not valid:
        raise UsageError(message)
