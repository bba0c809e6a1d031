"""The whole config as a dict."""

import re
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


@pytest.mark.parametrize(
    ('flag', 'hint'),
    [
        ('--data.batchsize', "; did you mean '--data.batch_size'?"),
        ('--trainr.max_epochs', "; did you mean '--trainer.max_epochs'?"),
        ('--on_bad_sample', "; did you mean '--data.on_bad_sample'?"),
        ('--batch-size', "; did you mean '--data.batch_size'?"),
        ('--model.segmntor.decode_head.channels', "; did you mean '--model.segmentor'?"),
        ('--nothing', ''),
    ],
)
def test_an_unknown_flag_is_named_with_the_one_that_was_meant(tiny_config: Path, flag: str, hint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"unknown option '{flag}=3'{hint}") + '$'):
        seglight.read_config(tiny_config, overrides=[f'{flag}=3'])


def test_a_mistake_is_an_error(tiny_config: Path) -> None:
    with pytest.raises(UsageError, match=r"needs a config, for example read_config\('demo\.yaml'\)"):
        seglight.read_config()
    with pytest.raises(
        UsageError, match=r"overrides must be a list of flags, got the text '--data\.batch_size=3'; write"
    ):
        seglight.read_config(tiny_config, overrides='--data.batch_size=3')
    with pytest.raises(UsageError, match='--help prints and trains nothing'):
        seglight.read_config(tiny_config, overrides=['--help'])
