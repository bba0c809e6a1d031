"""Show the contents of a checkpoint without building its model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from seglight.checkpoints.checkpoint import CONFIG_ENTRY, ENVIRONMENT_ENTRY, Checkpoint
from seglight.counting import counted
from seglight.errors import printable
from seglight.runtimes.opening import files, read_metadata


class Contents(NamedTuple):
    """The contents of a checkpoint as printable text."""

    checkpoint: Checkpoint

    @property
    def config(self) -> str:
        """The config of its run, as YAML for `--config`."""
        return printable(self.checkpoint.config or '# this checkpoint stores no config\n', kept='\n')

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values of all details, except the config.

        Raises:
            CheckpointError: if a text in it is not YAML.
        """
        return [(printable(name), printable(value)) for name, value in describe(self.checkpoint)]


def inspect(name: str | Path) -> Contents:
    """Read a checkpoint without building its model.

    Args:
        name: the path of a checkpoint, or relative to `work_dirs`; the folder of a run means its best checkpoint.

    Raises:
        CheckpointError: if it is missing or cannot be read.
    """
    return Contents(Checkpoint.find(str(name), mapped=True))


def describe(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Return names and values of all details of a checkpoint, except its config.

    Raises:
        CheckpointError: if a text in it is not YAML.
    """
    if checkpoint.is_exported:
        return list(_exported_rows(checkpoint.path))
    config, environment = checkpoint.mapping(CONFIG_ENTRY), checkpoint.mapping(ENVIRONMENT_ENTRY)
    path, entries, weights = checkpoint.path, checkpoint.entries, checkpoint.weights
    rows = [
        ('file', f'{path} ({_megabytes(path.stat().st_size)})'),
        (
            'trained',
            f'{counted(entries.get("epoch", -1) + 1, "epoch")}, {counted(entries.get("global_step", 0), "step")}',
        ),
    ]
    for part in ('backbone', 'neck', 'decode_head', 'auxiliary_head', 'model'):
        count = sum(_parameters(name, value) for name, value in weights.items() if name.split('.')[1:2] == [part])
        if count:
            rows.append((part, f'{_types(config, part) or "?"}, {count / 1e6:.2f} M parameters'))
    rows.append(('parameters', f'{sum(_parameters(*item) for item in weights.items()) / 1e6:.2f} M in all'))
    rows.append(('weights', _megabytes(sum(value.nbytes for value in weights.values()))))
    rows.append(('optimizer', _megabytes(_bytes(entries.get('optimizer_states')))))
    classes = _inner(config, 'data', 'classes')
    names = [str(name) for name in classes] if isinstance(classes, list) else []
    rows.append(('classes', f'{len(names)}: {", ".join(names)}'))
    metrics = checkpoint.metrics
    shares = {name for name in metrics if name.startswith('val/') and name != 'val/loss'}
    rows += [(name, f'{100 * value:.2f} %') for name, value in metrics.items() if name in shares]
    rows += [(name, f'{value:.4g}') for name, value in metrics.items() if name not in shares]
    packages = environment.pop('packages', None)
    environment.update(packages if isinstance(packages, dict) else {})
    rows += [(str(name), str(value)) for name, value in environment.items() if value]
    return rows


def _exported_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield names and values of all details of an exported file, except its config."""
    found = read_metadata(path)
    size = found.size or found.largest
    yield 'file', f'{path} ({_megabytes(sum(each.stat().st_size for each in files(path)))})'
    yield 'exported from', found.run
    yield 'output', f'{found.output}, {found.precision}'
    yield 'images', f'{"only" if found.size else "up to"} {size[1]}x{size[0]}' if size else 'of any size'
    yield 'classes', f'{len(found.classes)}: {", ".join(found.classes)}'
    for kind, each in found.proof.comparisons().items() if found.proof else ():
        yield 'proof', each.text(kind)
    yield from found.versions.items()


def _types(config: dict[str, Any], part: str) -> str:
    """Return what a part of the segmentor is: its types, or the model that an adapter has of another library."""
    segmentor = _inner(config, 'model', 'segmentor')
    if part == 'model':
        inner = _inner(segmentor, 'arch') or _inner(segmentor, 'config', 'model_type')
        return f'{_inner(segmentor, "type")} {inner or _inner(segmentor, "name")}'
    heads = _inner(segmentor, part)
    return ', '.join(str(_inner(each, 'type')) for each in (heads if isinstance(heads, list) else [heads]) if each)


def _inner(value: Any, *keys: str) -> Any:
    """Return a nested value by its keys, None if it is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _parameters(name: str, value: Tensor) -> int:
    """Return the number of parameters in an entry of a state_dict; BatchNorm's statistics and indices have none."""
    statistics = name.endswith(('running_mean', 'running_var'))
    return value.numel() if value.is_floating_point() and not statistics else 0


def _bytes(state: Any) -> int:
    """Return the size of all tensors in a nested state."""
    if isinstance(state, Tensor):
        return state.nbytes
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return sum(_bytes(value) for value in inner)


def _megabytes(size: int) -> str:
    return f'{size / 1e6:.1f} MB'
