"""Taking the weights of a file into a segmentor, and saying what was taken."""

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
from seglight.errors import CheckpointError
from seglight.models.without_losses import LOSS  # older checkpoints have weights of classes, which are the config's
from seglight.weight_files import state_dict

Weights = dict[str, Tensor]

#: What the names in a file may begin with where those of a segmentor do not; of these any two, one within the other.
PREFIXES = ('', 'module.', 'model.', 'segmentor.', 'backbone.', 'encoder.', 'net.', '_orig_mod.')

#: Where the names in a file may belong in a segmentor.
PLACES = ('', 'backbone.')

#: Buffers that a module makes from its own sizes.
DERIVED = 'relative_position_index'


@dataclass
class Loaded:
    """What came of loading a file.

    Attributes:
        path: the file.
        parameters: number of values that were taken.
        loaded: names that were taken.
        resized: names of those among them whose position embedding was interpolated, with both shapes.
        missing: names of the segmentor that the file lacks; they keep their initial values.
        unexpected: names of the file that the segmentor lacks, as they are in the file.
        mismatched: names of another shape in the file, with both shapes; they keep their initial values.
        classes: names of the classes that a head in the file was trained with; none where it does not name them.
    """

    path: Path
    parameters: int = 0
    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def doubt(self, classes: Sequence[str]) -> str:
        """Return a warning about heads that were loaded for classes, empty if there is none."""
        heads = any(name.startswith(('decode_head.', 'auxiliary_head.')) for name in self.loaded)
        text = difference(self.classes, classes) if heads and len(self.classes) == len(classes) else ''
        return f'{self.path} {text}; its heads begin with what they learned of its own classes' if text else ''

    def table(self, most: int = 6) -> str:
        """Return a line for each outcome with its count, and at most so many of its names."""
        rows = {
            'loaded': [f'{self.parameters / 1e6:.2f} M values'],
            'resized': self.resized,
            'missing': self.missing,
            'unexpected': self.unexpected,
            'mismatched': self.mismatched,
        }
        lines = [labelled('Weights', self.path)]
        for name, shown in rows.items():
            more = [f'and {len(shown) - most} more'] if len(shown) > most else []
            text = f'\n{"":20}'.join([*shown[:most], *more])
            lines.append(f'  {name:<10} {len(getattr(self, name)):>5}  {text}'.rstrip())
        return '\n'.join(lines)


def load_weights(segmentor: nn.Module, path: Path, trust: bool = False) -> Loaded:
    """Load a checkpoint of this project or of mmseg, a safetensors file, or the weights of a backbone alone.

    Names are matched after the prefixes are stripped that let the most of them match. Position
    embeddings and relative-position tables of another size are interpolated as mmseg's backbones do.
    What else has another shape, such as a head for other classes, keeps its initial values.

    Args:
        segmentor: an mmseg segmentor.
        path: the file.
        trust: unpickle everything in it, which runs the code that it names.

    Raises:
        CheckpointError: if the file cannot be read, or nothing in it belongs to the segmentor.
    """
    entries = Checkpoint(path, mapped=True).contents(unpickle=trust)
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
    """Return the classes that a checkpoint of this project or of mmseg names, none if it names none."""
    for entry, name in (('hyper_parameters', 'classes'), ('meta', 'CLASSES')):
        held = entries.get(entry) if isinstance(entries, Mapping) else None
        classes = held.get(name) if isinstance(held, Mapping) else None
        if isinstance(classes, (list, tuple)):
            return [str(each) for each in classes]
    return []


def _match(source: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the name in the segmentor for each name in the file, by the mapping that fits most names and shapes."""

    def fit(names: dict[str, str]) -> tuple[int, int]:
        found = [(source[name], own[target]) for name, target in names.items() if target in own]
        return len(found), sum(value.shape == wanted.shape for value, wanted in found)

    return max(_mappings(list(source)), key=fit)


def _mappings(names: list[str]) -> Iterator[dict[str, str]]:
    """Yield every way to strip prefixes from names, and to put them into a place."""
    for outer, inner, place in itertools.product(PREFIXES, PREFIXES, PLACES):
        if outer or not inner:
            yield {name: place + name.removeprefix(outer).removeprefix(inner) for name in names}


def _resized(segmentor: nn.Module, name: str, value: Tensor) -> Tensor | None:
    """Interpolate a position embedding to the size that a backbone has, None for what is none."""
    backbone: Any = getattr(segmentor, 'backbone', None)
    inner = name.removeprefix('backbone.')
    if name.endswith('relative_position_bias_table'):
        if hasattr(backbone, 'resize_rel_pos_embed'):  # BEiT and MAE, with tokens of their own
            table: Tensor = backbone.resize_rel_pos_embed({inner: value})[inner]
            return table
        return _resized_table(value, len(segmentor.get_parameter(name)))
    if inner == 'pos_embed' and hasattr(backbone, 'resize_abs_pos_embed'):  # MAE
        absolute: Tensor = backbone.resize_abs_pos_embed({inner: value})[inner]
        return absolute
    if inner == 'pos_embed' and hasattr(backbone, 'resize_pos_embed'):
        before = math.isqrt(value.shape[1] - 1)
        height, width = backbone.img_size
        after = (height // backbone.patch_size, width // backbone.patch_size)
        embedding: Tensor = backbone.resize_pos_embed(value, after, (before, before), backbone.interpolate_mode)
        return embedding
    return None


def _resized_table(table: Tensor, length: int) -> Tensor:
    """Interpolate a table `[(2w-1)^2, heads]` to another window, as mmseg's `SwinTransformer.init_weights`."""
    before, after = math.isqrt(len(table)), math.isqrt(length)
    image = table.t().reshape(1, -1, before, before)
    return F.interpolate(image, size=(after, after), mode='bicubic').flatten(2)[0].t().contiguous()


def _examples(source: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    return f"its names are like '{next(iter(source))}', the model's like '{next(iter(own))}'"
