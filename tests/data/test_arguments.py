"""Range checks: values at, in and beyond their bounds."""

from __future__ import annotations

import math
from typing import Any

import pytest

from seglight.data.arguments import check_bounds, check_most, check_range, check_setting, is_list, is_number, is_whole
from seglight.errors import ConfigError


@pytest.mark.parametrize('value', [None, 0, 1, 0.5, True])
def test_settings_within_their_bounds_pass(value: Any) -> None:
    check_setting('data.x', value, 0, 1)


@pytest.mark.parametrize('value', [-1, 1.01, math.nan, math.inf, -math.inf])
def test_settings_beyond_their_bounds_name_the_key(value: float) -> None:
    with pytest.raises(ConfigError, match=f'must be 0 to 1, got {value}') as error:
        check_setting('data.x', value, 0, 1)
    assert error.value.key == 'data.x'
    if not 0 <= value < math.inf:
        with pytest.raises(ConfigError, match='must be at least 0, got'):
            check_setting('data.x', value, 0)


def test_settings_beyond_a_maximum_name_the_key() -> None:
    check_most('data.x', None, 8)
    check_most('data.x', 8, 8)
    with pytest.raises(ConfigError, match='must be at most 8, got 9') as error:
        check_most('data.x', 9, 8)
    assert error.value.key == 'data.x'


@pytest.mark.parametrize('value', [-0.1, math.inf, math.nan, True, '1', None, [1], 3])
def test_an_argument_beyond_its_bounds_is_named(value: Any) -> None:
    check_bounds(0, 2, p=0, q=2.0)
    with pytest.raises(ValueError, match='q must be a number from 0 to 2, got'):
        check_bounds(0, 2, p=1, q=value)
    if value != 3:
        with pytest.raises(ValueError, match='q must be a number of at least 0, got'):
            check_bounds(0, q=value)


@pytest.mark.parametrize('value', [[1], [1, 2, 3], [2, 1], [-1, 1], [0, 11], '12', 5, None, [0, math.nan], [True, 2]])
def test_a_range_that_is_not_two_ordered_numbers_is_named(value: Any) -> None:
    check_range(0, 10, scale=[0, 10], other=(3, 3))
    with pytest.raises(ValueError, match=r'scale must be \[min, max\], two numbers from 0 to 10, got'):
        check_range(0, 10, scale=value)


def test_booleans_are_no_numbers_and_strings_no_lists() -> None:
    assert [is_whole(value) for value in (1, -3, True, 1.0, '1', None)] == [True, True, False, False, False, False]
    assert [is_number(value) for value in (1, 1.5, True, math.nan, math.inf, '1')] == [True, True, *[False] * 4]
    values: list[Any] = [[], (1,), 'ab', 1, None, {}]
    assert [is_list(value) for value in values] == [True, True, *[False] * 4]
