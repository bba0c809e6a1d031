"""Pretrained weights: resolving their addresses, checking that the model loads them, and models without them."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmcv.runner import checkpoint as mmcv_checkpoint
from mmseg.models.segmentors import BaseSegmentor

from seglight.errors import CheckpointError, ConfigError
from seglight.files import WEIGHTS_SCHEME, weights_folder
from seglight.models.parts import Part, plain_type
from seglight.similar import nearest
from seglight.weight_files import read_address, read_file, state_dict

#: Prefixes of the names of a backbone's weights in files and in a segmentor.
_PREFIX = re.compile(r'^((module|model|segmentor|encoder|backbone|neck|decode_head)\.)+')

#: Arguments with which classes that fetch weights by themselves fetch none, with any prefix of their `type`.
_FETCHING: dict[str, dict[str, Any]] = {
    'TIMMBackbone': {'pretrained': False, 'checkpoint_path': ''},
    'HFSegmentor': {'name': None},
    'SMPSegmentor': {'encoder_weights': None},
}


def teach_mmcv() -> None:
    """Make mmcv load all pretrained weights with seglight's readers, which run no code; repeated calls do nothing.

    `weights://name` means a file in the folder that `seglight convert` writes to. All of mmcv's downloads
    go through its `load_url`, including `open-mmlab://`, `torchvision://` and `mmcls://`.
    """
    mmcv_checkpoint.CheckpointLoader.register_scheme(prefixes=WEIGHTS_SCHEME, loader=_load_converted, force=True)
    mmcv_checkpoint.load_url = _load_url


def converted_file(address: str) -> Path:
    """Return the file that `weights://name` means.

    Raises:
        CheckpointError: if it does not exist; names the nearest.
    """
    folder = weights_folder()
    path = folder / address.removeprefix(WEIGHTS_SCHEME)
    if not path.is_file():
        known = sorted(file.name for file in folder.glob('*') if file.is_file())
        raise CheckpointError(
            f'{address} was not found: {folder} has no such file{nearest(path.name, known)}; '
            '`seglight convert` writes weights to it'
        )
    return path


def _load_converted(address: str, map_location: Any = None) -> Any:
    """Load the file that `weights://name` means, to the CPU, where models are built."""
    del map_location
    return read_file(converted_file(address))


def _load_url(url: str, model_dir: str | None = None, map_location: Any = None) -> Any:
    """Replace mmcv's function of this name, which unpickles anything."""
    del map_location
    return read_address(url, model_dir)


def address_of(part: Part) -> str | None:
    """Return the address of the weights that a part names, as `pretrained` or as an `init_cfg`; None without one."""
    address = part.values.get('checkpoint') if part.type_name == 'Pretrained' else part.values.get('pretrained')
    return address if isinstance(address, str) else None


def check_reached(segmentor: BaseSegmentor, parts: Sequence[Part]) -> None:
    """Refuse a file of pretrained weights that the model did not load: mmcv would continue with random weights.

    Args:
        segmentor: after `init_weights`.
        parts: of its recipe; only addresses that are file paths are checked.

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
                f'no weights in {address} fit the {backbone}; give weights of that architecture '
                '(`seglight convert` converts published ones), or null for none'
            )
            raise ConfigError(part.key, message)


def without_pretrained(model: dict[str, Any]) -> dict[str, Any]:
    """Return the model dict without the addresses of pretrained weights, at any depth.

    A checkpoint holds all weights, so building its model must not download any.
    """
    cleaned: dict[str, Any] = _without_pretrained(model)
    return cleaned


def _without_pretrained(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {
            name: None if _plain(name) == 'pretrained' or _is_pretrained(inner) else _without_pretrained(inner)
            for name, inner in value.items()
        }
        return {**kept, **_FETCHING.get(plain_type(value), {})}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_pretrained(item) for item in value if not _is_pretrained(item))
    return copy.deepcopy(value)


def _is_pretrained(value: Any) -> bool:
    """Return whether a value is an `init_cfg` with an address; Swin reads `checkpoint` whatever the type."""
    if not isinstance(value, dict):
        return False
    keys = {_plain(name): inner for name, inner in value.items()}
    return keys.get('type') == 'Pretrained' or 'checkpoint' in keys


def _plain(name: Any) -> str:
    """Return a key without the `+` that a config may append."""
    return str(name).rstrip('+')
