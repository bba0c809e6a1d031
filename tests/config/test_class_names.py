"""The order of classes by hand."""

from seglight.config.class_names import difference, order_of


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
