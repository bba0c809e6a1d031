"""Read untrusted YAML and JSON: within limits, with one sentence per error."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from seglight.errors import UsageError, UserError, one_line

#: Limits of a YAML text: characters, levels, and values, counting what an alias repeats.
MAX_CHARACTERS = 4_000_000
MAX_DEPTH = 64
MAX_VALUES = 100_000

#: Digits of a number; Python's own limit is higher, and YAML's base-60 numbers take quadratic time.
MAX_DIGITS = 400

#: Types of the values in a config; without YAML's dates, sets and binaries, so `2020-12-13` is a string.
_TAGS = ('null', 'bool', 'int', 'float', 'str', 'seq', 'map', 'merge')
_PREFIX = 'tag:yaml.org,2002:'


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader within limits; `1e-3` is a number and a date is a string, as in YAML 1.2."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.removeprefix(_PREFIX) in _TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.removeprefix(_PREFIX) in _TAGS
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.values = 0
        self.sizes: dict[yaml.Node, int] = {}  # number of values in each completed node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, within the limits.

        Raises:
            yaml.MarkedYAMLError: for an alias within its own anchor, or if a limit is exceeded.
        """
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        alias = self.check_event(yaml.AliasEvent)
        before = self.values
        self.depth += 1
        self.values += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f'nested deeper than {MAX_DEPTH} levels', problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is not None and alias:
            if node not in self.sizes:
                raise yaml.MarkedYAMLError(problem='a value that contains itself', problem_mark=mark)
            self.values += self.sizes[node]
        if self.values > MAX_VALUES:
            raise yaml.MarkedYAMLError(problem=f'more than {MAX_VALUES} values, including aliases', problem_mark=mark)
        if node is not None and not alias:
            self.sizes[node] = self.values - before
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node.

        Raises:
            yaml.MarkedYAMLError: if it does not match its tag, or the tag is not allowed in a config.
        """
        number = node.tag in (f'{_PREFIX}int', f'{_PREFIX}float')
        if number and len(str(node.value)) > MAX_DIGITS:
            raise yaml.MarkedYAMLError(
                problem=f'a number of more than {MAX_DIGITS} digits', problem_mark=node.start_mark
            )
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, ArithmeticError, AttributeError) as error:
            problem = f'{str(node.value)!r:.60} is not of the type {node.tag.removeprefix(_PREFIX)}'
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error


Loader.add_implicit_resolver(
    f'{_PREFIX}float', re.compile(r'^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$'), list('-+0123456789')
)


def load_yaml(text: str, source: str, error: type[UserError] = UsageError) -> Any:
    """Return the value of a YAML text.

    Args:
        text: the text.
        source: its name in errors.
        error: the type of exception to raise.

    Raises:
        error: if the text is not valid YAML or exceeds a limit; the message names the line.
    """
    with open_yaml(text, source, error) as loader:
        return loader.get_single_data()


def read_text(path: Path, errors: str = 'strict') -> str:
    """Return the text of a file in UTF-8, of a longer one only so much that `open_yaml` refuses it.

    Args:
        path: the file.
        errors: how bytes that are not UTF-8 are treated, as in `open`.

    Raises:
        OSError: if it cannot be read.
        UnicodeDecodeError: if it is not UTF-8.
    """
    with path.open(encoding='utf-8', errors=errors) as file:
        return file.read(MAX_CHARACTERS + 1)


def read_rows(path: Path) -> tuple[Sequence[str], list[dict[str, str]]]:
    """Return the names of the columns and the complete rows of a CSV file: a run can be killed while it writes one."""
    text = path.read_bytes().decode()
    reader = csv.DictReader(io.StringIO(text[: text.rfind('\n') + 1], newline=''))
    rows = list(reader)
    return reader.fieldnames or (), rows


def load_yaml_file(path: Path) -> Any:
    """Return the value of a YAML file that seglight wrote.

    Raises:
        UserError: if it cannot be read, is not valid YAML, or exceeds a limit.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path} cannot be read: {one_line(error)}; restore or remove it') from error
    return load_yaml(text, str(path), UserError)


@contextmanager
def open_yaml(text: str, source: str, error: type[UserError] = UsageError) -> Iterator[Loader]:
    """Yield the loader of a YAML text, for callers that also need its nodes.

    Raises:
        error: if the text is not valid YAML or exceeds a limit; the message names the line.
    """
    if len(text) > MAX_CHARACTERS:
        raise error(f'{source} has more than {MAX_CHARACTERS} characters')
    try:
        loader = Loader(text)
        try:
            yield loader
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else '?'
        raise error(f'{source}:{line}: not valid YAML: {one_line(str(fault.problem))}') from fault
    except (yaml.YAMLError, RecursionError) as fault:
        raise error(f'{source}: not valid YAML: {one_line(fault)}') from fault


def load_json(data: bytes | str, source: str, error: type[UserError] = UsageError) -> Any:
    """Return the value of a JSON text.

    Raises:
        error: if it is not valid, is nested too deeply, or contains a number with thousands of digits.
    """
    try:
        return json.loads(data)
    except RecursionError as fault:
        raise error(f'{source} is not valid JSON: nested too deeply') from fault
    except ValueError as fault:  # also for bytes that are not text, and for numbers that Python rejects
        raise error(f'{source} is not valid JSON: {one_line(fault)}') from fault
