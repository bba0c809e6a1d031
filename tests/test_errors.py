"""An error of the user is one line that names the key once, and survives those who make it anew."""

import pickle

import pytest

from seglight.errors import ConfigError, DataError, UsageError, UserError, harmless, printable


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('must be at least 1, got 0', 'data.batch_size must be at least 1, got 0'),
        ('is an empty list', 'data.batch_size is an empty list'),
        ("unknown mix 'A'", "data.batch_size: unknown mix 'A'"),
        ('issues', 'data.batch_size: issues'),  # begins with a predicate, but is another word
    ],
)
def test_the_key_begins_the_message_and_the_text_goes_on(text: str, message: str) -> None:
    error = ConfigError('data.batch_size', text)
    assert (str(error), error.key, error.text) == (message, 'data.batch_size', text)


def test_without_a_key_the_text_is_the_message() -> None:
    error = UsageError('no command given')
    assert (str(error), error.key, error.text) == ('no command given', '', 'no command given')


@pytest.mark.parametrize('error', [ConfigError('data.seed', 'must be 0 or more'), UsageError('x: y'), DataError('z')])
def test_an_error_survives_being_made_anew_from_its_message(error: UserError) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # as from another process
    assert str(type(error)(f'FCNHead: {error}')) == f'FCNHead: {error}'  # as mmcv's builders do


def test_a_traceback_of_a_worker_is_left_out() -> None:
    text = 'Caught DataError in DataLoader worker process 0.\nTraceback (most recent call last):\n  File "x"\n'
    assert str(DataError(f'{text}seglight.errors.DataError: a.png cannot be read')) == 'a.png cannot be read'


def test_a_message_commands_no_terminal() -> None:
    assert str(ConfigError('data.train', 'unknown \x1b[2J\x9b5A')) == 'data.train: unknown ?[2J?5A'


def test_halves_of_characters_are_not_printed() -> None:
    assert harmless('a\ud800b\udfffc\udc80d') == 'a?b?c\udc80d'  # the last one stands for a byte of a file name


def test_words_of_a_stranger_pass_for_nothing_else() -> None:
    text = 'a\nb\u202ec\u200bd é한'  # a line break, the reversal of a text, a space without width
    assert printable(text) == 'a?b?c?d é한'
    assert printable(text, kept='\n') == 'a\nb?c?d é한'
