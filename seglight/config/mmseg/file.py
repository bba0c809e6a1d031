"""Reading the `.py` configs of mmsegmentation as mmcv's `Config` does, without running them."""

from __future__ import annotations

import ast
import tokenize
from pathlib import Path
from typing import Any

from seglight.config.mmseg.python_limits import MAX_SOURCE, parse
from seglight.config.mmseg.python_values import Evaluator
from seglight.errors import UsageError, one_line

#: How many files a config may be made of; mmseg's have five at most.
MAX_FILES = 100

#: Packages whose modules a config may name in `custom_imports`: their classes are known here without it.
KNOWN_PACKAGES = ('mmcls', 'mmcv', 'mmseg')


def read_mmseg_config(path: Path) -> dict[str, Any]:
    """Return a config of mmseg with its bases merged by the rules of mmcv's `Config`; tuples become lists.

    The file is read as a syntax tree within limits, and nothing in it is executed.

    Args:
        path: the `.py` file; `_base_` in it is relative to its folder.

    Raises:
        ConfigError: names the file, the line and what is wrong.
    """
    values = _Reader().read(path, ())
    _check_imports(values.get('custom_imports'), str(path))
    return values


def parse_mmseg_config(text: str, source: str) -> dict[str, Any]:
    """Return the config that a text writes out, as mmcv's `Config.pretty_text` does; nothing is run.

    Args:
        text: assignments of plain values and `dict(...)`, without a base.
        source: what errors call the text.

    Raises:
        ConfigError: for a text that has more than that.
    """
    return Evaluator(text, source, {}).run(parse(text, source).body, {})


class _Reader:
    """Reads a config and its bases, each file once."""

    def __init__(self) -> None:
        self.known: dict[Path, dict[str, Any]] = {}

    def read(self, path: Path, inside: tuple[Path, ...]) -> dict[str, Any]:
        """Return the values of a file laid over those of its bases.

        Args:
            path: the file.
            inside: the files that led here, to detect a cycle.

        Raises:
            ConfigError: names the file and what is wrong.
        """
        here = path.resolve()
        if here in inside:
            raise UsageError(f'{path}: _base_ leads back to the same file')
        if here not in self.known:
            if len(self.known) + len(inside) >= MAX_FILES:
                raise UsageError(f'{path}: a config may have {MAX_FILES} files')
            self.known[here] = self._read(path, (*inside, here))
        return self.known[here]

    def _read(self, path: Path, inside: tuple[Path, ...]) -> dict[str, Any]:
        text = _source(path)
        tree = parse(text, str(path))
        base: dict[str, Any] = {}
        for name in _bases(tree, path):
            file = path.parent / name
            if not file.is_file() or file.suffix != '.py':
                raise UsageError(f'{path}: _base_ names {name}, which is not a .py file in {path.parent}')
            found = self.read(file, inside)
            if repeated := base.keys() & found.keys():
                raise UsageError(f"{path}: two files that _base_ names have the key '{min(repeated)}'")
            base |= found
        evaluator = Evaluator(text, str(path), _file_variables(path))
        statements = [node for node in tree.body if not _is_base_assignment(node)]
        return _merged(evaluator.run(statements, base), base, str(path))


def _source(path: Path) -> str:
    """Return the text of a config.

    Raises:
        ConfigError: if it cannot be read, or Python would read another text than the one that is looked at.
    """
    try:
        with path.open('rb') as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
            file.seek(0)
            data = file.read(4 * MAX_SOURCE + 1)
        text = data.decode('utf-8')
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UsageError(f'{path} cannot be read as a config of mmseg: {one_line(error)}') from error
    if encoding != 'utf-8':
        raise UsageError(f'{path} cannot be read as a config of mmseg: its encoding is {encoding}, not utf-8')
    return text


def _file_variables(path: Path) -> dict[str, str]:
    """Return what mmcv puts into texts for `{{ fileDirname }}` and its siblings."""
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
    """Return the files that `_base_` names, which a config assigns once at most, and at its top."""
    assignments = [node for node in tree.body if isinstance(node, ast.Assign) and _is_base_assignment(node)]
    for node in assignments[1:]:
        raise UsageError(f'{path}:{node.lineno}: a config may not have the name _base_ here, but once')
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
    """Lay a config on its bases, as mmcv does: dicts merge deeply, unless `_delete_` says that they replace.

    Raises:
        ConfigError: where a dict is laid on something else.
    """
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and key in base:
            value = dict(value)
            if not value.pop('_delete_', False):
                if not isinstance(base[key], dict):
                    raise UsageError(
                        f"{source}: '{key}' is a dict here, but {base[key]!r:.60} in what _base_ names; "
                        '_delete_=True in the dict replaces it'
                    )
                value = _merged(value, base[key], source)
        merged[key] = value
    return merged


def _check_imports(imports: Any, source: str) -> None:
    """Refuse `custom_imports` of modules whose classes are not known without importing them.

    Raises:
        ConfigError: names the module.
    """
    names = imports.get('imports') if isinstance(imports, dict) else imports
    for name in [names] if isinstance(names, str) else names or []:
        if str(name).split('.')[0] not in KNOWN_PACKAGES:
            raise UsageError(
                f"{source}: custom_imports names '{name}', which is not imported; "
                f'the classes of {", ".join(KNOWN_PACKAGES)} are known, take custom_imports out if these suffice'
            )
