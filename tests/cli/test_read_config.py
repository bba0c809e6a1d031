"""The whole config as a dict."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Result
from pytorch_lightning import Trainer

import seglight
from seglight.errors import UsageError


def test_it_is_what_fit_prints(tiny_config: Path, run: Callable[..., Result]) -> None:
    printed = yaml.safe_load(run('fit', '--config', tiny_config, '--data.batch_size=3', '--print_config').out)
    config = seglight.read_config(tiny_config, overrides=['--data.batch_size=3'])
    assert config['data'] == printed['data']
    assert config['trainer'] == printed['trainer']
    assert config['model'] == printed['model'] | {'classes': printed['data']['classes'], 'ignore_index': 255} | {
        'palette': printed['data']['palette']
    }
    assert 'work_dir' not in config


def test_its_groups_are_the_arguments_of_the_classes(own_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = seglight.read_config(own_config)
    module = seglight.Segmentor(**config['model'])
    data = seglight.SegmentationDataModule(**config['data'])
    trainer = Trainer(**config['trainer'] | {'logger': False, 'enable_checkpointing': False, 'accelerator': 'cpu'})
    trainer.fit(module, data)
    assert trainer.global_step == 6
    assert module.classes == data.classes


def test_later_files_override(tiny_config: Path) -> None:
    Path('more.yaml').write_text('data: {batch_size: 7}')
    assert seglight.read_config(tiny_config, 'more.yaml')['data']['batch_size'] == 7


def test_a_mistake_is_an_error(tiny_config: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown option '--data.batchsize=3'; did you mean 'batch_size'"):
        seglight.read_config(tiny_config, overrides=['--data.batchsize=3'])
    with pytest.raises(UsageError, match=r"needs a config, for example read_config\('demo\.yaml'\)"):
        seglight.read_config()
    with pytest.raises(
        UsageError, match=r"overrides must be a list of flags, got the text '--data\.batch_size=3'; write"
    ):
        seglight.read_config(tiny_config, overrides='--data.batch_size=3')
    with pytest.raises(UsageError, match='--help prints and trains nothing'):
        seglight.read_config(tiny_config, overrides=['--help'])
