"""Finding the private names of other libraries that the package uses, from its source."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections import defaultdict
from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import cast

import seglight

ROOT = Path(seglight.__file__).parent

#: Public although they begin with an underscore, or made by Python for any abstract class.
NOT_PRIVATE = {'_asdict', '_replace', '_abc_impl'}
PRIVATE = re.compile(r'_[A-Za-z0-9]\w*')

#: A dotted path with a private part, in an import or a text.
PATH = re.compile(r'([A-Za-z]\w*(?:\.\w+)*?\._[A-Za-z]\w*)(?:\.\w+)*')


def is_private(name: str) -> bool:
    """Return whether a name begins with one underscore."""
    return bool(PRIVATE.fullmatch(name)) and name not in NOT_PRIVATE


@cache
def trees() -> dict[Path, ast.Module]:
    """Return the syntax tree of every module."""
    return {path: ast.parse(path.read_text()) for path in sorted(ROOT.rglob('*.py')) if 'no_build' not in path.parts}


@cache
def own_names() -> frozenset[str]:
    """Return the private names that the package itself gives to something."""
    found = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
                found.add(node.attr)
    return frozenset(filter(is_private, found))


def is_self(node: ast.AST) -> bool:
    """Return whether an expression is `self` or `cls`."""
    return isinstance(node, ast.Name) and node.id in ('self', 'cls')


@cache
def used() -> dict[str, set[str]]:
    """Return each private name that is another's, and the modules that use it.

    A name is the last part alone where only running the code would tell whose it is.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in trees().items():
        for name in {*attributes(tree), *paths(tree)}:
            found[name].add(path.relative_to(ROOT).as_posix())
    for name, module in overridden():
        found[name].add(module)
    return dict(found)


def attributes(tree: ast.Module) -> Iterator[str]:
    """Yield the names of attributes that are nowhere defined in the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own_names():
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ('getattr', 'hasattr'):
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(str(name.value)) and name.value not in own_names():
                yield str(name.value)


def paths(tree: ast.Module) -> Iterator[str]:
    """Yield the private names in imports, and in texts that are nothing but a dotted path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not (node.module or '').startswith('seglight'):
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        else:
            continue
        yield from (match[1].rpartition('.')[2] for name in names if (match := PATH.fullmatch(name)))


def overridden() -> Iterator[tuple[str, str]]:
    """Yield each private name of a base class of another library that a class here defines or sets, and where."""
    for info in pkgutil.walk_packages(seglight.__path__, 'seglight.'):
        if 'no_build' in info.name:
            continue
        module = importlib.import_module(info.name)
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ != info.name:
                continue
            mine = members(cast(Hashable, kind))
            for base in kind.__mro__[1:]:
                if not base.__module__.startswith(('seglight', 'builtins', 'typing')):
                    for name in mine & members(base):
                        yield name, Path(inspect.getfile(kind)).relative_to(ROOT).as_posix()


@cache
def members(kind: type) -> frozenset[str]:
    """Return the private names that a class defines, and those that its methods set in an instance."""
    found = set(vars(kind))
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # made when the program runs
        tree = ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            found.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == '__setattr__':
            found.update(str(each.value) for each in node.args if isinstance(each, ast.Constant))
    return frozenset(filter(is_private, found))
