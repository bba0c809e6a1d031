"""Every command and every piece of Python in the README, in its order, on a little data."""

import functools
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import CAMVID, TINY_SEGMENTOR, Result
from PIL import Image

from seglight.config.files import SHIPPED, load_config, parse_yaml
from seglight.data import SegmentationDataModule, demo
from seglight.models import Segmentor
from seglight.models.optimizers import build_optimizer

README = (Path(__file__).parents[2] / 'README.md').read_text()
SEGLIGHT = ('scripts/seglight ', 'python -m seglight ', 'seglight ')
INSTALLERS = ('pip ', 'docker ')  # they change the machine
QUICK = [
    '--trainer.accelerator=cpu',
    '--trainer.limit_train_batches=1',
    '--trainer.limit_val_batches=1',
    '--data.num_workers=0',
    '--data.batch_size=2',
]


def blocks(language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```', README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    return [line.split(' #')[0].strip() for block in blocks('sh') for line in block.splitlines()]


def arguments(command: str) -> list[str]:
    """The words of a command, with fewer batches and epochs where it trains."""
    words = shlex.split(command.removeprefix(next(start for start in SEGLIGHT if command.startswith(start))))
    if words[0] == 'fit' and '--print_config' not in words:
        words += QUICK if '--debug' not in words else QUICK[3:]
        words += [] if 'demo.yaml' in words or '--debug' in words else ['--trainer.max_epochs=2']
        words += [] if 'demo.yaml' in words else ['--report=false']  # drawing it takes longer than such a run
    return [str(CAMVID) if word == '../shared/camvid' else word for word in words]


@pytest.fixture
def readers_folder(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with `configs`, the reader's config and images, and an embedded data set of a few images."""
    (workspace / 'configs').symlink_to(SHIPPED)
    counts = {'train': 4, 'val': 2, 'test': 3}
    demo.generate(workspace / 'my_data', seed=3, counts=counts, size=64)
    for path in workspace.glob('my_data/ann_dir/*/*.png'):  # as many classes as the README's example has
        Image.fromarray(np.array(Image.open(path)) % 3).save(path)
    (workspace / 'pets.yaml').write_text(blocks('yaml')[0])
    monkeypatch.setattr(demo, 'generate', functools.partial(demo.generate, counts=counts, size=64))
    yield workspace


def test_every_command_is_known() -> None:
    others = [command for command in commands() if not command.startswith((*SEGLIGHT, *INSTALLERS))]
    others = [command for command in others if 'scripts/gpu_check' not in command]  # tests/scripts/test_gpu_check.py
    assert others == ['scripts/test', 'source <(seglight completion bash)']  # this test, and that of completion
    assert commands()[0] == 'scripts/seglight fit --config demo.yaml'


@pytest.mark.slow
def test_the_commands_work_in_their_order(readers_folder: Path, run: Callable[..., Result]) -> None:
    for command in commands():
        if command.startswith('seglight setup --'):  # with a network, and a folder made by pip
            continue
        if command.startswith(SEGLIGHT) and not ('shared/camvid' in command and not CAMVID.is_dir()):
            done = run(*arguments(command))
            assert done.status == 0, (command, done.err)
    assert len(list(Path('work_dirs/exp1/predictions/epoch_10/masks').glob('*.png'))) == 3
    assert len(list(Path('work_dirs/exp1/predictions/epoch_10/overlays').glob('*.jpg'))) == 3
    assert len(list(Path('masks/masks').glob('*.png'))) == 3
    for block in blocks('python'):
        exec(compile(block, 'README.md', 'exec'), {})


def test_the_config_it_shows_is_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / 'camvid.yaml').write_text(blocks('yaml')[1])
    assert load_config(tmp_path / 'camvid.yaml').values == load_config(SHIPPED / 'camvid.yaml').values


def test_the_training_config_it_shows_builds_what_it_says() -> None:
    text = next(block for block in blocks('yaml') if 'paramwise_cfg' in block)
    module = Segmentor(TINY_SEGMENTOR, list('abc'), **parse_yaml(text, 'README.md').values['model'])
    groups = build_optimizer(module.segmentor, module.optimizer).param_groups
    assert {group['lr'] for group in groups} == {6e-5, 6e-5 * 10}
    assert not module.segmentor.backbone.layer1[0].conv1.weight.requires_grad
    assert module.segmentor.backbone.layer2[0].conv1.weight.requires_grad


def test_the_transforms_on_a_device_that_it_shows_build() -> None:
    text = next(block for block in blocks('yaml') if 'device_transforms' in block)
    data = SegmentationDataModule(list('abc'), **parse_yaml(text, 'README.md').values['data'])
    assert data.device_transforms is not None
    assert [type(each).__name__ for each in data.device_transforms] == ['HorizontalFlip', 'PhotoMetricDistortion']


def test_the_picture_is_there() -> None:
    for path in re.findall(r'!\[.*?\]\((.*?)\)', README):
        assert (Path(__file__).parents[2] / path).is_file()
