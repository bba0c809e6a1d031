"""Load the weights in a file into a segmentor, and report what was loaded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.config.class_names import difference
from seglight.console import labelled
from seglight.counting import counted
from seglight.errors import CheckpointError
from seglight.models.without_losses import LOSS  # older checkpoints contain class weights, which the config sets
from seglight.weight_files import state_dict

Weights = dict[str, Tensor]

#: Prefixes that the names in a file may have and those of a segmentor do not; up to two of them, one after the other.
PREFIXES = ('', 'module.', 'model.', 'segmentor.', 'backbone.', 'encoder.', 'net.', '_orig_mod.')

#: Prefixes of a segmentor that the names in a file may lack.
PLACES = ('', 'backbone.')

#: Prefixes of the heads of a segmentor; `model` is the whole of one of another library.
HEADS = ('decode_head.', 'auxiliary_head.', 'model.')

#: Buffers that a module computes from its sizes.
DERIVED = 'relative_position_index'


@dataclass
class Loaded:
    """The result of loading a file.

    Attributes:
        path: the file.
        parameters: number of loaded values.
        loaded: names of the loaded weights.
        resized: those of them that were interpolated, with both shapes.
        missing: names in the segmentor that the file lacks; they keep their initial values.
        unexpected: names in the file that the segmentor lacks.
        mismatched: names with another shape in the file, with both shapes; they keep their initial values.
        classes: the classes that a head in the file was trained with, empty if unknown.
    """

    path: Path
    parameters: int = 0
    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def anew(self, classes: Sequence[str]) -> str:
        """Return which weights start from random values if the file has another number of classes, else nothing."""
        if not self.mismatched or not self.classes or len(self.classes) == len(classes):
            return ''
        return (
            f'{self.path} has {counted(len(self.classes), "class")}, the data {len(classes)}: '
            'the mismatched weights start from random values'
        )

    def doubt(self, classes: Sequence[str]) -> str:
        """Return a warning if loaded heads were trained with other classes, else an empty string."""
        heads = any(name.startswith(HEADS) for name in self.loaded)
        text = difference(self.classes, classes) if heads and len(self.classes) == len(classes) else ''
        return f'{self.path} {text}; its heads start with what they learned about its own classes' if text else ''

    def table(self, max_names: int = 6) -> str:
        """Return a line for each outcome with its count, and at most `max_names` names."""
        rows = {
            'loaded': [f'{self.parameters / 1e6:.2f} M values'],
            'resized': self.resized,
            'missing': self.missing,
            'unexpected': self.unexpected,
            'mismatched': self.mismatched,
        }
        lines = [labelled('Weights', self.path)]
        for name, shown in rows.items():
            more = [f'and {len(shown) - max_names} more'] if len(shown) > max_names else []
            text = f'\n{"":20}'.join([*shown[:max_names], *more])
            lines.append(f'  {name:<10} {len(getattr(self, name)):>5}  {text}'.rstrip())
        return '\n'.join(lines)


def load_weights(segmentor: nn.Module, checkpoint: Checkpoint) -> Loaded:
    """Load a checkpoint of seglight or mmseg, a safetensors file, or the weights of a backbone alone.

    The prefixes to strip are those that give the most matching names. Position embeddings and relative
    position tables of another size are interpolated as by mmseg's backbones. Other weights with another
    shape, such as a head for other classes, keep their initial values.

    Args:
        segmentor: an mmseg segmentor.
        checkpoint: the file; if it is trusted, everything in it is unpickled, which runs code.

    Raises:
        CheckpointError: if the file cannot be read, or nothing in it matches the segmentor.
    """
    path = checkpoint.path
    entries = checkpoint.contents(unpickle=checkpoint.trust)
    source = state_dict(entries, path)
    own = segmentor.state_dict()
    names = _match(source, own)
    result = Loaded(path, classes=_classes(entries))
    taken: Weights = {}
    for name, value in source.items():
        target = names[name]
        if target.endswith(DERIVED) or (LOSS in target and target not in own):
            continue
        if target not in own:
            result.unexpected.append(name)
            continue
        wanted = own[target]
        fitting = value if value.shape == wanted.shape else _resized(segmentor, target, value)
        shapes = f'{target} {list(value.shape)} in the file, {list(wanted.shape)} here'
        if fitting is None or fitting.shape != wanted.shape:
            result.mismatched.append(shapes)
            continue
        if fitting is not value:
            result.resized.append(shapes)
        taken[target] = fitting
    known = set(names.values())
    result.loaded = list(taken)
    result.missing = [name for name in own if name not in known and not name.endswith(DERIVED)]
    result.parameters = sum(value.numel() for value in taken.values())
    if not result.parameters:
        raise CheckpointError(f'{path} has no weights for this model: {_examples(source, own)}')
    segmentor.load_state_dict(taken, strict=False)
    return result


def _classes(entries: Any) -> list[str]:
    """Return the classes in a checkpoint of this project or of mmseg, empty if it does not name them."""
    for entry, name in (('hyper_parameters', 'classes'), ('meta', 'CLASSES')):
        held = entries.get(entry) if isinstance(entries, Mapping) else None
        classes = held.get(name) if isinstance(held, Mapping) else None
        if isinstance(classes, (list, tuple)):
            return [str(each) for each in classes]
    return []


def _match(source: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the segmentor's name for each name in the file, by the mapping that matches most names and shapes."""

    def fit(names: dict[str, str]) -> tuple[int, int]:
        found = [(source[name], own[target]) for name, target in names.items() if target in own]
        return len(found), sum(value.shape == wanted.shape for value, wanted in found)

    return max(_mappings(list(source)), key=fit)


