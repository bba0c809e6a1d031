"""Limits for parsing and evaluating Python source, and their errors."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, NoReturn

from seglight.errors import UsageError, one_line

#: Limits: evaluated nodes and items, nested expressions, characters of a string, bits of a number.
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
        UsageError: if the source is not valid Python (names the line), or too large.
    """
    if len(text) > MAX_SOURCE:
        raise UsageError(f'{source} has {len(text)} characters; a config may have at most {MAX_SOURCE}')
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise UsageError(f'{source}:{error.lineno}: not valid Python: {error.msg}') from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f'{source} cannot be parsed: {one_line(error) or "nested too deeply"}') from error


def first_line(node: ast.AST) -> str:
    """Return the first line of the source of a node."""
    try:
        return ast.unparse(node).splitlines()[0][:100]
    except RecursionError:
        return type(node).__name__


class Limits:
    """Counts the steps of an evaluation, and stops it when it exceeds what a config needs.

    Args:
        source: the name of the source in errors.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.steps = 0
        self.depth = 0

    def call(self, node: ast.AST, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a Python function; an exception becomes an error with the line."""
        try:
            return function(*arguments)
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            self.fail(node, one_line(error) if not isinstance(error, KeyError) else f'unknown key {error}')

    def sized(self, node: ast.AST, value: Any) -> Any:
        """Return a value, unless it is a larger number or string than a config needs."""
        if isinstance(value, str) and len(value) > MAX_TEXT:
            self.fail(node, f'a string has {len(value)} characters; at most {MAX_TEXT} are allowed')
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            self.fail(node, 'the number is too large')
        if isinstance(value, complex):
            self.fail(node, 'complex numbers are not supported')
        return value

    def charged(self, node: ast.AST, value: Any) -> Any:
        """Count the items of a value that will be copied or visited, and return the value."""
        if isinstance(value, (*CONTAINERS, range, str)):
            self.call(node, len, value)  # the length of a range can overflow
            self.spend(node, len(value))
        return value

    def enter(self, node: ast.AST) -> None:
        """Count a step and a level; the caller leaves the level."""
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
        """Return a deep copy with lists for tuples, in which no container is shared.

        Raises:
            UsageError: if the value is nested too deeply, contains itself, or has too many parts.
        """
        if depth > MAX_DEPTH:
            self.fail(node, f'a value is nested deeper than {MAX_DEPTH} levels, or contains itself')
        self.spend(node, 1 + len(value) // 100 if isinstance(value, str) else 1)
        if isinstance(value, dict):
            if not all(isinstance(key, SCALARS) for key in value):
                self.fail(node, 'a key must be a string or a number')
            return {key: self.copied(node, item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, range)):
            self.charged(node, value)
            return [self.copied(node, item, depth + 1) for item in value]
        return value

    def fail(self, node: ast.AST, message: str) -> NoReturn:
        """Raise an error that names the line of a node.

        Raises:
            UsageError: always.
        """
        where = f'{self.source}:{node.lineno}' if hasattr(node, 'lineno') else f'{self.source}: {ast.unparse(node)}'
        raise UsageError(f'{where}: {message}')

    def refuse(self, node: ast.AST, construct: str | None = None) -> NoReturn:
        """Raise the error for an unsupported construct."""
        construct = construct or f"'{first_line(node)}'"
        self.fail(
            node,
            f'a config may not contain {construct}, since it is parsed without running it; '
            "write out the values, for example with mmseg's tools/print_config.py",
        )
