"""Reading YAML and JSON that anybody may have written: within limits, and with one sentence for whatever is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from seglight.errors import UsageError, UserError, one_line

#: What a YAML text may have: characters, levels, and values, where what an alias repeats counts again.
MAX_CHARACTERS = 4_000_000
MAX_DEPTH = 64
MAX_VALUES = 100_000

#: Digits of a number; Python's own limit is higher, and YAML's numbers to the base 60 take quadratic time.
MAX_DIGITS = 400

#: What the values of a config are; YAML's dates, sets and binaries are none, and `2020-12-13` is a text.
_TAGS = ('null', 'bool', 'int', 'float', 'str', 'seq', 'map', 'merge')
_PREFIX = 'tag:yaml.org,2002:'


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader within limits, for which `1e-3` is a number and a date is a text, as in YAML 1.2."""

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
        self.sizes: dict[yaml.Node, int] = {}  # values of each node that is complete

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, unless the text becomes too large with it.

        Raises:
            yaml.MarkedYAMLError: for an alias within its own anchor, and beyond a limit.
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
                raise yaml.MarkedYAMLError(problem='a value that holds itself', problem_mark=mark)
            self.values += self.sizes[node]
        if self.values > MAX_VALUES:
            raise yaml.MarkedYAMLError(problem=f'more than {MAX_VALUES} values, with its aliases', problem_mark=mark)
        if node is not None and not alias:
            self.sizes[node] = self.values - before
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node.

        Raises:
            yaml.MarkedYAMLError: for one that does not fit its tag, or is of a tag that a config does not have.
        """
        number = node.tag in (f'{_PREFIX}int', f'{_PREFIX}float')
        if number and len(str(node.value)) > MAX_DIGITS:
            raise yaml.MarkedYAMLError(
                problem=f'a number of more than {MAX_DIGITS} digits', problem_mark=node.start_mark
            )
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, ArithmeticError, AttributeError) as error:
            what = f'{str(node.value)!r:.60} is not of the type {node.tag.removeprefix(_PREFIX)}'
            raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark) from error


Loader.add_implicit_resolver(
    f'{_PREFIX}float', re.compile(r'^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$'), list('-+0123456789')
)


def load_yaml(text: str, source: str, error: type[UserError] = UsageError) -> Any:
    """Return the value of a YAML text.

    Args:
        text: the text.
        source: what the error calls it.
        error: what is raised.

    Raises:
        error: names the line of what is not valid, or beyond a limit.
    """
    with open_yaml(text, source, error) as loader:
        return loader.get_single_data()


@contextmanager
def open_yaml(text: str, source: str, error: type[UserError] = UsageError) -> Iterator[Loader]:
    """Give the loader of a YAML text, for those who need its nodes too.

    Raises:
        error: names the line of what is not valid, or beyond a limit.
    """
    if len(text) > MAX_CHARACTERS:
        raise error(f'{source} has {len(text)} characters, {MAX_CHARACTERS} are possible')
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
        error: if it is not valid, nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(data)
    except RecursionError as fault:
        raise error(f'{source} is not valid JSON: nested too deeply') from fault
    except ValueError as fault:  # also for bytes that are no text, and for numbers that Python refuses
        raise error(f'{source} is not valid JSON: {one_line(fault)}') from fault
