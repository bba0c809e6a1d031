"""The parts of an mmseg model dict: every dict in it, found in one walk."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from mmseg.models.builder import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.stdc_head import STDCHead

from seglight.models.signatures import init_arguments

#: The config's key of the model dict.
KEY = 'model.segmentor'

#: Keys of the model dict that hold heads, each one dict or a list of dicts.
HEAD_KEYS = ('decode_head', 'auxiliary_head')

#: Key of a dict that another library reads; its dicts are no parts.
FOREIGN = 'config'

#: Packages that a `type` may name before a dot, as in `mmcls.ConvNeXt`.
PACKAGES = ('mmseg', 'mmcls')

#: Heads that derive labels of their own from the data's, and the number of these labels.
OWN_LABELS: dict[type[BaseDecodeHead], int] = {STDCHead: 2}  # boundary, or not

Role = Literal['segmentor', 'head', 'loss', 'other']


def plain_type(values: Any) -> str:
    """Return the `type` of a dict without its scope, as in `mmseg.TIMMBackbone`; empty without one."""
    return str(values.get('type', '')).rpartition('.')[2] if isinstance(values, dict) else ''


@dataclass(eq=False)
class Part:
    """One dict of a model dict.

    Attributes:
        path: its keys in the model dict, including list indices.
        values: the dict itself.
        parent: the nearest dict that holds it.
    """

    path: tuple[str, ...]
    values: dict[str, Any]
    parent: Part | None = None

    @property
    def key(self) -> str:
        """Its dotted key in the config."""
        return '.'.join((KEY, *self.path))

    @property
    def type_name(self) -> str:
        """The name of its class, empty if it has none."""
        found = self.values.get('type', '')
        return f'{found.__module__}.{found.__qualname__}' if inspect.isclass(found) else str(found)

    @property
    def has_class_path(self) -> bool:
        """Whether its type is the path of a class, not a name in a registry with or without its package."""
        scope, dot, _ = self.type_name.rpartition('.')
        return bool(dot) and scope not in PACKAGES

    @property
    def cls(self) -> type | None:
        """Its class, None if mmseg has no class of that name. Imports only OpenMMLab's own packages."""
        if inspect.isclass(given := self.values.get('type')):
            return given
        if self.has_class_path:
            return None
        if scope := self.type_name.rpartition('.')[0]:
            importlib.import_module(f'{scope}.models')  # so that mmcv's registry knows its classes
        found = MODELS.get(self.type_name)
        return found if inspect.isclass(found) else None

    @property
    def role(self) -> Role:
        """Its role; a head is recognised by its class too, because it may leave `num_classes` at the default."""
        if not self.path:
            return 'head' if self.takes('num_classes') else 'segmentor'  # an adapter is its own head
        if next(key for key in reversed(self.path) if not key.isdigit()) == 'loss_decode':
            return 'loss'
        if self.path[0] not in HEAD_KEYS or 'loss_decode' in self.path:
            return 'other'
        return 'head' if 'num_classes' in self.values or self.takes('num_classes') else 'other'

    @property
    def own_labels(self) -> int | None:
        """Number of labels of its own that a head predicts, None for a head that predicts the data's classes."""
        cls = self.cls
        return next((count for base, count in OWN_LABELS.items() if cls and issubclass(cls, base)), None)

    def takes(self, argument: str) -> bool:
        """Return whether its class is known to accept an argument."""
        cls = self.cls
        return cls is not None and argument in init_arguments(cls)[0]

    def above(self) -> Iterator[Part]:
        """Yield the enclosing parts, nearest first."""
        part = self.parent
        while part is not None:
            yield part
            part = part.parent


def walk(value: Any, path: tuple[str, ...] = (), parent: Part | None = None) -> Iterator[Part]:
    """Yield every dict in a nested value that mmseg reads, outermost first."""
    if isinstance(value, dict):
        part = Part(path, value, parent)
        yield part
        for name, inner in value.items():
            if name != FOREIGN:
                yield from walk(inner, (*path, str(name)), part)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from walk(inner, (*path, str(index)), parent)