def _mappings(names: list[str]) -> Iterator[dict[str, str]]:
    """Yield every way to strip and add prefixes."""
    for outer, inner, place in itertools.product(PREFIXES, PREFIXES, PLACES):
        if outer or not inner:
            yield {name: place + name.removeprefix(outer).removeprefix(inner) for name in names}


def _resized(segmentor: nn.Module, name: str, value: Tensor) -> Tensor | None:
    """Interpolate a position embedding to the size in the backbone, None for other weights."""
    backbone: Any = getattr(segmentor, 'backbone', None)
    inner = name.removeprefix('backbone.')
    if name.endswith('relative_position_bias_table'):
        if hasattr(backbone, 'resize_rel_pos_embed'):  # BEiT and MAE, which have additional tokens
            table: Tensor = backbone.resize_rel_pos_embed({inner: value})[inner]
            return table
        return _resized_table(value, len(segmentor.get_parameter(name))) if _side(len(value)) else None
    if inner == 'pos_embed' and hasattr(backbone, 'resize_abs_pos_embed'):  # MAE
        absolute: Tensor = backbone.resize_abs_pos_embed({inner: value})[inner]
        return absolute
    if inner == 'pos_embed' and hasattr(backbone, 'resize_pos_embed'):
        before = _side(value.shape[1] - 1) if value.ndim == 3 else 0
        if not before:  # of images that were not square; mmseg would take a part of it for the whole
            return None
        height, width = backbone.img_size
        after = (height // backbone.patch_size, width // backbone.patch_size)
        embedding: Tensor = backbone.resize_pos_embed(value, after, (before, before), backbone.interpolate_mode)
        return embedding
    return None


def _side(count: int) -> int:
    """Return the side of a square of so many tokens; 0 if there is none."""
    side = math.isqrt(max(count, 0))
    return side if side * side == count else 0


def _resized_table(table: Tensor, length: int) -> Tensor:
    """Interpolate a table `[(2w-1)^2, heads]` to another window size, like mmseg's `SwinTransformer.init_weights`."""
    before, after = _side(len(table)), _side(length)
    image = table.t().reshape(1, -1, before, before)
    return F.interpolate(image, size=(after, after), mode='bicubic').flatten(2)[0].t().contiguous()


def _examples(source: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    return f"its names are like '{next(iter(source))}', the model's like '{next(iter(own))}'"
