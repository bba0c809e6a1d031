"""What a terminal shows: styles only where they are wanted, and letters that take two columns."""

import io
import re
from collections.abc import Callable

import pytest

from seglight import terminal
from seglight.console import aligned

#: A text in two styles.
SPANS = [('seglight: ', 'bold red'), ('text [a] with /path/x.py 12', '')]


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A terminal with colours; sets another variable of its environment."""
    monkeypatch.delenv('NO_COLOR', raising=False)
    monkeypatch.setenv('TERM', 'xterm-256color')
    monkeypatch.setenv('COLUMNS', '40')
    return monkeypatch.setenv


def written(stream: io.StringIO) -> str:
    terminal.write(SPANS, stream)
    return stream.getvalue()


def test_a_pipe_gets_the_text_alone() -> None:
    assert written(io.StringIO()) == 'seglight: text [a] with /path/x.py 12\n'


def test_a_terminal_gets_the_styles_and_nothing_else() -> None:
    assert written(Terminal()) == '\x1b[1;31mseglight: \x1b[0mtext [a] with /path/x.py 12\n'


@pytest.mark.parametrize(('name', 'value'), [('NO_COLOR', '1'), ('TERM', 'dumb')])
def test_a_terminal_without_colours_gets_the_text_alone(
    environment: Callable[[str, str], None], name: str, value: str
) -> None:
    environment(name, value)
    assert written(Terminal()) == written(io.StringIO())


def test_an_empty_no_color_is_none(environment: Callable[[str, str], None]) -> None:
    environment('NO_COLOR', '')
    assert '\x1b[' in written(Terminal())


def test_a_long_line_is_not_broken_so_that_it_can_be_copied() -> None:
    stream = Terminal()
    terminal.write([('x' * 100, 'bold')], stream)
    assert re.sub(r'\x1b\[[\d;]*m', '', stream.getvalue()) == 'x' * 100 + '\n'


def test_korean_letters_take_two_columns() -> None:
    assert [terminal.cell_width(text) for text in ('road', '도로', '도로 sign', 'é')] == [4, 4, 9, 1]
    assert terminal.padded('도로', 6) == '도로  '
    assert terminal.padded('도로', 6, right=True) == '  도로'
    assert terminal.padded('long', 2) == 'long'
    assert aligned([['도로', '1'], ['road', '20'], ['a', '3']], right=[1]) == ['도로   1', 'road  20', 'a      3']


def test_the_width_is_that_of_the_terminal() -> None:
    assert terminal.columns() == 40
