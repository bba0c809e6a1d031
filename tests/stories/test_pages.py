"""Every command, config and piece of Python in the README, in docs/ and in its notebooks, in order, on a little data.

The README runs first, in a folder with images, and each other page in a copy of the folder that the README leaves:
with `work_dirs/exp1` (the demo), `work_dirs/exp2` (`pets.yaml`), `my_data`, and what `reader` below adds. A block with
`title="NAME"` is a file, written before the blocks after it. `<!-- not run: REASON -->` before a block keeps it from
being run; its commands are then compared with the options that exist, its Python is compiled, and each file of the
repository that the reason names must exist.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CAMVID, TINY_SEGMENTOR, Result
from filelock import FileLock
from pages import PAGES, ROOT, SEGLIGHT, SHELLS, Block, blocks_of, options_of, words_of
from PIL import Image

from seglight import __main__ as seglight
from seglight.config.files import SHIPPED, load_config, parse_yaml
from seglight.data import SegmentationDataModule, demo
from seglight.models import Segmentor
from seglight.models.optimizers import build_optimizer

README = blocks_of(ROOT / 'README.md')
OTHERS = [path for path in PAGES if path.name != 'README.md' and any(block.language for block in blocks_of(path))]

#: Pages in another language, whose blocks are those of the page that they translate.
TRANSLATED = {'docs/tutorials/competition.ko.md': 'docs/tutorials/competition.md'}

#: The first command of the README, whose run is whole, with its report.
FIRST = 'scripts/seglight fit --config demo.yaml'

#: What the pages call the folder of CamVid's images.
CAMVID_ON_PAGES = 'path/to/camvid'

#: What keeps a run short.
QUICK = [
    '--trainer.accelerator=cpu',
    '--trainer.limit_train_batches=1',
    '--trainer.limit_val_batches=1',
    '--data.num_workers=0',
    '--data.batch_size=2',
]

#: The images of the embedded data set, and of the reader.
COUNTS = {'train': 4, 'val': 2, 'test': 3}

ALL = [block for path in PAGES for block in blocks_of(path)]


def identity(value: Any) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


def arguments(command: str) -> list[str]:
    """The words of a command, with fewer batches and epochs where it trains."""
    words = words_of(command)
    if words[0] == 'fit' and '--print_config' not in words:
        words += QUICK if '--debug' not in words else QUICK[3:]
        if command != FIRST:
            words += [] if '--debug' in words else ['--trainer.max_epochs=2']
            words += ['--report=false']  # drawing it takes longer than such a run
    return [str(CAMVID) if word == CAMVID_ON_PAGES else word for word in words]


def competition(folder: Path) -> None:
    """Write ten images, five of them labelled, with a rectangle of a class in each, as COCO JSON."""
    (folder / 'batch_01').mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, objects = [], []
    for index in range(10):
        name = f'batch_01/{index:04}.jpg'
        pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
        images.append({'id': index, 'file_name': name, 'height': 64, 'width': 64})
        outline = [8, 8, 40, 8, 40, 40, 8, 40]
        category = 1 + index % 2
        objects.append({'id': index, 'image_id': index, 'category_id': category, 'segmentation': [outline],
                        'bbox': [8, 8, 32, 32], 'area': 1024, 'iscrowd': 0})  # fmt: skip
    categories = [{'id': 1, 'name': 'Paper'}, {'id': 2, 'name': 'Glass'}]
    train: dict[str, Any] = {'images': images[:7], 'annotations': objects[:7], 'categories': categories}
    (folder / 'train_all.json').write_text(json.dumps(train))
    (folder / 'test.json').write_text(json.dumps({'images': images[7:], 'annotations': [], 'categories': categories}))


def run(block: Block, names: dict[str, Any], done: Collection[str] = ()) -> None:
    """Run a block in the working folder, or write the file that it shows.

    Args:
        block: the block.
        names: what the blocks of Python before it on its page have defined.
        done: commands that are not typed again, since the folder has what they make.
    """
    if block.title:
        Path(block.title).write_text(block.text)
    elif block.language == 'python':
        exec(compile(block.text, str(block), 'exec'), names)
    elif block.language in SHELLS:
        for command in block.commands:
            if command in ('scripts/test', *done) or (CAMVID_ON_PAGES in command and not CAMVID.is_dir()):
                continue
            printed, warned = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(warned):
                try:
                    status = seglight.run(arguments(command))
                except SystemExit as end:  # after --help and --print_config
                    status = int(end.code or 0)
            assert status == 0, f'{block}: {command}\n{printed.getvalue()[-2000:]}{warned.getvalue()}'


@contextlib.contextmanager
def as_reader(folder: Path, cache: Path) -> Iterator[None]:
    """Work in a folder, with a cache of its own and an embedded data set of a few images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv('XDG_CACHE_HOME', str(cache))
        patch.setattr(demo, 'generate', functools.partial(demo.generate, counts=COUNTS, size=64))
        yield


