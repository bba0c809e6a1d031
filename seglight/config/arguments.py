"""What was typed: the subcommand, the configs, the checkpoint, and the flags that override them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from seglight.errors import ConfigError

#: Short names of options, as people know them, and Lightning's.
ALIASES = {'--ckpt': '--ckpt_path', '-c': '--config'}


@dataclass
class Arguments:
    """The command line, taken apart.

    Attributes:
        flags: all flags but `--config`, in order, as `(name, value)`; the value is None where the
            flag stands alone or its value is the next word. A word that is no flag has the name ''.
        configs: the values of `--config`, in order.
    """

    flags: list[tuple[str, str | None]] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)

    @property
    def subcommand(self) -> str | None:
        """The first word, unless it is a flag."""
        first = self.flags[0] if self.flags else None
        return first[1] if first and not first[0] else None

    def value(self, name: str) -> str | None:
        """Return the value of the last `name` flag, None where it was not given."""
        found = None
        for index, (flag, value) in enumerate(self.flags):
            if flag == name:
                following = self.flags[index + 1] if index + 1 < len(self.flags) else ('-', None)
                found = value if value is not None or following[0] else following[1]
        return found

    def has(self, *names: str) -> bool:
        """Tell whether one of these flags was given."""
        return any(flag in names for flag, _ in self.flags)

    def replace(self, name: str, value: str) -> None:
        """Give a flag another value, wherever it stands."""
        flags: list[tuple[str, str | None]] = []
        skip = False
        for flag, old in self.flags:
            if flag == name:
                flags.append((name, value))
            elif not skip:
                flags.append((flag, old))
            skip = flag == name and old is None
        self.flags = flags

    def argv(self) -> list[str]:
        """Return the flags as a list of words again."""
        return [join_flag(name, value) for name, value in self.flags]


def join_flag(name: str, value: str | None) -> str:
    """Return `name=value`, or the one that is there."""
    return f'{name}={value}' if name and value is not None else name or str(value)


def read_arguments(argv: Sequence[str]) -> Arguments:
    """Take a command line apart; option names may have hyphens or underscores.

    Raises:
        ConfigError: if `--config` has no value.
    """
    arguments = Arguments()
    words = list(argv)
    while words:
        word = words.pop(0)
        name, value = split_flag(word)
        if name != '--config':
            arguments.flags.append((name, value))
            continue
        if value is None:
            if not words or words[0].startswith('-'):
                raise ConfigError('--config needs the name of a config file, such as --config demo.yaml')
            value = words.pop(0)
        arguments.configs.append(value)
    return arguments


def split_flag(word: str) -> tuple[str, str | None]:
    """Split `--name=value` and bring the name into its standard form; a plain word has the name ''."""
    if not word.startswith('-') or word == '-' or word[1:2].isdigit():
        return '', word
    name, equals, value = word.partition('=')
    if name.startswith('--'):
        name = '--' + name[2:].replace('-', '_')
    return ALIASES.get(name, name), value if equals else None
