"""The short help: complete, in step with the parsers, and readable in a narrow terminal."""

import re
from argparse import ArgumentParser
from collections.abc import Callable

import pytest
from conftest import Result

from seglight.cli import help as help_text
from seglight.cli.tools import COMMANDS, describe
from seglight.config.arguments import read_flag
from seglight.terminal import cell_width

Run = Callable[..., Result]


def parser_of(name: str) -> ArgumentParser:
    parser = ArgumentParser()
    describe(name, parser)
    return parser


def page(name: str) -> help_text.Page:
    return help_text.PAGES.get(name) or help_text.page_of(name, parser_of(name))


def printed(name: str, width: int) -> str:
    return ''.join(text for text, _ in help_text.spans_of(page(name), width, name))


def test_every_command_has_a_place_in_the_overview(run: Run) -> None:
    listed = [name for names in help_text.KINDS.values() for name in names]
    assert sorted(listed) == sorted([*help_text.TRAINER_COMMANDS, *COMMANDS])
    assert list(help_text.PAGES) == list(help_text.TRAINER_COMMANDS)
    done = run('--help')
    for name in listed:
        assert re.search(rf'^  {name} +\S', done.out, re.MULTILINE), name
    assert run('-h').out == run('--help-all').out == done.out


@pytest.mark.parametrize('command', help_text.PAGES)
def test_the_short_help_lists_only_options_of_the_parser(run: Run, command: str) -> None:
    done = run(command, '--help-all')
    assert (done.status, done.err) == (0, '')
    accepted = set(re.findall(r'(?:^  |, )(--?[\w.]+)', done.out, re.MULTILINE))
    names = [word for group in page(command).groups for option, _ in group.options for word in option.split(', ')]
    options = [read_flag(re.split('[ =]', name)[0]).name for name in names]
    assert len(options) > 8
    assert [option for option in options if option not in accepted and option != '--config'] == []
    assert len(options) == len(set(options)) + names.count('-c FILE')


@pytest.mark.parametrize('command', COMMANDS)
def test_rare_options_are_left_to_the_whole_help(run: Run, command: str) -> None:
    short, whole = run(command, '--help'), run(command, '--help-all')
    assert (short.status, short.err, whole.status, whole.err) == (0, '', 0, '')
    assert short.out.startswith(f'usage: seglight {command}')
    assert f'seglight {command} --help-all' in ' '.join(short.out.split())
    options = {option for action in parser_of(command)._actions for option in action.option_strings}
    for option in help_text.RARE.get(command, ()):
        assert option in options
        assert option in whole.out
        assert f'  {option}' not in short.out
    assert all(option in whole.out for option in options)


@pytest.mark.parametrize('action', ['check', 'show', 'pack', 'labels'])
def test_the_actions_of_data_have_a_help(run: Run, action: str) -> None:
    done = run('data', action, '--help')
    assert (done.status, done.err) == (0, '')
    assert done.out.startswith('usage: seglight data ')


@pytest.mark.parametrize('width', [40, 80])
@pytest.mark.parametrize('command', [*help_text.PAGES, *COMMANDS])
def test_a_help_fits_the_terminal(command: str, width: int) -> None:
    for line in printed(command, width).splitlines():
        if ' ' in line.strip() and not line.startswith(('  -', 'example')):  # a name and its value are not broken
            assert cell_width(line) <= width, line


def test_usage_has_what_is_required() -> None:
    assert page('vote').usage == 'vote INPUTS ... --output OUTPUT [options]'
    assert page('export').usage == 'export CHECKPOINT [TARGET] [options]'
    assert page('completion').usage == 'completion bash|zsh|tcsh'


def test_texts_are_next_to_the_options_or_below_them() -> None:
    wide, narrow = printed('report', 80), printed('report', 40)
    assert '  RUNS ...                  Folders of runs: paths, or relative to work_dirs.\n' in wide
    assert '  RUNS ...\n      Folders of runs: paths, or\n      relative to work_dirs.\n' in narrow
