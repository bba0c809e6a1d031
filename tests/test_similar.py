"""Words that are alike."""

from seglight.similar import nearest


def test_nearest_names_what_is_alike_and_nothing_else() -> None:
    assert nearest('chanels', ['channels', 'type']) == "; did you mean 'channels'?"
    assert nearest('xyz', ['channels', 'type']) == ''
