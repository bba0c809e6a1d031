"""Checkpoints as a stranger would make them, and what shows that one did something."""

from __future__ import annotations

import copy
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

#: The module that a checkpoint names; imported from the working folder, it leaves a file.
CANARY = 'canary'


def plant_canary(folder: Path) -> Path:
    """Write a module, a package and a pickle that leave a file when they run; return that file."""
    sign = folder / 'canary_ran'
    code = (
        f'from pathlib import Path\nPath({str(sign)!r}).touch()\n'
        'import albumentations, torch\n'
        'class Flip(albumentations.HorizontalFlip): pass\n'
        'class Adam(torch.optim.Adam): pass\n'
        'class Loss(torch.nn.CrossEntropyLoss): pass\n'
    )
    (folder / f'{CANARY}.py').write_text(code)
    (folder / 'canary_loss.py').write_text(code)
    for package in ('monai', 'segmentation_models_pytorch'):  # on the list, but not installed
        (folder / package).mkdir()
        (folder / package / '__init__.py').write_text(code)
        (folder / package / 'losses.py').write_text(code)
    (folder / 'memcache.py').write_text(code)
    (folder / 'w.pkl').write_bytes(pickle.dumps(Touch(sign)))
    return sign


class Touch:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def changed(source: Path, target: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """Write a checkpoint whose entries and config `change` has altered; both ways to the model are altered alike."""
    entries = torch.load(source, weights_only=True)
    config = yaml.safe_load(entries['config'])
    before = copy.deepcopy(config['model']['segmentor'])
    change(entries, config)
    entries['config'] = yaml.safe_dump(config)
    if config['model']['segmentor'] != before and 'hyper_parameters' in entries:
        entries['hyper_parameters'] = {**entries['hyper_parameters'], 'segmentor': config['model']['segmentor']}
    torch.save(entries, target)
    return target


def set_key(*keys: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    """Return a change that sets one key of the config."""

    def change(_: dict[str, Any], config: dict[str, Any]) -> None:
        inner = config
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


def zip_bomb(path: Path, size: int) -> None:
    """Write a small zip in the form of `torch.save` whose pickle has very many bytes."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        with file.open('archive/data.pkl', 'w', force_zip64=True) as record:
            for _ in range(size >> 20):
                record.write(bytes(1 << 20))
        file.writestr('archive/version', '3\n')
        file.writestr('archive/byteorder', 'little')
