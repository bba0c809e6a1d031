"""Types that are strings in a config."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from fsspec.implementations.memory import MemoryFileSystem
from jsonargparse import ArgumentParser
from pytorch_lightning.callbacks.timer import Interval

from seglight.cli.types import register


@pytest.fixture
def parser() -> ArgumentParser:
    register()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument('--dtype', type=torch.dtype)
    parser.add_argument('--device', type=torch.device)
    return parser


def test_dtypes_and_devices_convert_to_strings_and_back(parser: ArgumentParser) -> None:
    config = parser.parse_args(['--dtype=torch.float16', '--device=cuda:1'])
    assert (config.dtype, config.device) == (torch.float16, torch.device('cuda', 1))
    assert yaml.safe_load(parser.dump(config)) == {'dtype': 'float16', 'device': 'cuda:1'}


def test_an_unknown_dtype_is_an_error(parser: ArgumentParser) -> None:
    with pytest.raises(Exception, match=r"must be a torch\.dtype, for example float16, got 'float17'"):
        parser.parse_args(['--dtype=float17'])


def test_an_enum_is_written_as_its_value(parser: ArgumentParser) -> None:
    assert yaml.safe_dump(Interval.step).split() == ['step', '...']


def test_no_value_is_opened_as_the_address_of_a_config(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def opened(_: MemoryFileSystem, path: str, *__: Any, **___: Any) -> None:
        asked.append(path)
        raise FileNotFoundError(path)

    monkeypatch.setattr(MemoryFileSystem, '_open', opened)
    for key in ('accelerator', 'strategy', 'logger', 'profiler', 'plugins'):
        run('fit', '--config', 'demo.yaml', f'--trainer.{key}=memory://address/a.yaml', '--print_config')
    assert not asked
