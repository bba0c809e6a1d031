"""Read mmsegmentation's `.py` configs like mmcv's `Config`, without running them."""

from __future__ import annotations

import ast
import tokenize
from pathlib import Path
from typing import Any

from seglight.config.mmseg.packaged import packaged
from seglight.config.mmseg.python_limits import MAX_SOURCE, parse
from seglight.config.mmseg.python_values import Evaluator
from seglight.errors import UsageError, one_line

#: Maximum number of files in a config; mmseg's have at most five.
MAX_FILES = 100

#: Packages that a config may name in `custom_imports`: their classes are available anyway.
KNOWN_PACKAGES = ('mmcls', 'mmcv', 'mmseg')


def read_mmseg_config(path: Path) -> dict[str, Any]:
    """Return an mmseg config with its bases merged by the rules of mmcv's `Config`; tuples become lists.

    The file is parsed as a syntax tree, within limits; nothing in it is executed.

    Args:
        path: the `.py` file; its `_base_` is relative to its folder.

    Raises:
        UsageError: names the file, the line and the fault.
    """
    values = _Reader().read(path, ())
    _check_imports(values.get('custom_imports'), str(path))
    return values


def parse_mmseg_config(text: str, source: str) -> dict[str, Any]:
    """Return the config in a text such as mmcv's `Config.pretty_text`; nothing is executed.

    Args:
        text: assignments of plain values and `dict(...)`, without a base.
        source: the name of the text in errors.

    Raises:
        UsageError: if the text contains anything else.
    """
    return Evaluator(text, source, {}).run(parse(text, source).body, {})


class _Reader:
    """Reads a config and its bases, each file only once."""

    def __init__(self) -> None:
        self.known: dict[Path, dict[str, Any]] = {}

    def read(self, path: Path, inside: tuple[Path, ...]) -> dict[str, Any]:
        """Return the values of a file merged into those of its bases.

        Args:
            path: the file.
            inside: the chain of files that led here, to detect a cycle.

        Raises:
            UsageError: names the file and the fault.
        """
        here = path.resolve()
        if here in inside:
            raise UsageError(f'{path}: _base_ leads back to the same file')
        if here not in self.known:
            if len(self.known) + len(inside) >= MAX_FILES:
                raise UsageError(f'{path}: a config may have at most {MAX_FILES} files')
            self.known[here] = self._read(path, (*inside, here))
        return self.known[here]

    def _read(self, path: Path, inside: tuple[Path, ...]) -> dict[str, Any]:
        text = _source(path)
        tree = parse(text, str(path))
        base: dict[str, Any] = {}
        for name in _bases(tree, path):
            file = path.parent / name
            if not file.is_file():
                file = packaged(file) or file
            if not file.is_file() or file.suffix != '.py':
                message = (
                    f'_base_ names {name}, which is neither a .py file in {path.parent} nor one of mmseg in configs/'
                )
                raise UsageError(f'{path}: {message}')
            found = self.read(file, inside)
            if repeated := base.keys() & found.keys():
                raise UsageError(f"{path}: two files in _base_ have the same key '{min(repeated)}'")
            base |= found
        evaluator = Evaluator(text, str(path), _file_variables(path))
        statements = [node for node in tree.body if not _is_base_assignment(node)]
        return _merged(evaluator.run(statements, base), base, str(path))


def _source(path: Path) -> str:
    """Return the text of a config.

    Raises:
        UsageError: if it cannot be read, or declares an encoding other than UTF-8, with which Python would read it.
    """
    try:
        with path.open('rb') as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
            file.seek(0)
            data = file.read(4 * MAX_SOURCE + 1)
        text = data.decode('utf-8')
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UsageError(f'{path} cannot be read as an mmseg config: {one_line(error)}') from error
    if encoding != 'utf-8':
        raise UsageError(f'{path} cannot be read as an mmseg config: its encoding must be utf-8, got {encoding}')
    return text


def _file_variables(path: Path) -> dict[str, str]:
    """Return mmcv's replacements for `{{ fileDirname }}` and the other file variables."""
    path = path.absolute()
    return {
        'fileDirname': path.parent.as_posix(),
        'fileBasename': path.name,
        'fileBasenameNoExtension': path.stem,
        'fileExtname': path.suffix,
    }


def _is_base_assignment(node: ast.stmt) -> bool:
    """Return whether a statement is `_base_ = ...`."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id == '_base_'


def _bases(tree: ast.Module, path: Path) -> list[str]:
    """Return the files in `_base_`, which a config may assign only once, and only at its top level."""
    assignments = [node for node in tree.body if isinstance(node, ast.Assign) and _is_base_assignment(node)]
    for node in assignments[1:]:
        raise UsageError(f'{path}:{node.lineno}: _base_ must be assigned only once')
    for node in assignments:
        try:
            value = ast.literal_eval(node.value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            value = None
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise UsageError(f'{path}:{node.lineno}: _base_ must be a path or a list of paths')
        return list(names)
    return []


def _merged(over: dict[str, Any], base: dict[str, Any], source: str) -> dict[str, Any]:
    """Merge a config into its bases like mmcv: dicts merge recursively, unless `_delete_` makes them replace.

    Raises:
        UsageError: if a dict would be merged into something else.
    """
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and key in base:
            value = dict(value)
            if not value.pop('_delete_', False):
                if not isinstance(base[key], dict):
                    raise UsageError(
                        f"{source}: '{key}' is a dict, but {base[key]!r:.60} in _base_; "
                        'set _delete_=True in the dict to replace it'
                    )
                value = _merged(value, base[key], source)
        merged[key] = value
    return merged


def _check_imports(imports: Any, source: str) -> None:
    """Reject `custom_imports` of modules from other packages, since they are not imported.

    Raises:
        UsageError: names the module.
    """
    names = imports.get('imports') if isinstance(imports, dict) else imports
    for name in [names] if isinstance(names, str) else names or []:
        if str(name).split('.')[0] not in KNOWN_PACKAGES:
            raise UsageError(
                f"{source}: custom_imports names '{name}', which is not imported: remove custom_imports, and name "
                f"its classes by their paths, such as type='{name}.MyHead'"
            )
