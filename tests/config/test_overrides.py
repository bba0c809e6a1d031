"""What flags do to nested dicts and lists."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Result

from seglight.config.arguments import read_arguments
from seglight.config.overrides import apply_overrides, check_keys, take_overrides
from seglight.config.settings import Origin, Settings
from seglight.errors import ConfigError

PLAIN = frozenset({('model', 'segmentor'), ('data', 'train_transforms')})


def segmentor() -> dict[str, Any]:
    loss = {'type': 'CrossEntropyLoss', 'loss_weight': 1.0}
    return {'type': 'A', 'decode_head': {'type': 'B', 'channels': 512, 'loss_decode': [loss, {'type': 'DiceLoss'}]}}


def overridden(*flags: str) -> dict[str, Any]:
    settings = Settings({'model': {'segmentor': segmentor()}, 'data': {'train_transforms': [{'type': 'R'}]}})
    arguments = read_arguments(['fit', *flags])
    result = apply_overrides(settings, take_overrides(arguments, PLAIN))
    assert arguments.argv() == ['fit']
    return result.values


def test_a_nested_key_leaves_its_siblings() -> None:
    head = overridden('--model.segmentor.decode_head.channels=256')['model']['segmentor']['decode_head']
    assert head == {**segmentor()['decode_head'], 'channels': 256}


def test_a_number_is_the_index_of_a_list() -> None:
    head = overridden('--model.segmentor.decode_head.loss_decode.0.loss_weight', '0.5')['model']['segmentor']
    assert head['decode_head']['loss_decode'] == [
        {'type': 'CrossEntropyLoss', 'loss_weight': 0.5},
        {'type': 'DiceLoss'},
    ]
    assert overridden('--data.train_transforms.0.type=Q')['data'] == {'train_transforms': [{'type': 'Q'}]}


def test_flags_count_in_their_order_and_a_dict_merges() -> None:
    data = overridden('--data.train_transforms=[{type: F, p: 1}]', '--data.train_transforms.0.p=0.3')['data']
    assert data == {'train_transforms': [{'type': 'F', 'p': 0.3}]}
    head = overridden('--model.segmentor={decode_head: {channels: 3}}')['model']['segmentor']['decode_head']
    assert head == {**segmentor()['decode_head'], 'channels': 3}


def test_values_are_yaml() -> None:
    head = overridden('--model.segmentor.a=[1, 2]', '--model.segmentor.b.c={d: 1e-3}', '--model.segmentor.e=null')
    assert head['model']['segmentor'] == {**segmentor(), 'a': [1, 2], 'b': {'c': {'d': 0.001}}, 'e': None}


@pytest.mark.parametrize(
    ('flag', 'said'),
    [
        ('--model.segmentor.decode_head.loss_decode.9.x=1', "is a list of 2 and has no item '9'"),
        ('--model.segmentor.type.x=1', "model.segmentor.type is 'A' and has no 'x'"),
        ('--model.segmentor.x', '--model.segmentor.x needs a value'),
    ],
)
def test_a_flag_that_leads_nowhere_is_refused_as_typed(flag: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        overridden(flag)
    assert said in str(error.value)
    assert flag in str(error.value)


def test_other_flags_are_left_to_jsonargparse() -> None:
    words = ['fit', '--trainer.max_epochs', '3', '--data.root=x', '--data.train_transforms+={type: F}']
    arguments = read_arguments(words)
    assert take_overrides(arguments, PLAIN) == []
    assert arguments.argv() == words


def test_hyphens_in_names_and_short_forms_mean_the_same() -> None:
    arguments = read_arguments(
        ['predict', '--ckpt', 'a-b.ckpt', '--work-dir=my-dir', '-c', 'x.yaml', '--config=y.yaml']
    )
    assert arguments.argv() == ['predict', '--ckpt_path', 'a-b.ckpt', '--work_dir=my-dir']
    assert arguments.configs == ['x.yaml', 'y.yaml']
    assert (arguments.subcommand, arguments.value('--ckpt_path')) == ('predict', 'a-b.ckpt')


def test_negative_numbers_are_values() -> None:
    assert overridden('--model.segmentor.x', '-1')['model']['segmentor']['x'] == -1


def test_an_unknown_key_is_named_with_its_line_and_the_nearest() -> None:
    settings = Settings({'trainer': {'max_epoch': 3}}, {('trainer', 'max_epoch'): Origin('run.yaml', 2)})
    with pytest.raises(ConfigError, match=r"run\.yaml:2: unknown key 'trainer\.max_epoch'; did you mean 'max_epochs'"):
        check_keys(settings, frozenset({('trainer', 'max_epochs'), ('model', 'segmentor')}))
    with pytest.raises(ConfigError, match=r"unknown key 'modell'; did you mean 'model'"):
        check_keys(Settings({'modell': {'segmentor': {}}}), frozenset({('model', 'segmentor')}))


def test_a_dict_that_replaces_takes_the_blame_from_the_file_below(
    tiny_config: Path, run: Callable[..., Result]
) -> None:
    flag = '--model.optimizer={_delete_: true, type: Adam, lr: 0.001, momentum: 0.9}'
    result = run('fit', '--config', tiny_config, flag)
    assert result.err.startswith(f'seglight: {flag}: model.optimizer')
    over = tiny_config.parent / 'over.yaml'
    over.write_text('model:\n  optimizer:\n    _delete_: true\n    type: Adam\n    momentum: 0.9\n')
    result = run('fit', '--config', tiny_config, '--config', over)
    assert result.err.startswith(f'seglight: {over}:5: model.optimizer')


def test_origins_of_what_a_dict_replaces_are_forgotten_and_those_beside_it_stay() -> None:
    low, high = Origin('low.yaml', 1), Origin('high.yaml', 2)
    below = Settings({'a': {'b': {'c': 1}, 'd': 2}}, {('a', 'b'): low, ('a', 'b', 'c'): low, ('a', 'd'): low})
    over = Settings({'a': {'b': {'_delete_': True, 'e': 3}}}, {('a', 'b'): high, ('a', 'b', 'e'): high})
    merged = below.merged_with(over)
    assert merged.origins == {('a', 'b'): high, ('a', 'b', 'e'): high, ('a', 'd'): low}
