"""The arguments that a class takes, and the types of their values."""

from typing import Any

import pytest

from seglight.errors import ConfigError
from seglight.models.signatures import check_types, init_arguments


class Base:
    """Takes two arguments."""

    def __init__(self, width: int, *, depth: int = 1) -> None: ...


class Passing(Base):
    """Passes unknown arguments on."""

    def __init__(self, name: str, **rest: Any) -> None: ...


class Closed(Base):
    """Takes only one argument."""

    def __init__(self, name: str) -> None: ...


def test_names_are_those_of_the_class_and_of_the_bases_it_passes_to() -> None:
    assert init_arguments(Closed) == (frozenset({'name'}), True)  # all that it takes
    names, _ = init_arguments(Passing)
    assert names >= {'name', 'width', 'depth'}
    assert 'self' not in names


def test_a_value_of_another_type_names_its_key() -> None:
    check_types(Base, {'width': 3, 'depth': 2}, 'model.part')
    with pytest.raises(ConfigError, match=r"model\.part\.width must be a whole number, got 'wide'"):
        check_types(Base, {'width': 'wide'}, 'model.part')
