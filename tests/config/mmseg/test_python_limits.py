"""Limits on what a Python config may cost, at and just above each."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from seglight.config.mmseg import python_limits
from seglight.config.mmseg.python_limits import MAX_BITS, MAX_DEPTH, MAX_SOURCE, MAX_STEPS, MAX_TEXT, Limits, parse
from seglight.errors import UsageError

NODE = ast.parse('a = 1\nb = 2').body[1]


@pytest.fixture
def limits() -> Limits:
    return Limits('own.py')


def test_source_is_parsed_up_to_its_maximum() -> None:
    tree = parse('x = [1]', 'own.py')
    assert ast.dump(tree) == ast.dump(ast.parse('x = [1]'))
    assert parse('#' * MAX_SOURCE, 'own.py').body == []
    with pytest.raises(UsageError, match=f'own.py has {MAX_SOURCE + 1} characters'):
        parse('#' * (MAX_SOURCE + 1), 'own.py')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = 1\nb = (', 'own.py:2: not valid Python'),
        ('a = "\0"', 'own.py'),
        ('a = ' + '-' * 100_000 + '1', 'own.py'),
        ('a = ' + '(' * 500 + ')' * 500, 'own.py'),
    ],
)
def test_what_is_not_python_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text, 'own.py')
    assert str(error.value).startswith(message)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('value', ['x' * MAX_TEXT, 2**MAX_BITS - 1, -(2**MAX_BITS - 1), 1e300, None, [1]])
def test_values_up_to_their_maximum_pass(value: Any, limits: Limits) -> None:
    assert limits.sized(NODE, value) is value


@pytest.mark.parametrize('value', ['x' * (MAX_TEXT + 1), 2**MAX_BITS, -(2**MAX_BITS), 1j])
def test_larger_values_are_rejected_with_their_line(value: Any, limits: Limits) -> None:
    with pytest.raises(UsageError, match=r'own\.py:2: '):
        limits.sized(NODE, value)


def test_steps_and_levels_are_bounded(limits: Limits) -> None:
    limits.spend(NODE, MAX_STEPS)
    with pytest.raises(UsageError, match=f'more than {MAX_STEPS} steps'):
        limits.spend(NODE)
    fresh = Limits('own.py')
    for _ in range(MAX_DEPTH):
        fresh.enter(NODE)
    with pytest.raises(UsageError, match=f'nested deeper than {MAX_DEPTH} levels'):
        fresh.enter(NODE)


def test_items_of_a_value_are_charged(limits: Limits) -> None:
    limits.charged(NODE, [1, 2, 3])
    limits.charged(NODE, range(10))
    limits.charged(NODE, 'four')
    limits.charged(NODE, 5)
    assert limits.steps == 3 + 10 + 4
    with pytest.raises(UsageError, match=r'own\.py:2'):
        limits.charged(NODE, range(10**30))


def test_a_copy_shares_nothing_and_has_lists_for_tuples(limits: Limits) -> None:
    shared = [1]
    value = {'a': (1, shared), 2: shared, 'r': range(2)}
    copied = limits.copied(NODE, value)
    assert copied == {'a': [1, [1]], 2: [1], 'r': [0, 1]}
    assert copied['a'][1] is not copied[2]


def test_a_value_that_contains_itself_or_grows_is_rejected(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    own: list[Any] = []
    own.append(own)
    with pytest.raises(UsageError, match='contains itself'):
        limits.copied(NODE, own)
    with pytest.raises(UsageError, match='a key must be a string or a number'):
        limits.copied(NODE, {(1, 2): 3})
    value: list[Any] = [1]
    for _ in range(40):
        value = [value, value]  # 2 to the power of 40 items
    monkeypatch.setattr(python_limits, 'MAX_STEPS', 1000)
    with pytest.raises(UsageError, match='more than 1000 steps'):
        Limits('own.py').copied(NODE, value)


@pytest.mark.parametrize(
    ('function', 'arguments', 'message'),
    [
        (divmod, (1, 0), 'zero'),
        (dict.__getitem__, ({}, 'a'), "unknown key 'a'"),
        (int, ('x',), 'invalid literal'),
        (len, (1,), 'has no len'),
    ],
)
def test_an_error_of_a_function_names_the_line(
    function: Any, arguments: tuple[Any, ...], message: str, limits: Limits
) -> None:
    with pytest.raises(UsageError, match=f'own.py:2: .*{message}'):
        limits.call(NODE, function, *arguments)
