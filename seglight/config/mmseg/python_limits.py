"""What reading Python source as a tree may cost, and its errors."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, NoReturn

from seglight.errors import UsageError, one_line

#: What source may cost: evaluated nodes and items, nested expressions, characters of a text, bits of a number.
MAX_STEPS = 200_000
MAX_DEPTH = 100
MAX_TEXT = 100_000
MAX_BITS = 128
MAX_SOURCE = 1_000_000

SCALARS = (bool, int, float, str, type(None))
CONTAINERS = (list, tuple, dict)


def parse(text: str, source: str) -> ast.Module:
    """Return the syntax tree of Python source.

    Raises:
        ConfigError: names the line of what is not valid Python, or what makes the source too large.
    """
    if len(text) > MAX_SOURCE:
        raise UsageError(f'{source} has {len(text)} characters, a config may have {MAX_SOURCE}')
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise UsageError(f'{source}:{error.lineno}: not valid Python: {error.msg}') from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f'{source} cannot be parsed: {one_line(error) or "nested too deeply"}') from error


def first_line(node: ast.AST) -> str:
    """Return the begin of the source of a node."""
    try:
        return ast.unparse(node).splitlines()[0][:100]
    except RecursionError:
        return type(node).__name__


class Limits:
    """Counts what an evaluation takes, and ends it where that is more than a config needs.

    Args:
        source: what errors call the source.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.steps = 0
        self.depth = 0

    def call(self, node: ast.AST, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of Python's; what it raises is told with its line."""
        try:
            return function(*arguments)
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            self.fail(node, one_line(error) if not isinstance(error, KeyError) else f'there is no key {error}')

    def sized(self, node: ast.AST, value: Any) -> Any:
        """Return a value, unless it is a number or a text of a size that no config needs."""
        if isinstance(value, str) and len(value) > MAX_TEXT:
            self.fail(node, f'a text has {len(value)} characters, {MAX_TEXT} are possible')
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            self.fail(node, 'the number is too large')
        if isinstance(value, complex):
            self.fail(node, 'a complex number')
        return value

    def charged(self, node: ast.AST, value: Any) -> Any:
        """Return a value after counting the items that are going to be copied or visited."""
        if isinstance(value, (*CONTAINERS, range, str)):
            self.call(node, len, value)  # a range may be longer than Python counts
            self.spend(node, len(value))
        return value

    def enter(self, node: ast.AST) -> None:
        """Count a step and a level; whoever enters a level leaves it."""
        self.spend(node)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(node, f'nested deeper than {MAX_DEPTH} levels')

    def spend(self, node: ast.AST, steps: int = 1) -> None:
        """Count steps."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            self.fail(node, f'evaluating it takes more than {MAX_STEPS} steps')

    def copied(self, node: ast.AST, value: Any, depth: int = 0) -> Any:
        """Return a copy of nested values, with lists for tuples, none of which has two places.

        Raises:
            ConfigError: for what is nested too deeply, in itself too, or has too many parts.
        """
        if depth > MAX_DEPTH:
            self.fail(node, f'a value is nested deeper than {MAX_DEPTH} levels, or holds itself')
        self.spend(node, 1 + len(value) // 100 if isinstance(value, str) else 1)
        if isinstance(value, dict):
            if not all(isinstance(key, SCALARS) for key in value):
                self.fail(node, 'a key must be a text or a number')
            return {key: self.copied(node, item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, range)):
            self.charged(node, value)
            return [self.copied(node, item, depth + 1) for item in value]
        return value

    def fail(self, node: ast.AST, message: str) -> NoReturn:
        """Raise an error that names the line of a node.

        Raises:
            ConfigError: always.
        """
        where = f'{self.source}:{node.lineno}' if hasattr(node, 'lineno') else f'{self.source}: {ast.unparse(node)}'
        raise UsageError(f'{where}: {message}')

    def refuse(self, node: ast.AST, what: str | None = None) -> NoReturn:
        """Raise the error of what is more than values."""
        what = what or f"'{first_line(node)}'"
        self.fail(
            node,
            f'a config may not have {what}, since it is read without running it; '
            'write the values out, as tools/print_config.py of mmseg does',
        )
