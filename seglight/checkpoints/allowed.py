"""The classes that a checkpoint may name; no other class is imported or built because a checkpoint names it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

#: Prefixes of the paths of allowed transforms.
TRANSFORMS = ('albumentations.', 'seglight.data.augmentations.', 'seglight.data.photometric.')

#: Prefixes of allowed mixes and data sources.
MIXES = ('seglight.data.mixing.',)
SOURCES = ('seglight.data.sources.',)

#: Prefixes of allowed optimizers.
OPTIMIZERS = ('torch.optim.',)

#: Prefixes of allowed losses. Packages are only used if installed, never imported from the working folder.
LOSSES = (
    'torch.nn.',
    'mmseg.models.losses.',
    'seglight.models.',
    'segmentation_models_pytorch.losses.',
    'monai.losses.',
)

#: Packages that a `type` may name as its scope, before a dot.
MODEL_PACKAGES = ('mmseg', 'mmcls')

#: Classes that no checkpoint may name: a wrapper around a class path, which must be used itself; one that opens a file.
_REFUSED = frozenset({'ClassPathLoss', 'ExportedSegmentor'})

#: Allowed arguments of a timm backbone; others may name files and URLs.
TIMM_ARGUMENTS = frozenset(
    {
        *('type', 'model_name', 'features_only', 'pretrained', 'checkpoint_path', 'in_channels', 'init_cfg'),
        *('out_indices', 'output_stride', 'drop_rate', 'drop_path_rate', 'drop_block_rate', 'img_size', 'norm_layer'),
        *('with_cp', 'dynamic_img_size', 'strict_img_size'),
    }
)


def is_model_part(name: str) -> bool:
    """Return whether a `type` in a model dict is a registered class of mmseg, mmcls, mmcv or this project."""
    scope, _, plain = name.rpartition('.')
    if plain in _REFUSED or (scope and scope not in MODEL_PACKAGES):
        return False
    if scope and not is_installed(scope):
        return False
    return any(plain in registry for registry in _registries(scope))


def is_loss(path: str) -> bool:
    """Return whether a path may name a loss."""
    return path.rpartition('.')[2] not in _REFUSED and is_below(path, LOSSES)


def is_below(path: str, places: Iterable[str]) -> bool:
    """Return whether the path of a class starts with one of the prefixes and its package is installed."""
    words = path.split('.')
    plain = all(word.isidentifier() for word in words) and not any(word.startswith('__') for word in words)
    return plain and any(path.startswith(place) for place in places) and is_installed(words[0])


def is_optimizer(name: str) -> bool:
    """Return whether a name or a path is an optimizer of torch."""
    if '.' not in name:
        optimizers = importlib.import_module('torch.optim')  # late: `seglight zoo` does not need torch
        return inspect.isclass(getattr(optimizers, name, None))
    return is_below(name, OPTIMIZERS)


def find_transform(name: str) -> type | None:
    """Return the transform with a name or a path, None if a checkpoint may not name it."""
    from seglight.data.transforms import NAMES  # late: the data package is large and not always needed

    found = _find(name, NAMES, TRANSFORMS)
    import albumentations

    return found if found and issubclass(found, (albumentations.BasicTransform, albumentations.BaseCompose)) else None


def find_mix(name: str) -> type | None:
    """Return the mix with a name or a path, None if a checkpoint may not name it."""
    from seglight.data import mixing

    found = _find(name, mixing.MIXES, MIXES)
    return found if found and issubclass(found, mixing.Mix) else None


def find_source(name: str) -> type | None:
    """Return the data source with a name or a path, None if a checkpoint may not name it."""
    from seglight.data import sources

    found = _find(name, sources.SOURCES, SOURCES)
    if found is None and '.' not in name:
        from seglight.data.sources.mmseg_datasets import MmsegSource, is_dataset

        return MmsegSource if is_dataset(name) else None
    return found if found and issubclass(found, sources.Source) else None


def is_installed(package: str) -> bool:
    """Return whether a package was already imported or is found outside the working folder."""
    if package in sys.modules:
        return True
    here = Path.cwd().resolve()
    elsewhere = [entry for entry in sys.path if entry and Path(entry).resolve() != here]
    own = PathFinder.find_spec(package, elsewhere)
    first = PathFinder.find_spec(package)
    return own is not None and own.origin is not None and first is not None and first.origin == own.origin


def _find(name: str, known: Mapping[str, Any], places: Iterable[str]) -> type | None:
    """Return a class by its name among the known ones, or by its path with one of the prefixes."""
    module, _, attribute = name.rpartition('.')
    if not module:
        found = known.get(name)
    elif is_below(name, places):
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except (ImportError, ValueError):
            return None
    else:
        return None
    return found if inspect.isclass(found) else None


def _registries(scope: str) -> list[Mapping[str, Any]]:
    """Return the registries for a `type` with this scope."""
    if scope == 'mmcls':
        return [importlib.import_module('mmcls.models.builder').MODELS.module_dict]
    from mmcv import cnn
    from mmcv.cnn.bricks import registry
    from mmcv.utils import Registry
    from mmseg.core.seg.builder import PIXEL_SAMPLERS
    from mmseg.models.builder import MODELS

    kinds = [value for value in vars(registry).values() if isinstance(value, Registry)]
    return [each.module_dict for each in (MODELS, cnn.MODELS, cnn.INITIALIZERS, PIXEL_SAMPLERS, *kinds)]