@pytest.fixture(scope='session')
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has typed everything in the README; made once for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base) / 'reader'
    with FileLock(f'{folder}.lock'):
        if not (folder / 'done').exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            make_reader(folder)
            (folder / 'done').touch()
    return folder


def make_reader(folder: Path) -> None:
    """Fill a folder with images, and run the README in it."""
    folder.mkdir()
    (folder / 'configs').symlink_to(SHIPPED)
    demo.generate(folder / 'my_data', seed=3, counts=COUNTS, size=64)
    for path in folder.glob('my_data/ann_dir/*/*.png'):  # as many classes as the README's example has
        Image.fromarray(np.array(Image.open(path)) % 3).save(path)
    competition(folder / 'dataset')
    names: dict[str, Any] = {}
    with as_reader(folder, folder / '.cache'):
        for block in README:
            if not block.reason:
                run(block, names)


@pytest.mark.slow
def test_the_readme_works_in_its_order(reader: Path) -> None:
    assert len(list((reader / 'work_dirs/exp1/predictions/epoch_10/masks').glob('*.png'))) == 3
    assert len(list((reader / 'work_dirs/exp1/predictions/epoch_10/overlays').glob('*.jpg'))) == 3
    assert len(list((reader / 'masks/masks').glob('*.png'))) == 3


@pytest.mark.slow
@pytest.mark.parametrize('page', OTHERS, ids=identity)
def test_a_page_works_in_its_order(page: Path, reader: Path, tmp_path: Path) -> None:
    blocks = [block for block in blocks_of(page) if not block.reason]
    if page.relative_to(ROOT).as_posix() in TRANSLATED or not any(is_run(block) for block in blocks):
        return
    folder = tmp_path / 'reader'
    shutil.copytree(reader, folder, symlinks=True, copy_function=linked)
    names: dict[str, Any] = {}
    done = {command for block in README if block.language in SHELLS for command in block.commands}
    with as_reader(folder, folder / '.cache'):
        for block in blocks:
            run(block, names, done)


def is_run(block: Block) -> bool:
    return block.language in (*SHELLS, 'python') and not block.title


def linked(source: str, target: str) -> None:
    """Copy a file; link checkpoints, which no command changes in place."""
    if source.endswith(('.ckpt', '.jpg', '.png')):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def test_the_first_commands_are_those_of_a_clone() -> None:
    """CI runs them."""
    first = [command for block in README if block.language in SHELLS for command in block.commands][:2]
    assert first == [FIRST, 'scripts/test']


@pytest.mark.parametrize('block', [block for block in ALL if block.language in SHELLS], ids=identity)
def test_commands_that_run_are_of_seglight(block: Block) -> None:
    others = [command for command in block.commands if not command.startswith(SEGLIGHT)]
    assert block.reason or set(others) <= {'scripts/test'}, f'put <!-- not run: REASON --> before it: {others}'


@pytest.mark.parametrize('block', [block for block in ALL if block.reason], ids=identity)
def test_what_is_not_run_is_valid(block: Block, options: dict[str, set[str]]) -> None:
    for name in re.findall(r'\b(?:tests|scripts)/[\w./]+\w', f'{block.reason} {block.text}'):
        assert (ROOT / name).exists(), f'{block} names {name}'
    if block.language == 'python':
        compile(block.text, str(block), 'exec')
    for command in block.commands if block.language in SHELLS else []:
        if command.startswith(SEGLIGHT):
            name, *words = words_of(command)
            assert name in options, command
            unknown = [each for each in options_of(words) if not is_known(each, options[name])]
            assert not unknown, f'{block}: {command}: {unknown}'


