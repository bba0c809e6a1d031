"""How jsonargparse reads and writes values: what Lightning's classes need, and no more."""

from __future__ import annotations

from enum import Enum

import torch
import yaml
from jsonargparse import set_parsing_settings
from jsonargparse.typing import register_type


def register() -> None:
    """Register `torch.device` and `torch.dtype` as strings, for example `cpu` and `float16`, and enums as their values.

    The default of a string argument of Lightning's `Timer` is an enum. Lightning lets jsonargparse open every string
    that may be a class, for example `trainer.accelerator`, as the address of a config; seglight fetches nothing there.
    """
    set_parsing_settings(config_read_mode_fsspec_enabled=False)
    yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, value: dumper.represent_data(value.value))
    register_type(torch.device, str, torch.device, fail_already_registered=False)
    register_type(torch.dtype, _dtype_name, _dtype, fail_already_registered=False)


def _dtype_name(value: torch.dtype) -> str:
    return str(value).removeprefix('torch.')


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name.removeprefix('torch.'), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"must be a torch.dtype, for example float16, got '{name}'")
    return dtype
