"""Read configs, YAML or mmseg's `.py`: find them, resolve `_base_`, and record the line of each key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from seglight.config.mmseg.whole import SUFFIX, WholeConfig
from seglight.config.mmseg.zoo import expand, find_zoo
from seglight.config.settings import Key, Origin, Settings
from seglight.errors import UsageError, warn
from seglight.files import expand_home
from seglight.plain_text import open_yaml, read_text
from seglight.similar import nearest

#: The shipped configs: inside an installed package, next to it in a checkout.
_PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED = next((path for path in (_PACKAGE / 'configs', _PACKAGE.parent / 'configs') if path.is_dir()), _PACKAGE)

BASE = '_base_'

#: Maximum length of a chain of base configs.
MAX_BASES = 50


def find_config(name: str) -> Path:
    """Return the file for `name`: a path, or else a file in the shipped `configs/`, or a `.py` file of mmseg's zoo.

    Raises:
        UsageError: if none exists, with the nearest name, or if it is not a regular file.
    """
    for path in (Path(expand_home(name)), SHIPPED / name):
        if path.is_file():
            return path
        if name and path.exists():
            raise UsageError(f"Config '{name}' is not a regular file")
    if name.endswith(SUFFIX):
        return find_zoo(name)
    shipped = sorted(path.relative_to(SHIPPED).as_posix() for path in SHIPPED.glob('**/*.yaml'))
    raise UsageError(f"Config '{name}' was not found, either as a path or in {SHIPPED}{nearest(name, shipped)}")


def load_config(path: Path, inside: tuple[Path, ...] = (), known: dict[Path, Settings] | None = None) -> Settings:
    """Read a config and its bases: bases from left to right, then its own keys.

    Args:
        path: the file; its `_base_` is a path or a list of paths, relative to its folder or else to
            the shipped `configs/`, so that a copy of a shipped config works anywhere. A `.py` file is a whole config
            of mmseg.
        inside: the chain of files that led here, to detect a cycle.
        known: the files that were already read, so that each is read once.

    Raises:
        UsageError: for a file that is missing, is not a YAML mapping, repeats a key or inherits from itself.
    """
    here = path.resolve()
    known = {} if known is None else known
    if here in known:
        return known[here]
    if here in inside:
        chain = ' -> '.join(file.name for file in (*inside, here))
        raise UsageError(f'{path}: {BASE} leads back to the same file: {chain}')
    if len(inside) >= MAX_BASES:
        raise UsageError(f'{inside[0]}: the chain of {BASE} must have at most {MAX_BASES} files')
    if path.suffix == SUFFIX:
        known[here] = load_mmseg(path)
        return known[here]
    own = read_yaml(path)
    if 'config' in own.values:
        raise UsageError(f"{own.origins[('config',)]}: unknown key 'config'; name the base configs in {BASE}")
    bases = own.values.pop(BASE, [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UsageError(f'{own.origins[(BASE,)]}: {BASE} must be a path or a list of paths, got {bases!r}')
    resolved = Settings()
    for base in map(expand_home, bases):
        file = next((folder / base for folder in (path.parent, SHIPPED) if (folder / base).is_file()), None)
        if file is None:
            where = f'neither in {path.parent} nor in {SHIPPED}'
            raise UsageError(f'{own.origins[(BASE,)]}: {BASE} names {base}, which does not exist, {where}')
        resolved = resolved.merged_with(load_config(file, (*inside, here), known))
    known[here] = resolved.merged_with(expand(own, resolved))
    return known[here]


def load_mmseg(path: Path, options: Sequence[tuple[str, Any]] = ()) -> Settings:
    """Read a whole config of mmseg, and warn of its keys without effect.

    Args:
        path: the `.py` file.
        options: mmseg's keys that override it.

    Raises:
        UsageError: names the file and the key that seglight cannot follow.
    """
    config = WholeConfig(path, options)
    if config.warning:
        from pytorch_lightning.utilities import rank_zero_only  # late: it loads torch

        rank_zero_only(warn)(config.warning)
    return config.settings


def read_yaml(path: Path) -> Settings:
    """Read one YAML mapping with the line of every key.

    Raises:
        UsageError: if the file cannot be read, is not a YAML mapping, or repeats a key.
    """
    try:
        return parse_yaml(read_text(path), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'{path} cannot be read as a config: {error}') from error


def parse_yaml(text: str, source: str) -> Settings:
    """Parse the text of a YAML mapping; `source` is the file name in errors and origins."""
    with open_yaml(text, source) as loader:
        node = loader.get_single_node()
        if node is None:
            return Settings()
        if not isinstance(node, yaml.MappingNode):
            raise UsageError(f'{source}: a config must be a mapping of keys to values, not a single value or a list')
        origins = dict(_origins(node, (), source))
        return Settings(loader.construct_document(node), origins)


def _origins(node: yaml.Node, path: Key, source: str) -> Iterator[tuple[Key, Origin]]:
    """Yield the origin of every key below `node`; the key of a list item is its index."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for name, value in node.value:
            origin = Origin(source, name.start_mark.line + 1)
            if not isinstance(name, yaml.ScalarNode):
                raise UsageError(f'{origin}: a key must be a word or a number, not a list or a dict')
            if name.value in seen and name.value != '<<':
                raise UsageError(f"{origin}: duplicate key '{name.value}'; keep one")
            seen.add(name.value)
            yield (*path, name.value), origin
            yield from _origins(value, (*path, name.value), source)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, str(index)), Origin(source, value.start_mark.line + 1)
            yield from _origins(value, (*path, str(index)), source)
