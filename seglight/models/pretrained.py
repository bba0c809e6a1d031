"""Pretrained weights: what their addresses mean, that they reach the model, and models that need none."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmcv.runner import checkpoint as mmcv_checkpoint
from mmseg.models.segmentors import BaseSegmentor

from seglight.config.settings import nearest
from seglight.errors import CheckpointError, ConfigError
from seglight.files import WEIGHTS_SCHEME, weights_folder
from seglight.models.parts import Part
from seglight.weight_files import read_address, read_file, state_dict

#: What stands before the names of a backbone's weights in files and in a segmentor.
_PREFIX = re.compile(r'^((module|model|segmentor|encoder|backbone|neck|decode_head)\.)+')


#: Arguments of the backbones that would fetch weights by default, whatever their `type` is prefixed with.
_FETCHING = {'TIMMBackbone': {'pretrained': False, 'checkpoint_path': ''}}


def teach_mmcv() -> None:
    """Let mmcv load all pretrained weights with this project's readers, which run no code; again it does nothing.

    `weights://name` means a file of the folder that `seglight convert` writes to. Everything that mmcv
    fetches goes through its `load_url`: `open-mmlab://`, `torchvision://`, `mmcls://` and the like, too.
    """
    mmcv_checkpoint.CheckpointLoader.register_scheme(prefixes=WEIGHTS_SCHEME, loader=_load_converted, force=True)
    mmcv_checkpoint.load_url = _load_url


def _load_converted(address: str, map_location: Any = None) -> Any:
    """Load what `weights://name` means, to the CPU, where models are built.

    Raises:
        CheckpointError: if there is no such file; names the nearest.
    """
    del map_location
    folder = weights_folder()
    path = folder / address.removeprefix(WEIGHTS_SCHEME)
    if not path.is_file():
        known = sorted(file.name for file in folder.glob('*') if file.is_file())
        raise CheckpointError(
            f'{address} was not found: {folder} has no such file{nearest(path.name, known)}; '
            '`seglight convert` puts weights there'
        )
    return read_file(path)


def _load_url(url: str, model_dir: str | None = None, map_location: Any = None) -> Any:
    """Take the place of mmcv's function of this name, which unpickles anything."""
    del map_location
    return read_address(url, model_dir)


def address_of(part: Part) -> str | None:
    """Return the address of weights that a part names: `pretrained`, or an `init_cfg` itself."""
    address = part.values.get('checkpoint') if part.type_name == 'Pretrained' else part.values.get('pretrained')
    return address if isinstance(address, str) else None


def check_reached(segmentor: BaseSegmentor, parts: Sequence[Part]) -> None:
    """Refuse a file of pretrained weights of which nothing is in the model: mmcv goes on from random ones.

    Args:
        segmentor: after `init_weights`.
        parts: of its recipe; of their addresses those that are paths of files are checked.

    Raises:
        ConfigError: names the key and the file.
    """
    own = {_PREFIX.sub('', name): value for name, value in segmentor.named_parameters()}
    for part in parts:
        address = address_of(part)
        if address is None or not Path(address).is_file():
            continue
        weights = {
            _PREFIX.sub('', name): value for name, value in state_dict(read_file(Path(address)), Path(address)).items()
        }
        same = own.keys() & weights.keys()
        if not any(own[name].shape == weights[name].shape and torch.equal(own[name], weights[name]) for name in same):
            backbone = type(segmentor.backbone).__name__
            message = (
                f'nothing in {address} fits the {backbone}; name weights of that architecture '
                '(`seglight convert` makes them from published ones), or null for none'
            )
            raise ConfigError(part.key, message)


def without_pretrained(model: dict[str, Any]) -> dict[str, Any]:
    """Return the model dict without the addresses of pretrained weights, wherever they stand.

    A checkpoint holds all weights, so nothing may be fetched to build the model that takes them.
    """
    cleaned: dict[str, Any] = _without_pretrained(model)
    return cleaned


def _without_pretrained(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {
            name: None if _plain(name) == 'pretrained' or _is_pretrained(inner) else _without_pretrained(inner)
            for name, inner in value.items()
        }
        return {**kept, **_FETCHING.get(str(value.get('type')).rpartition('.')[2], {})}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_pretrained(item) for item in value if not _is_pretrained(item))
    return copy.deepcopy(value)


def _is_pretrained(value: Any) -> bool:
    """Tell whether a value is an `init_cfg` with an address; Swin, for one, reads `checkpoint` whatever the type."""
    if not isinstance(value, dict):
        return False
    keys = {_plain(name): inner for name, inner in value.items()}
    return keys.get('type') == 'Pretrained' or 'checkpoint' in keys


def _plain(name: Any) -> str:
    """Return a key without the `+` that a config may add to it."""
    return str(name).rstrip('+')
