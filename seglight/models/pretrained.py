"""Whether pretrained weights reached the model that a config asks them for."""

from __future__ import annotations

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