@pytest.fixture(scope='session')
def options() -> dict[str, set[str]]:
    """The long options of each command, from the script that completes them."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setenv('JSONARGPARSE_ADD_PRINT_COMPLETION_ARGUMENT', 'true')
        with contextlib.suppress(SystemExit):
            seglight.run(['completion', 'bash'])
    found = re.findall(r'^_shtab_seglight_(\w+?)_option_strings=\((.*?)\)$', printed.getvalue(), re.MULTILINE)
    assert {'fit', 'predict', 'export', 'setup'} <= {name for name, _ in found}
    known = {name: {word.replace('-', '_') for word in re.findall(r'--(\S+)', text)} for name, text in found}
    known['data'] = known['fit'] | {'output', 'images'}  # which the script does not list
    known['folds'] |= known['fit']
    known['sweep'] |= known['fit']
    return known


def is_known(option: str, known: set[str]) -> bool:
    """Whether a command has an option, or one whose value the option is part of: `--model.segmentor.backbone`."""
    parts = option[2:].rstrip('+').split('.')
    return any('.'.join(parts[:end]) in known for end in range(1, len(parts) + 1))


def test_an_unknown_option_in_a_block_that_is_not_run_is_found(options: dict[str, set[str]]) -> None:
    assert is_known('--model.segmentor.backbone.depth', options['fit'])
    assert is_known('--auto_resume', options['fit'])
    assert not is_known('--auto_resumes', options['fit'])
    assert not is_known('--auto_resume', options['predict'])


@pytest.mark.parametrize('block', [block for block in ALL if block.language in ('yaml', 'yml')], ids=identity)
def test_configs_are_valid_yaml(block: Block) -> None:
    assert isinstance(parse_yaml(block.text, str(block)).values, dict)


@pytest.mark.parametrize(('translation', 'original'), TRANSLATED.items())
def test_a_translation_has_the_same_commands(translation: str, original: str) -> None:
    def blocks(name: str) -> list[tuple[str, str, str]]:
        return [(each.language, each.title, each.text) for each in blocks_of(ROOT / name) if each.language]

    assert blocks(translation) == blocks(original) != []


@pytest.mark.parametrize('page', PAGES, ids=identity)
def test_links_and_pictures_exist(page: Path) -> None:
    """As GitHub shows them; `mkdocs build --strict` checks those of the site, with their anchors."""
    text = re.sub(r'```.*?```|`[^`\n]*`', '', page.read_text(encoding='utf-8'), flags=re.DOTALL)
    for target in re.findall(r'\]\(([^)\s#]+)', text):
        generated = target.endswith('.md') and 'reference/' in target
        if '://' not in target and not generated:
            assert (page.parent / target).exists(), f'{page.name} links to {target}'


def config_of(page: str, words: str) -> Block:
    """The first config on a page that contains some words."""
    return next(each for each in blocks_of(ROOT / page) if each.language == 'yaml' and words in each.text)


def test_the_config_that_a_page_shows_is_the_shipped_one(tmp_path: Path) -> None:
    block = config_of('docs/how-to/configs.md', 'camvid.yaml')
    (tmp_path / 'camvid.yaml').write_text(block.text)
    assert load_config(tmp_path / 'camvid.yaml').values == load_config(SHIPPED / 'camvid.yaml').values


def test_the_training_config_that_a_page_shows_builds_what_it_says() -> None:
    block = config_of('docs/how-to/train.md', 'paramwise_cfg')
    module = Segmentor(TINY_SEGMENTOR, list('abc'), **parse_yaml(block.text, str(block)).values['model'])
    groups = build_optimizer(module.segmentor, module.optimizer).param_groups
    assert {group['lr'] for group in groups} == {6e-5, 6e-5 * 10}
    assert not module.segmentor.backbone.layer1[0].conv1.weight.requires_grad
    assert module.segmentor.backbone.layer2[0].conv1.weight.requires_grad


def test_the_transforms_on_a_device_that_a_page_shows_build() -> None:
    block = config_of('docs/how-to/gpu.md', 'device_transforms')
    data = SegmentationDataModule(list('abc'), **parse_yaml(block.text, str(block)).values['data'])
    assert data.device_transforms is not None
    assert [type(each).__name__ for each in data.device_transforms] == ['HorizontalFlip', 'PhotoMetricDistortion']


def test_every_file_of_a_run_is_in_the_reference(tiny_config: Path, run: Callable[..., Result]) -> None:
    for words in (['fit', '--config', tiny_config], ['validate', '--ckpt', 'exp1'], ['predict', '--ckpt', 'exp1']):
        assert run(*words).status == 0
    rows = (ROOT / 'docs/reference/run-folder.md').read_text().splitlines()
    names = [name for row in rows if row.startswith('| `') for name in re.findall(r'`([^`]+)`', row.split('|')[1])]
    patterns = [re.sub(r'\\{\w+\\}', r'\\w+', re.escape(name)) + ('.*' if name.endswith('/') else '') for name in names]
    folder = Path('work_dirs/exp1')
    files = [path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()]
    assert len(files) > 12
    assert [name for name in files if not any(re.fullmatch(each, name) for each in patterns)] == []
