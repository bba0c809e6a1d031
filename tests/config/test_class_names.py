"""The order of classes by hand."""

import pytest

from seglight.config.class_names import check_names, difference, order_of
from seglight.errors import ConfigError


def test_the_order_is_where_each_wanted_class_is_among_the_trained_ones() -> None:
    assert order_of(['a', 'b', 'c'], ['c', 'a', 'b']) == [2, 0, 1]
    assert order_of(['a', 'b'], ['a', 'b']) is None
    assert order_of(['a', 'b'], ['a', 'x']) is None
    assert order_of(['a', 'b'], ['a', 'b', 'c']) is None


def test_the_difference_in_words() -> None:
    assert difference(['a', 'b'], ['a', 'b']) == ''
    other = difference(['a', 'b', 'c'], ['b', 'a', 'c'])
    assert other == "has the same classes in another order: 0 is 'a' there and 'b' here, 1 is 'b' there and 'a' here"
    names = difference(list('abcde'), list('vwxyz'))
    assert names.startswith("has other class names: 0 is 'a' there and 'v' here") and names.endswith(' and 2 more')


@pytest.mark.parametrize(
    ('name', 'fault'),
    [
        ('', r"must be a name, got ''"),
        (' ', r"must be a name, got ' '"),
        ('a\nb', r"must not contain control characters or line breaks, got 'a\\nb'"),
        ('\x1b[31m', 'must not contain control characters'),
        ('a\u2028b', 'must not contain control characters'),
    ],
)
def test_a_name_that_lists_cannot_show_is_rejected(name: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=rf'^data\.classes\.1 {fault}'):
        check_names(['road', name, 'car'])


def test_names_of_any_script_are_kept() -> None:
    check_names(['일반 쓰레기', 'paper/pack', '=1+1', 'a,b', 'a\tb', 'é'])
