"""Secrets are stored nowhere."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from conftest import Result

from seglight.masking import masked, masked_command, masked_text, masked_yaml


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('see https://user:pw@host/x', 'see https://***@host/x'),
        ('s3://key@bucket/x and ftp://a:b@c', 's3://***@bucket/x and ftp://***@c'),
        ('https://host/x?token=abc&y=1', 'https://host/x?token=***&y=1'),
        ('api_key: abc, a: 1', 'api_key: ***, a: 1'),
        ("{'password': 'p q', 'a': 1}", "{'password': ***, 'a': 1}"),
        ('hf_abcdefghijklmnopqrstuv', '***'),
        ('mail me@host, key figures: none, tokens 5', 'mail me@host, key figures: none, tokens 5'),
        ('https://host/a@b', 'https://host/a@b'),
        ('https://user:p/w@host/x', 'https://***@host/x'),
        ('see https://user:p?w#1@host/x now', 'see https://***@host/x now'),
        ('git+ssh://u:p@w@host/x', 'git+ssh://***@host/x'),
        ('accessToken=abc clientSecret: "d e"', 'accessToken=*** clientSecret: ***'),
        ('{api_keys: [a, b], a: 1}', '{api_keys: ***, a: 1}'),
        ('authorization: Bearer abc', 'authorization: ***'),
        ('--num_tokens=4 tokens=4a', '--num_tokens=4 tokens=***'),
    ],
)
def test_a_text(text: str, expected: str) -> None:
    assert masked_text(text) == expected


def test_values_by_their_keys() -> None:
    values = {'api_key': 'a', 'key': 1, 'my-token': 'b', 'PASSWORD': 'c', 'inner': [{'client_secret': 'd'}]}
    assert masked(values) == {**dict.fromkeys(values, '***'), 'inner': [{'client_secret': '***'}]}
    assert masked({'accessToken': 'a', 'apikey': 'b', 'clientSecret': 'c'}) == {
        'accessToken': '***',
        'apikey': '***',
        'clientSecret': '***',
    }
    several = {'api_keys': ['a', {'b': 'c'}], 'tokens': {'x': 'a'}, 'token': ['a', 'b']}
    assert masked(several) == {'api_keys': ['***', {'b': '***'}], 'tokens': {'x': '***'}, 'token': ['***', '***']}
    kept = {'keys': ['img', 'mask'], 'patch_tokens': [4, 5]}
    assert masked(kept) == kept
    kept = {'num_tokens': 4, 'cls_token': True, 'custom_keys': {'a': 1}, 'metadata_key': 'm', 'token': None}
    assert masked(kept) == kept


def test_a_command() -> None:
    words = [
        'fit',
        '--a.token',
        'abc',
        '--b.api-key=5',
        '--c={token: abc, a: 1}',
        '--tags',
        'https://u:p@h',
        '--keys=3',
        '--d.apiKey=5',
        '--d.api_keys=[x, y]',
        '--d.accessTokens',
        'z',
    ]
    hidden = ['fit', '--a.token', '***', '--b.api-key=***', '--c={token: ***, a: 1}', '--tags', 'https://***@h', '--keys=3', '--d.apiKey=***', '--d.api_keys=***', '--d.accessTokens', '***']  # fmt: skip
    assert masked_command(words) == hidden


def test_a_text_without_secrets_stays_as_it_is() -> None:
    assert masked_yaml('a:   1  # this\n') == 'a:   1  # this\n'


def test_a_run_stores_none(tiny_config: Path, run: Callable[..., Result]) -> None:
    secrets = ['--wandb.notes=https://user:hunter2@host/', '--tags=[token=hunter2]', '--wandb.group=password: hunter2']
    done = run('fit', '--config', tiny_config, '--trainer.max_epochs=1', *secrets)
    assert done.status == 0, done.err
    files = [path for path in Path('work_dirs/exp1').rglob('*') if path.is_file()]
    assert any(path.suffix == '.ckpt' for path in files)
    assert not [path for path in files if b'hunter2' in path.read_bytes()]
    assert yaml.safe_load(torch.load('work_dirs/exp1/epoch_1.ckpt', weights_only=True)['config'])['wandb']['notes'] == (
        'https://***@host/'
    )
