"""What the addresses of pretrained weights in a config mean to mmcv, such as `weights://name.pth`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: mmcv imports torchvision)

# isort: split
from mmcv.runner import checkpoint as mmcv_checkpoint

from seglight.config.settings import nearest
from seglight.errors import CheckpointError
from seglight.files import cache_dir
from seglight.weight_files import read_address, read_file

#: What an address of pretrained weights in a config begins with, where it means a file of this folder.
SCHEME = 'weights://'


def weights_folder() -> Path:
    """Return the folder that `seglight convert` writes to unless it is told otherwise."""
    return cache_dir() / 'weights'


def load_from_cache(address: str, map_location: Any = None) -> Any:
    """Load what `weights://name` means, for mmcv, which initialises the weights of mmseg's models.

    Args:
        address: begins with `SCHEME`.
        map_location: mmcv's; files are always read to the CPU, where models are built.

    Raises:
        CheckpointError: if there is no such file, with the nearest that there is.
    """
    del map_location
    folder = weights_folder()
    path = folder / address.removeprefix(SCHEME)
    if not path.is_file():
        there = sorted(file.name for file in folder.glob('*') if file.is_file())
        raise CheckpointError(
            f'{address} was not found: {folder} has no such file{nearest(path.name, there)}; '
            '`seglight convert` puts weights there'
        )
    return read_file(path)


def load_url(url: str, model_dir: str | None = None, map_location: Any = None) -> Any:
    """Take the place of the function with which mmcv loads all that is fetched, which unpickles anything.

    `open-mmlab://`, `torchvision://`, `mmcls://` and the like end here as well.
    """
    del map_location
    return read_address(url, model_dir)


mmcv_checkpoint.CheckpointLoader.register_scheme(prefixes=SCHEME, loader=load_from_cache, force=True)
mmcv_checkpoint.load_url = load_url
