"""What jsonargparse alone gets wrong, silently, in nested dicts and lists: each case gives what it says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY_SEGMENTOR, Result

from seglight.cli.command_line import CommandLine

Run = Callable[..., Result]
LOSSES = [{'type': 'CrossEntropyLoss', 'loss_weight': 1.0}, {'type': 'DiceLoss', 'loss_weight': 3.0}]


@pytest.fixture
def printed(tiny_config: Path, run: Run) -> Callable[..., dict[str, Any]]:
    """The config that a command line with the tiny config results in."""
    losses = {'model': {'segmentor': {'decode_head': {'loss_decode': LOSSES}}}}
    (tiny_config.parent / 'losses.yaml').write_text(yaml.safe_dump(losses))

    def call(*flags: str) -> dict[str, Any]:
        result = run('fit', '-c', tiny_config, '-c', 'losses.yaml', *flags, '--print_config')
        assert result.status == 0, result.err
        config: dict[str, Any] = yaml.safe_load(result.out)
        return config

    return call


def head(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config['model']['segmentor']['decode_head']
    return found


EXPECTED_HEAD = {**TINY_SEGMENTOR['decode_head'], 'loss_decode': LOSSES}


def test_one_level(printed: Callable[..., dict[str, Any]]) -> None:
    model = printed('--model.segmentor.type=EncoderDecoder', '--model.segmentor.init_cfg=null')['model']['segmentor']
    assert model == {**TINY_SEGMENTOR, 'init_cfg': None, 'decode_head': EXPECTED_HEAD}


def test_two_levels_keep_the_siblings(printed: Callable[..., dict[str, Any]]) -> None:
    assert head(printed('--model.segmentor.decode_head.channels=256')) == {**EXPECTED_HEAD, 'channels': 256}


def test_an_item_of_a_list_inside(printed: Callable[..., dict[str, Any]]) -> None:
    config = printed('--model.segmentor.decode_head.loss_decode.0.loss_weight=0.5')
    assert head(config)['loss_decode'] == [{**LOSSES[0], 'loss_weight': 0.5}, LOSSES[1]]


def test_an_item_of_a_list_of_dicts_is_the_one_that_was_named(printed: Callable[..., dict[str, Any]]) -> None:
    transforms = printed('--data.train_transforms.0.type=VerticalFlip')['data']['train_transforms']
    assert transforms == [{'type': 'VerticalFlip', 'p': 0.5}, {'type': 'RandomCrop', 'height': 48, 'width': 48}]


@pytest.mark.parametrize(
    ('text', 'value'), [('(224,224)', [224, 224]), ('[(a,b),(c,d)]', [['a', 'b'], ['c', 'd']]), ('(1,)', [1])]
)
def test_tuples_are_lists(printed: Callable[..., dict[str, Any]], text: str, value: list[Any]) -> None:
    assert printed(f'--model.segmentor.test_cfg.crop_size={text}')['model']['segmentor']['test_cfg'] == {
        'mode': 'whole',
        'crop_size': value,
    }


def test_a_second_config_merges_deeply(printed: Callable[..., dict[str, Any]]) -> None:
    assert head(printed()) == EXPECTED_HEAD


def test_a_dict_merges_too(printed: Callable[..., dict[str, Any]]) -> None:
    assert head(printed('--model.segmentor={decode_head: {channels: 7}}')) == {**EXPECTED_HEAD, 'channels': 7}


def test_plus_appends(printed: Callable[..., dict[str, Any]]) -> None:
    transforms = printed('--data.train_transforms+={type: VerticalFlip}')['data']['train_transforms']
    assert [each['type'] for each in transforms] == ['HorizontalFlip', 'RandomCrop', 'VerticalFlip']


def test_callbacks_are_appended_and_configured(printed: Callable[..., dict[str, Any]]) -> None:
    callbacks = printed('--trainer.callbacks+=ModelSummary', '--trainer.callbacks.max_depth=3')['trainer']['callbacks']
    assert callbacks[-1]['class_path'].endswith('ModelSummary')
    assert callbacks[-1]['init_args']['max_depth'] == 3


def test_callbacks_of_two_configs(tiny_config: Path, run: Run) -> None:
    for name in ('one', 'two'):
        callback = 'LearningRateMonitor' if name == 'one' else 'DeviceStatsMonitor'
        Path(f'{name}.yaml').write_text(f'trainer:\n  callbacks+:\n    - class_path: {callback}\n')
    result = run('fit', '-c', tiny_config, '-c', 'one.yaml', '-c', 'two.yaml', '--print_config')
    assert result.status == 0, result.err
    names = [each['class_path'].rpartition('.')[2] for each in yaml.safe_load(result.out)['trainer']['callbacks']]
    assert names == ['LearningRateMonitor', 'DeviceStatsMonitor']


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        (
            'model:\n  segmentor: {type: A}\n  segmentor: {type: B}\n',
            "over.yaml:3: duplicate key 'segmentor'",
        ),
        ('model:\n  segmentr: {type: A}\n', "over.yaml:2: unknown key 'model.segmentr'; did you mean 'segmentor'?"),
        ('model:\n  segmentor: {decode_head: {chanels: 1}}\n', 'over.yaml:2'),
        ('model: models/x.yaml\n', 'over.yaml:1'),
        ('trainer: {max_epochs: hello}\n', 'over.yaml:1: trainer.max_epochs'),
        ('config: other.yaml\n', 'over.yaml:1'),
        ('_base_: nowhere.yaml\n', 'over.yaml:1: _base_ names nowhere.yaml'),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tiny_config: Path, run: Run, text: str, said: str) -> None:
    Path('over.yaml').write_text(text)
    result = run('fit', '-c', tiny_config, '-c', 'over.yaml')
    assert result.status == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1


def test_the_printed_config_gives_itself_again(printed: Callable[..., dict[str, Any]], run: Run) -> None:
    config = printed('--model.segmentor.decode_head.channels=9')
    Path('again.yaml').write_text(yaml.safe_dump(config))
    assert yaml.safe_load(run('fit', '-c', 'again.yaml', '--print_config').out) == config


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subcommands whose parsers are built from now on, in turn."""
    names: list[str] = []
    whole = CommandLine._whole_parser

    def record(self: CommandLine, klass: type, subcommand: str, **kwargs: Any) -> Any:
        names.append(subcommand)
        return whole(self, klass, subcommand, **kwargs)

    monkeypatch.setattr(CommandLine, '_whole_parser', record)
    return names


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (['--help'], []),
        (['fit', '--help'], []),
        (['fit', '--help-all'], ['fit']),
        (['predict', '--ckpt=no.ckpt'], ['predict']),
        (['nonsense'], []),
        (['--print_completion=shtab-bash'], ['fit', 'validate', 'test', 'predict']),
    ],
)
def test_the_parser_of_the_typed_subcommand_alone_is_built(
    run: Run, built: list[str], monkeypatch: pytest.MonkeyPatch, words: list[str], expected: list[str]
) -> None:
    monkeypatch.setenv('JSONARGPARSE_ADD_PRINT_COMPLETION_ARGUMENT', 'true')
    run(*words)
    assert built == expected


@pytest.mark.parametrize(('key', 'parsers'), [('work_dir', ['predict', 'fit']), ('model', ['predict'])])
def test_keys_of_other_subcommands_are_ignored(
    trained: Path, tmp_path: Path, run: Run, built: list[str], key: str, parsers: list[str]
) -> None:
    more = tmp_path / 'more.yaml'
    more.write_text(f'{key}: {{}}\n' if key == 'model' else f'{key}: x\n')
    result = run('predict', f'--ckpt={trained}', f'--config={more}', '--print_config')
    assert result.status == 0, result.err
    assert built == parsers
    more.write_text('work_dirs: x\n')
    assert run('predict', f'--ckpt={trained}', f'--config={more}').status == 2
