"""Every config that comes with the project."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Result

from seglight.config.files import SHIPPED, load_config

Run = Callable[..., Result]
RUNS = sorted(path.name for path in SHIPPED.glob('*.yaml') if path.name != 'runtime.yaml')


@pytest.mark.slow
@pytest.mark.parametrize('name', RUNS)
def test_a_run_parses_builds_and_takes_a_step(workspace: Path, data_root: Path, run: Run, name: str) -> None:
    flags = ['--data.batch_size=2', '--data.num_workers=0', '--trainer.max_steps=1', '--trainer.limit_val_batches=0']
    flags.append('--report=false')  # drawing it takes longer than the step
    if load_config(SHIPPED / name).values['model']['segmentor'].get('backbone', {}).get('type') == 'TIMMBackbone':
        flags.append('--model.segmentor.backbone.pretrained=false')  # the weights come from the hub
    result = run('fit', '--config', name, '--data.root', data_root, *flags)
    assert result.status == 0, result.err
    stored = yaml.safe_load((workspace / 'work_dirs/exp1/config.yaml').read_text())
    assert stored['data']['root'] == str(data_root)


def test_parts_are_in_the_folders_of_their_kind() -> None:
    for kind, keys in {'models': {'model'}, 'datasets': {'data'}, 'schedules': {'model'}}.items():
        parts = list((SHIPPED / kind).glob('*.yaml'))
        assert parts
        for path in parts:
            assert set(yaml.safe_load(path.read_text())) == keys, path
    assert all('_base_' in yaml.safe_load((SHIPPED / name).read_text()) for name in RUNS)
