"""The pretrained weights that a model dict names: whether they reached the model, and the dict without them."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import torch
from mmseg.models.segmentors import BaseSegmentor

from seglight.config.settings import dicts
from seglight.errors import ConfigError
from seglight.weight_files import read_file, state_dict

#: What stands before the names of a backbone's weights in files and in a segmentor.
_PREFIX = re.compile(r'^((module|model|segmentor|encoder|backbone|neck|decode_head)\.)+')

#: Arguments of the backbones that would fetch weights by default, whatever their `type` is prefixed with.
_FETCHING = {'TIMMBackbone': {'pretrained': False, 'checkpoint_path': ''}}


def pretrained_address(part: dict[str, Any]) -> str | None:
    """Return the address of weights that one dict of a model dict names: `pretrained`, or an `init_cfg` itself."""
    address = part.get('checkpoint') if part.get('type') == 'Pretrained' else part.get('pretrained')
    return address if isinstance(address, str) else None


def check_reached(segmentor: BaseSegmentor, model: dict[str, Any]) -> None:
    """Refuse a file of pretrained weights of which nothing is in the model: mmcv goes on from random ones.

    Args:
        segmentor: after `init_weights`.
        model: its model dict; of its addresses those that are paths of files are checked.

    Raises:
        ConfigError: names the key and the file.
    """
    own = {_PREFIX.sub('', name): value for name, value in segmentor.named_parameters()}
    for path, part in dicts(model, 'model.segmentor'):
        address = pretrained_address(part)
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
            raise ConfigError(path, message)


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
