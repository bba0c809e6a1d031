"""Reading the `.py` configs of mmsegmentation without running what they do not need."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from seglight.config.settings import without_tuples
from seglight.errors import ConfigError, one_line

#: What a config may call; all else would be running somebody's code.
CALLS = frozenset({'dict', 'list', 'tuple', 'range', 'len', 'int', 'float', 'str', 'sum', 'min', 'max'})

_REFUSED = (
    ast.Import,
    ast.ImportFrom,
    ast.Attribute,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.With,
    ast.Await,
    ast.Global,
    ast.Delete,
    ast.While,
)


def read_mmseg_config(path: Path) -> dict[str, Any]:
    """Return a config of mmseg with its bases merged by mmcv's `Config`; tuples become lists.

    mmcv runs a config as Python. A config needs no more than assignments, so one that has an
    import, a method or any other call is refused before anything of it runs.

    Args:
        path: the `.py` file; `_base_` in it is relative to its folder.

    Raises:
        ConfigError: names the file, the line and what is wrong.
    """
    check_harmless(path)
    from mmcv import Config  # late: it loads torch

    try:
        config = Config.fromfile(str(path), import_custom_modules=False)
    except (SyntaxError, KeyError, TypeError, ValueError, NameError, OSError) as error:
        raise ConfigError(f'{path} cannot be read as a config of mmseg: {one_line(error)}') from error
    plain: dict[str, Any] = without_tuples(config._cfg_dict.to_dict())
    return plain


def parse_mmseg_config(text: str, source: str) -> dict[str, Any]:
    """Return the config that a text writes out, as mmcv's `Config.pretty_text` does; nothing is run.

    Args:
        text: assignments of plain values and `dict(...)`, without a base.
        source: what errors call the text.

    Raises:
        ConfigError: for a text that has more than that.
    """
    values: dict[str, Any] = {}
    try:
        for node in ast.parse(text).body:
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                raise ValueError(f"'{ast.unparse(node).splitlines()[0]}' is no assignment of a value to a name")
            values[node.targets[0].id] = ast.literal_eval(_DictCalls().visit(node.value))
    except SyntaxError as error:
        raise ConfigError(f'{source}, line {error.lineno}: not valid Python: {error.msg}') from error
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f'{source} has more than plain values, which would run code: {one_line(error)}') from error
    plain: dict[str, Any] = without_tuples(values)
    return plain


class _DictCalls(ast.NodeTransformer):
    """Writes `dict(a=1)` and `dict({'a': 1})` as `{'a': 1}`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace a call of `dict`; any other is left, and refused by `literal_eval`."""
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != 'dict':
            return node
        if not node.keywords and len(node.args) == 1 and isinstance(node.args[0], ast.Dict):
            return node.args[0]
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            return node
        keys: list[ast.expr | None] = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])


def check_harmless(path: Path, inside: tuple[Path, ...] = ()) -> None:
    """Refuse a config that has more than assignments of plain values, and one whose base has.

    Args:
        path: the `.py` file.
        inside: the files that led here, to detect a cycle.

    Raises:
        ConfigError: names the file and the line.
    """
    if path.resolve() in inside:
        raise ConfigError(f'{path}: _base_ leads back to the same file')
    try:
        tree = ast.parse(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path} cannot be read as a config of mmseg: {one_line(error)}') from error
    except SyntaxError as error:
        raise ConfigError(f'{path}:{error.lineno}: not valid Python: {error.msg}') from error
    for node in ast.walk(tree):
        if found := _harm(node):
            raise ConfigError(
                f'{path}:{getattr(node, "lineno", "?")}: a config may not have {found}, which would run code; '
                'write its values out, as tools/print_config.py of mmseg does'
            )
    for base in _bases(tree, path):
        file = path.parent / base
        if not file.is_file():
            raise ConfigError(f'{path}: _base_ names {base}, which is no file in {path.parent}')
        check_harmless(file, (*inside, path.resolve()))


def _harm(node: ast.AST) -> str | None:
    """Return what in a node is more than a config needs."""
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else None
        return None if name in CALLS else f'a call of {ast.unparse(node.func)}'
    if isinstance(node, ast.Name) and node.id.startswith('__'):
        return f'the name {node.id}'
    if isinstance(node, ast.Attribute) and ast.unparse(node).startswith('_base_.'):
        return None  # {{_base_.model}}, which mmcv replaces with the value in the base
    if isinstance(node, _REFUSED):
        return f"'{ast.unparse(node).splitlines()[0]}'"
    return None


def _bases(tree: ast.Module, path: Path) -> list[str]:
    """Return the files that `_base_` names."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == '_base_' for to in node.targets):
            try:
                value = ast.literal_eval(node.value)
            except ValueError as error:
                raise ConfigError(f'{path}:{node.lineno}: _base_ is a path or a list of paths') from error
            return [value] if isinstance(value, str) else [str(base) for base in value]
    return []
