"""Objects from the dicts of a config: each argument is of the type that its class says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import albumentations as A
import pytest

from seglight.config.classes import construct, name_and_arguments
from seglight.errors import ConfigError

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


class Typed:
    """A class that keeps its arguments."""

    def __init__(
        self,
        name: str | None = None,
        flag: bool = False,
        share: float = 0.5,
        pair: tuple[int, int] = (1, 2),
        numbers: Sequence[int] = (),
        folder: Path | None = None,
        kind: Literal['near', 'far'] = 'near',
        labels: dict[int, str | None] | None = None,
        anything: Any = None,
        **rest: int,
    ) -> None:
        self.given = {key: value for key, value in locals().items() if key not in ('self', '__class__')}


class Untyped:
    """A class of one's own without types."""

    def __init__(self, name=None) -> None:  # type: ignore[no-untyped-def]
        self.name = name


class Unresolved:
    """A class of one's own whose types are not there when it runs."""

    def __init__(self, name: Unknown) -> None:
        self.name = name


@pytest.mark.parametrize(
    ('argument', 'value', 'kept'),
    [
        ('name', 'a', 'a'),
        ('name', None, None),
        ('share', 1, 1),
        ('pair', [3, 4], (3, 4)),
        ('numbers', [3, 4], [3, 4]),
        ('folder', 'a/b', Path('a/b')),
        ('folder', Path('a/b'), Path('a/b')),
        ('kind', 'far', 'far'),
        ('labels', {3: 'a', 4: None}, {3: 'a', 4: None}),
        ('labels', {'3': 'a'}, {3: 'a'}),  # JSON has texts as keys alone
        ('anything', {3: [object]}, {3: [object]}),
        ('other', 'free', 'free'),
    ],
)
def test_arguments_are_of_the_types_that_the_class_says(argument: str, value: object, kept: object) -> None:
    built = construct(Typed, {argument: value}, 'Typed', 'data.train')
    assert (built.given | built.given['rest'])[argument] == kept


@pytest.mark.parametrize(
    ('argument', 'value', 'said'),
    [
        ('name', 5, 'expected str | null, got 5'),
        ('name', ['.jpg'], r"expected str | null, got ['.jpg']"),
        ('flag', 'no', "expected bool, got 'no'"),
        ('share', True, 'expected float, got True'),
        ('share', None, 'expected float, got None'),
        ('pair', [1], 'expected tuple[int, int], got [1]'),
        ('numbers', '12', "expected Sequence[int], got '12'"),
        ('folder', 5, 'expected Path | null, got 5'),
        ('labels', ['a'], "expected dict[int, str | null] | null, got ['a']"),
        ('labels', {1.5: 'a'}, "got {1.5: 'a'}"),
        ('labels', {True: 'a'}, "got {True: 'a'}"),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_line(argument: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        construct(Typed, {argument: value}, 'Typed', 'data.train.0')
    assert str(error.value).startswith(f'data.train.0.{argument}: ')
    assert said in str(error.value)
    assert error.value.key == f'data.train.0.{argument}'


def test_a_value_outside_a_literal_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"^data\.train\.0\.kind must be one of 'near', 'far', got 'mid'$"):
        construct(Typed, {'kind': 'mid'}, 'Typed', 'data.train.0')


def test_a_default_needs_no_type() -> None:
    class Own:
        def __init__(self, limit: int = None) -> None:  # type: ignore[assignment]  # noqa: RUF013  (as users write it)
            self.limit = limit

    assert construct(Own, {'limit': None}, 'Own', 'key').limit is None
    with pytest.raises(ConfigError, match=r'key\.limit: expected int'):
        construct(Own, {'limit': 'a'}, 'Own', 'key')


def test_what_says_no_type_takes_anything_and_albumentations_checks_its_own() -> None:
    assert construct(Untyped, {'name': 5}, 'Untyped', 'key').name == 5
    assert construct(Unresolved, {'name': 5}, 'Unresolved', 'key').name == 5
    assert construct(A.CoarseDropout, {'fill': 'random'}, 'CoarseDropout', 'key').fill == 'random'
    with pytest.raises(ConfigError, match='key: HorizontalFlip cannot be built: p: Input should be less than'):
        construct(A.HorizontalFlip, {'p': 2}, 'HorizontalFlip', 'key')


def test_arguments_stand_by_their_names() -> None:
    with pytest.raises(ConfigError, match=r"data.train.init_args must be a dict of arguments, got \['a'\]"):
        name_and_arguments({'class_path': 'a.B', 'init_args': ['a']}, 'data.train')
