"""Strings in one array are those that were given."""

import pytest

from seglight.data.texts import Texts


def test_texts_are_kept_whatever_they_are() -> None:
    texts = ['a', '', 'ä€😀', '\udc80', '\ud800', 'x' * 9000] * 2000
    column = Texts.of(texts)
    assert list(column) == texts
    assert [column[index] for index in (0, 1, 2, 3, 4, -1)] == ['a', '', 'ä€😀', '\udc80', '\ud800', 'x' * 9000]
    assert column[1:3] == ['', 'ä€😀']
    assert column.is_sound()
    assert not Texts(column.data[1:], column.ends).is_sound()
    assert not Texts(column.data, column.ends[::-1]).is_sound()
    assert list(Texts.of([])) == []
    with pytest.raises(IndexError):
        column[len(texts)]
