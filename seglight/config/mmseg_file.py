"""Reading the `.py` configs of mmsegmentation without running what they do not need."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seglight.config.settings import without_tuples
from seglight.errors import ConfigError, one_line

#: What a config may call; all else would be running somebody's code.
CALLS = frozenset({'dict', 'list', 'tuple', 'range', 'len', 'int', 'float', 'str', 'sum', 'min', 'max'})

#: What a config may be written with; the rest of Python is refused, also what a later version of it adds.
_ALLOWED = (
    ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.If, ast.For,
    ast.Constant, ast.Name, ast.expr_context, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Starred,
    ast.Call, ast.keyword, ast.Subscript, ast.Slice, ast.IfExp, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop,
    ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension,
)  # fmt: skip

#: Where mmcv puts the name or folder of a config into its text, whatever that name holds.
_FILE_VARIABLE = re.compile(r'\{\{\s*file\w*\s*\}\}')


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
        text = path.read_text(encoding='utf-8')
        with path.open('rb') as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
        tree = ast.parse(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path} cannot be read as a config of mmseg: {one_line(error)}') from error
    except SyntaxError as error:
        raise ConfigError(f'{path}:{error.lineno}: not valid Python: {error.msg}') from error
    if encoding != 'utf-8':  # Python would read another text than the one that is looked at
        raise ConfigError(f'{path} cannot be read as a config of mmseg: its encoding is {encoding}, not utf-8')
    if found := _FILE_VARIABLE.search(text):
        raise ConfigError(f'{path}: a config may not have {found[0]}, which mmcv would replace with part of a path')
    for node, harm in _harms(tree):
        raise ConfigError(
            f'{path}:{getattr(node, "lineno", "?")}: a config may not have {harm}, which would run code; '
            'write its values out, as tools/print_config.py of mmseg does'
        )
    for base in _bases(tree, path):
        base_path = path.parent / base
        if not base_path.is_file() or base_path.suffix != '.py':
            raise ConfigError(f'{path}: _base_ names {base}, which is no .py file in {path.parent}')
        check_harmless(base_path, (*inside, path.resolve()))


def _harms(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield each node that is more than a config needs, with what it is."""
    known = {id(target) for node in _base_assignments(tree)[:1] for target in node.targets}
    for node in ast.walk(tree):
        if _is_base_variable(node):
            known |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) not in known and (harm := _harm(node)):
            yield node, harm


def _harm(node: ast.AST) -> str | None:
    """Return what in a node is more than a config needs."""
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else None
        return None if name in CALLS else f'a call of {ast.unparse(node.func)}'
    if isinstance(node, ast.Name):
        if node.id in CALLS and not isinstance(node.ctx, ast.Load):
            return f'another meaning of {node.id}'
        # `_base_` is assigned once and used nowhere else, so that its value is what the text says
        return f'the name {node.id} here' if node.id.startswith('__') or node.id == '_base_' else None
    if isinstance(node, ast.Constant) and '{{' in str(node.value):
        return "'{{' in a text"  # mmcv would put quotes there, which may end the text
    return None if isinstance(node, _ALLOWED) else f"'{ast.unparse(node).splitlines()[0]}'"


def _is_base_variable(node: ast.AST) -> bool:
    """Tell whether a node is `{{_base_.model}}`, a set in a set, which mmcv replaces with the base's value."""
    if not (isinstance(node, ast.Set) and len(node.elts) == 1 and isinstance(node.elts[0], ast.Set)):
        return False
    return re.fullmatch(r'\{\{_base_(\.[^\W_]\w*)+\}\}', ast.unparse(node)) is not None


def _base_assignments(tree: ast.Module) -> list[ast.Assign]:
    """Return the statements `_base_ = ...`, of which a config has one at most, and at its top."""
    assignments = [node for node in tree.body if isinstance(node, ast.Assign)]
    return [node for node in assignments if [ast.unparse(target) for target in node.targets] == ['_base_']]


def _bases(tree: ast.Module, path: Path) -> list[str]:
    """Return the files that `_base_` names."""
    for node in _base_assignments(tree):
        try:
            value = ast.literal_eval(node.value)
        except ValueError as error:
            raise ConfigError(f'{path}:{node.lineno}: _base_ is a path or a list of paths') from error
        return [value] if isinstance(value, str) else [str(base) for base in value]
    return []
