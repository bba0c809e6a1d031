"""The parsed command line: the subcommand, the configs, and the flags that override them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from seglight.errors import UsageError
from seglight.files import expand_home

#: Aliases, including the names in mmseg's tools, of this project's and Lightning's options.
ALIASES = {
    '--ckpt': '--ckpt_path',
    '--resume_from': '--ckpt_path',
    '--seed': '--seed_everything',
    '--options': '--cfg_options',
    '-c': '--config',
}

#: Flags with which a command of the trainer only prints.
PRINTING = ('--print_config', '--print_completion', '--help_all')


class Flag(NamedTuple):
    """One word of the command line.

    Attributes:
        name: the option in its standard form, with underscores; '' for a word that is not a flag.
        value: the text after its equals sign, or the word itself; None for a flag without an equals sign,
            whose value may be the next word.
        typed: the flag as typed.
        mmseg: the key of mmseg's configs, if it was given as one.
        is_option: whether it is a word of `--cfg-options`.
    """

    name: str
    value: str | None
    typed: str
    mmseg: str = ''
    is_option: bool = False


@dataclass
class Arguments:
    """The parsed command line.

    Attributes:
        flags: all words except `--config` and its values, in order.
        configs: the values of `--config`, in order.
    """

    flags: list[Flag] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)

    @property
    def subcommand(self) -> str | None:
        """The first word, unless it is a flag."""
        first = self.flags[0] if self.flags else None
        return first.value if first and not first.name else None

    def value(self, name: str) -> str | None:
        """Return the value of the last `name` flag, None if there is none."""
        found = None
        for index, flag in enumerate(self.flags):
            if flag.name == name:
                found = flag.value if flag.value is not None else self._word_after(index)
        return found

    def values(self, name: str) -> list[str]:
        """Return the values of every `name` flag, in order."""
        found = ((index, flag.value) for index, flag in enumerate(self.flags) if flag.name == name)
        words = (self._word_after(index) if value is None else value for index, value in found)
        return [word for word in words if word is not None]

    def typed(self, index: int) -> str:
        """Return a flag as typed, with its value."""
        flag = self.flags[index]
        word = self._word_after(index) if flag.name and flag.value is None else None
        return flag.typed if word is None else f'{flag.typed} {word}'

    def has(self, *names: str) -> bool:
        """Return whether one of these flags was given."""
        return any(flag.name in names for flag in self.flags)

    def replace(self, name: str, value: str) -> None:
        """Replace the value of every `name` flag."""
        flags: list[Flag] = []
        skip_word = False
        for flag in self.flags:
            if flag.name == name:
                flags.append(Flag(name, value, flag.typed))
            elif not skip_word or flag.name:
                flags.append(flag)
            skip_word = flag.name == name and flag.value is None
        self.flags = flags

    def argv(self) -> list[str]:
        """Return the flags as a list of words."""
        return [join_flag(flag.name, flag.value) for flag in self.flags]

    def _word_after(self, index: int) -> str | None:
        """Return the word after a flag, None if another flag or nothing follows."""
        following = self.flags[index + 1 : index + 2]
        return following[0].value if following and not following[0].name else None


def join_flag(name: str, value: str | None) -> str:
    """Return `name=value`, or only the one that is given."""
    return f'{name}={value}' if name and value is not None else name or str(value)


def as_word(value: Any, sort_keys: bool = True) -> str:
    """Return a value as one line of YAML, for a flag."""
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf, sort_keys=sort_keys)
    return text.removesuffix('...\n').strip()


def read_arguments(argv: Sequence[str]) -> Arguments:
    """Parse a command line; option names may have hyphens or underscores.

    Raises:
        UsageError: if `--config` has no value.
    """
    arguments = Arguments()
    words = [expand_home(word) for word in argv]
    while words:
        flag = read_flag(words.pop(0))
        if flag.name != '--config':
            arguments.flags.append(flag)
            continue
        if flag.value is None and (not words or words[0].startswith('-')):
            raise UsageError('--config needs the name of a config file, such as --config demo.yaml')
        arguments.configs.append(words.pop(0) if flag.value is None else flag.value)
    return arguments


def read_flag(word: str) -> Flag:
    """Split `--name=value`, with the name in its standard form; a plain word has the name ''."""
    if not word.startswith('-') or word == '-' or word[1:2].isdigit():
        return Flag('', word, word)
    name, equals, value = word.partition('=')
    if name.startswith('--'):
        name = '--' + name[2:].replace('-', '_')
    return Flag(ALIASES.get(name, name), value if equals else None, word)
