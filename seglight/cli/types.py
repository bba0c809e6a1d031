"""Types of arguments of Lightning's classes that jsonargparse cannot write into a config by itself."""

from __future__ import annotations

from enum import Enum

import torch
import yaml
from jsonargparse.typing import register_type


def register() -> None:
    """Let a `torch.device` and a `torch.dtype` be texts, such as `cpu` and `float16`, and so the default of `Timer`.

    It is a member of an enumeration, for an argument that is a text.
    """
    yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, value: dumper.represent_data(value.value))
    register_type(torch.device, str, torch.device, fail_already_registered=False)
    register_type(torch.dtype, _dtype_name, _dtype, fail_already_registered=False)


def _dtype_name(value: torch.dtype) -> str:
    return str(value).removeprefix('torch.')


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name.removeprefix('torch.'), None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"'{name}' is not a type of torch's numbers, such as float16")
    return found
