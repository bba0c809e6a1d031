"""`trainer.precision: auto` on processors with and without bfloat16."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Result

import seglight
from seglight.cli import auto_precision

Run = Callable[..., Result]

FLAGS = {
    'Sapphire Rapids': 'flags\t\t: fpu avx512f amx_bf16 amx_tile',
    'Zen 4': 'flags\t\t: fpu avx512f avx512_bf16',
    'Ice Lake': 'flags\t\t: fpu avx512f avx512_vnni',
    'Graviton': 'Features\t: fp asimd',
}


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [('Sapphire Rapids', 'bf16-mixed'), ('Zen 4', 'bf16-mixed'), ('Ice Lake', '32-true'), ('Graviton', '32-true')],
)
def test_the_instructions_of_the_cpu_decide(
    flags: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'cpuinfo').write_text(FLAGS[flags])
    monkeypatch.setattr(auto_precision, '_CPU_INFO', tmp_path / 'cpuinfo')
    assert auto_precision.chosen_precision('auto', 'cpu') == expected
    assert capsys.readouterr().out.startswith(f'Precision  {expected}, since the CPU ')


def test_systems_without_a_list_of_instructions_train_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_precision, '_CPU_INFO', tmp_path / 'absent')
    assert auto_precision.chosen_precision('auto', 'cpu') == '32-true'


@pytest.mark.parametrize(('native', 'expected'), [(True, 'bf16-mixed'), (False, '32-true')])
def test_a_gpu_decides_where_there_is_one(native: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.accelerator.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda **_: native)
    assert auto_precision.chosen_precision('auto', 'auto') == expected


@pytest.mark.parametrize('precision', [None, '32-true', '16-mixed'])
def test_other_values_are_left_to_lightning(precision: str | None) -> None:
    assert auto_precision.chosen_precision(precision, 'auto') == precision


def test_a_run_stores_the_precision_that_it_trains_with(
    tiny_config: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'cpuinfo').write_text(FLAGS['Zen 4'])
    monkeypatch.setattr(auto_precision, '_CPU_INFO', tmp_path / 'cpuinfo')
    words = ['--trainer.precision=auto', '--trainer.accelerator=cpu']
    done = run('fit', '--config', tiny_config, *words, '--trainer.max_epochs=1', '--work-dir=run')
    assert done.status == 0, done.err
    assert 'Precision  bf16-mixed, since the CPU has instructions for bfloat16' in done.out
    assert yaml.safe_load(Path('run/config.yaml').read_text())['trainer']['precision'] == 'bf16-mixed'
    (tmp_path / 'cpuinfo').write_text(FLAGS['Ice Lake'])  # another machine goes on with the same precision
    resumed = run('fit', '--ckpt', 'run', '--trainer.max_epochs=2')
    assert resumed.status == 0, resumed.err
    assert 'Precision' not in resumed.out
    assert seglight.read_config(tiny_config, overrides=words)['trainer']['precision'] == '32-true'
    refused = run('fit', '--config', tiny_config, '--trainer.precision=automatic')
    assert refused.status == 2
    assert 'trainer.precision' in refused.err
