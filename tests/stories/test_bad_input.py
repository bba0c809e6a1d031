"""What a user can get wrong: one line that names file and cause, status 2, nothing left behind."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Result, write_tiny_config
from PIL import Image

Run = Callable[..., Result]
Change = Callable[[Path, Path], None]


def only(result: Result, *said: str) -> None:
    """Assert that a command failed with one line that says all of `said`, and no traceback."""
    assert result.status == 2, result
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith('seglight: ')
    assert len(lines[0]) < 400, lines[0]
    for part in said:
        assert part in lines[0], (part, lines[0])


CONFIG_ERRORS = {
    'a config that is not there': (['fit', '--config', 'dmeo.yaml'], ["'dmeo.yaml' was not found", "'demo.yaml'"]),
    'a command that does not exist': (['fti', '--config', 'demo.yaml'], ['fti', 'fit']),
    'no command': ([], ['no command given; choose one of fit']),
    'data without a command': (['data'], ['data: the following arguments are required: check|show|pack|labels (']),
    '--config without a name': (['fit', '--config'], ['--config needs the name']),
    'an unknown flag': (['fit', '--config', 'tiny.yaml', '--trainer.max_epoch=3'], ['trainer.max_epoch', 'max_epochs']),
    'an unknown flag at the top': (['fit', '--config', 'tiny.yaml', '--work-dri', 'x'], ['--work-dri', 'work_dir']),
    'a value of the wrong type': (
        ['fit', '--config', 'tiny.yaml', '--data.batch_size=many'],
        ['data.batch_size', 'many'],
    ),
    'predict without a checkpoint': (['predict'], ['predict needs a checkpoint', '--ckpt']),
    'a checkpoint that is not there': (
        ['predict', '--ckpt', 'exp7/epoch_1.ckpt'],
        ["'exp7/epoch_1.ckpt' was not found"],
    ),
    'a key of the model that nothing takes, where the config is only printed': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.decode_head.chanels=3', '--print_config'],
        ['--model.segmentor.decode_head.chanels=3', "'channels'"],
    ),
    'parts of a model that do not fit together': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.decode_head.in_channels=32'],
        ['model.segmentor cannot train on images of 48x48 pixels: Given groups=1', '--debug shows where'],
    ),
    'a batch of one image before a pooling head': (
        [
            'fit',
            '--config',
            'tiny.yaml',
            '--data.batch_size=1',
            '--model.segmentor.decode_head={_delete_: true, type: PSPHead, in_channels: 64, in_index: 3, channels: 8, norm_cfg: {type: BN}}',
        ],
        ['set data.batch_size to 2 or more'],
    ),
    'a run without a checkpoint': (['predict', '--ckpt', '.'], ['. contains no checkpoint']),
    'an index into a dict': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.decode_head.loss_decode.0.loss_weight=1'],
        ['--model.segmentor.decode_head.loss_decode.0.loss_weight=1', 'is a dict, not a list'],
    ),
    'a value that mmseg cannot use': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.decode_head.dropout_ratio=high'],
        ['--model.segmentor.decode_head.dropout_ratio=high: model.segmentor.decode_head cannot be built'],
    ),
    'an unknown head': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.decode_head.type=FCNHaed'],
        ['model.segmentor.decode_head', 'FCNHaed', "'FCNHead'"],
    ),
    'an unknown argument of a transform': (
        ['fit', '--config', 'tiny.yaml', '--data.train_transforms.1.hieght=3'],
        ['data.train_transforms.1', 'hieght', "'height'"],
    ),
    'a transform beyond the list': (
        ['fit', '--config', 'tiny.yaml', '--data.train_transforms.5.p=1'],
        ['--data.train_transforms.5.p=1', 'list of 2'],
    ),
    'a palette that does not fit': (['fit', '--config', 'tiny.yaml', '--data.palette=[[1,2,3]]'], ['palette', '11']),
    'an unknown key of a head': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.decode_head.chanels=3'],
        ['--model.segmentor.decode_head.chanels=3', "FCNHead has no argument 'chanels'", "did you mean 'channels'"],
    ),
    'an unknown argument of the optimizer': (
        ['fit', '--config', 'tiny.yaml', '--model.optimizer.lrr', '3'],
        ['--model.optimizer.lrr', "SGD has no argument 'lrr'", "did you mean 'lr'"],
    ),
    'an unknown argument of the schedule': (
        ['fit', '--config', 'tiny.yaml', '--model.schedule.powr=3'],
        ['--model.schedule.powr=3', "the policy poly has no argument 'powr'", "did you mean 'power'"],
    ),
    'a value that is no choice': (
        ['fit', '--config', 'tiny.yaml', '--trainer.precision=12'],
        ['--trainer.precision=12', 'expected one of', "'16-mixed'", "got '12'"],
    ),
    'a callback that is no class path': (
        ['fit', '--config', 'tiny.yaml', '--trainer.callbacks+=Foo'],
        ['--trainer.callbacks+=Foo', "'Foo' is not a class path"],
    ),
    'class weights that do not fit': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.decode_head.loss_decode.class_weight=[1, 2]'],
        ['decode_head.loss_decode.class_weight has 2 weights for 11 classes', 'null'],
    ),
    'a batch of nothing': (
        ['fit', '--config', 'tiny.yaml', '--data.batch_size=0'],
        ['data.batch_size must be at least 1, got 0'],
    ),
    'workers below zero': (
        ['fit', '--config', 'tiny.yaml', '--data.num_workers=-1'],
        ['data.num_workers must be at least 0'],
    ),
    'a batch of a mistyped size': (
        ['fit', '--config', 'tiny.yaml', '--data.batch_size=8000000000000000000000'],
        ['data.batch_size must be at most 1048576, got 8'],
    ),
    'a mistyped number of workers': (
        ['fit', '--config', 'tiny.yaml', '--data.num_workers=44444'],
        ['data.num_workers must be at most 1024, got 44444'],
    ),
    'a mistyped number of devices': (
        ['fit', '--config', 'tiny.yaml', '--trainer.devices=44444'],
        ['trainer.devices must be at most 1024, got 44444'],
    ),
    'a negative learning rate': (
        ['fit', '--config', 'tiny.yaml', '--model.schedule={_delete_: true, policy: step, step: 1, gamma: -1}'],
        ['model.schedule has the learning rate -', 'must be 0 or more'],
    ),
    'an ignored label that no mask can have': (
        ['fit', '--config', 'tiny.yaml', '--data.ignore_index=300'],
        ['data.ignore_index must be 0 to 255, got 300'],
    ),
    'an ignored label that is that of a class': (
        ['fit', '--config', 'tiny.yaml', '--data.ignore_index=3'],
        ['--data.ignore_index=3: data.ignore_index is 3, the label of the class'],
    ),
    'a seed below zero': (
        ['fit', '--config', 'tiny.yaml', '--seed=-5'],
        ['seed_everything: -5 is not in bounds, numpy accepts from 0'],
    ),
    'an unknown way of inference': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.test_cfg.mode=slied'],
        ["test_cfg.mode must be 'whole' or 'slide', got 'slied'"],
    ),
    'a sliding window without a stride': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.test_cfg={mode: slide, crop_size: [32, 32]}'],
        ["model.segmentor.test_cfg needs stride in mode 'slide'"],
    ),
    'pretrained weights that are not there': (
        ['fit', '--config', 'tiny.yaml', '--model.segmentor.pretrained=gone/r18.pth'],
        ['model.segmentor', 'gone/r18.pth can not be found'],
    ),
    'a crop larger than the images': (
        ['fit', '--config', 'tiny.yaml', '--data.train_transforms.1.height=300'],
        ['The transforms of the config fail on the image', '.jpg', 'Crop size'],
    ),
    'a metric that is none': (
        ['fit', '--config', 'tiny.yaml', '--best_checkpoint.metric=mIuo'],
        ["best_checkpoint.metric: unknown metric 'mIuo'; did you mean 'mIoU'?"],
    ),
    'an interval of nothing': (
        ['fit', '--config', 'tiny.yaml', '--checkpoint.interval=0'],
        ['checkpoint.interval must be at least 1'],
    ),
    'a work dir that is a file': (
        ['fit', '--config', 'tiny.yaml', '--work-dir', 'tiny.yaml'],
        ['cannot create the run folder tiny.yaml: '],
    ),
    'a checkpoint without --ckpt': (['predict', 'exp5/epoch_1.ckpt'], ['--ckpt exp5/epoch_1.ckpt']),
    'a typo in the middle of a flag': (
        ['fit', '--config', 'tiny.yaml', '--model.segmntor.decode_head.channels=3'],
        ["did you mean '--model.segmentor'"],
    ),
    'a transform that lacks an argument': (
        ['fit', '--config', 'tiny.yaml', '--data.train_transforms=[{type: RandomCrop}]'],
        ['data.train_transforms.0: RandomCrop cannot be built: height: Field required; width: Field required'],
    ),
    'a number that is none': (
        ['fit', '--config', 'tiny.yaml', '--trainer.max_epochs=two'],
        ["--trainer.max_epochs=two: trainer.max_epochs: expected int, null, got 'two'"],
    ),
    'nothing to train': (['fit'], ['fit needs model.segmentor, data.classes', '--config']),
    'an accelerator that is not there': (
        ['fit', '--config', 'tiny.yaml', '--trainer.accelerator=tpu'],
        ['trainer: '],
    ),
    'an optimizer that does not exist': (
        ['fit', '--config', 'tiny.yaml', '--model.optimizer.type=AdamWW'],
        ['--model.optimizer.type=AdamWW', "torch has no optimizer 'AdamWW'", "did you mean 'AdamW'"],
    ),
    'a schedule that does not exist': (
        ['fit', '--config', 'tiny.yaml', '--model.schedule.policy=cosin'],
        ['--model.schedule.policy=cosin', "unknown policy 'cosin'", "did you mean 'cosine'"],
    ),
    'what another optimizer left behind': (
        ['fit', '--config', 'tiny.yaml', '--model.optimizer.type=AdamW'],
        ["AdamW has no argument 'momentum'", '_delete_: true'],
    ),
    'a part to freeze that is not there': (
        ['fit', '--config', 'tiny.yaml', '--model.frozen=[backbon]'],
        ['--model.frozen=[backbon]', "did you mean 'backbone'"],
    ),
}


@pytest.mark.parametrize('case', CONFIG_ERRORS)
def test_wrong_command_line(case: str, tiny_config: Path, run: Run) -> None:
    argv, said = CONFIG_ERRORS[case]
    only(run(*argv), *said)
    assert not list(Path().glob('work_dirs/*'))


YAML_ERRORS = {
    'an unknown key': ('trainer: {max_epoch: 3}', ['bad.yaml:2', "'trainer.max_epoch'", "did you mean 'max_epochs'"]),
    'an unknown key at the top': ('modle: {}', ['bad.yaml:2', "'modle'", "did you mean 'model'"]),
    'a value of the wrong type': (
        'data:\n  batch_size: many',
        ["bad.yaml:3: data.batch_size: expected int, got 'many'"],
    ),
    'a group with a single value': ('trainer: 3', ['bad.yaml:2', "'trainer'"]),
    'a class that does not exist': (
        'trainer: {callbacks: [{class_path: seglight.callbacks.EpochLine}]}',
        ['bad.yaml:2: trainer.callbacks', "has no 'EpochLine'", "did you mean 'EpochLines'"],
    ),
    'a nested value that is no choice': (
        'model: {schedule: {warmup: lin}}',
        ['bad.yaml:2: model.schedule', '"lin" is not a supported type for warming up'],
    ),
    'a transform that is no dict': (
        'data: {train_transforms: [RandomCrop]}',
        ["bad.yaml:2: data.train_transforms: expected list[dict[str, Any]], null, got 'RandomCrop'"],
    ),
    'an argument that a class needs': (
        'trainer: {callbacks: [{class_path: EarlyStopping}]}',
        ['bad.yaml:2: trainer.callbacks: pytorch_lightning.callbacks.EarlyStopping needs monitor'],
    ),
    'an unknown key of a head': (
        'model:\n  segmentor:\n    decode_head: {chanels: 3}',
        ['bad.yaml:4: model.segmentor.decode_head', "FCNHead has no argument 'chanels'", "'channels'"],
    ),
    'an unknown transform': (
        'data:\n  train_transforms:\n    - {type: HorizontalFlip}\n    - {type: RandomCorp}',
        ['bad.yaml:5: data.train_transforms.1', "no transform 'RandomCorp'", "'RandomCrop'"],
    ),
}


@pytest.mark.parametrize('case', YAML_ERRORS)
def test_wrong_config_file(case: str, tiny_config: Path, run: Run) -> None:
    text, said = YAML_ERRORS[case]
    Path('bad.yaml').write_text(f'_base_: tiny.yaml\n{text}\n')
    only(run('fit', '--config', 'bad.yaml'), *said)
    assert not Path('work_dirs').exists()


def edit_mask(change: Callable[[np.ndarray], np.ndarray], split: str = 'train') -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = root / 'ann_dir' / split / '0001.png'
        Image.fromarray(change(np.array(Image.open(path)))).save(path)

    return edit


def label_of_20(mask: np.ndarray) -> np.ndarray:
    mask[0, 0] = 20
    return mask


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def empty(root: Path) -> None:
    for path in (root / 'img_dir/val').iterdir():
        path.unlink()


DATA_ERRORS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    'a missing image folder': (lambda root: (root / 'img_dir').rename(root / 'images'), ['img_dir/train', 'does not exist', 'data.root']),
    'a missing mask folder': (lambda root: (root / 'ann_dir').rename(root / 'masks'), ['ann_dir/train', 'does not exist']),
    'an image without a mask': (lambda root: (root / 'ann_dir/val/0001.png').unlink(), ['val/0001.jpg has no mask', 'val/0001.png']),
    'a mask of another size': (edit_mask(lambda mask: mask[:10, :20]), ['train/0001.png is 20x10', 'train/0001.jpg is 64x64']),
    'a label outside the classes': (edit_mask(label_of_20), ['train/0001.png has the label 20', '11 classes', 'labels 0 to 10']),
    'a label outside the classes in val': (edit_mask(label_of_20, 'val'), ['val/0001.png has the label 20']),
    'an unreadable image': (lambda root: (root / 'img_dir/train/0001.jpg').write_text('text'), ['train/0001.jpg', 'damaged or not an image']),
    'an empty image': (lambda root: (root / 'img_dir/val/0001.jpg').write_bytes(b''), ['val/0001.jpg', 'it is empty; replace or remove it']),
    'an unreadable mask': (lambda root: (root / 'ann_dir/train/0001.png').write_text('text'), ['train/0001.png', 'damaged or not an image']),
    'an image that is cut off': (lambda root: cut_off(root / 'img_dir/train/0001.jpg'), ['train/0001.jpg', 'cut off or damaged']),
    'a mask that is cut off': (lambda root: cut_off(root / 'ann_dir/train/0001.png'), ['train/0001.png', 'cut off or damaged']),
    'two images that differ in their suffix alone': (
        lambda root: Image.new('RGB', (64, 64)).save(root / 'img_dir/train/0001.png'), ['train/0001.png has the name of 0001.jpg']),
    'an empty folder': (empty, ['img_dir/val contains no image']),
}  # fmt: skip


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('case', DATA_ERRORS)
def test_wrong_data(case: str, workers: int, own_data: Path, workspace: Path, run: Run) -> None:
    change, said = DATA_ERRORS[case]
    change(own_data)
    config = write_tiny_config(workspace / 'tiny.yaml', own_data, workers)
    only(run('fit', '--config', config), *said)
    assert not list(workspace.glob('work_dirs/*'))


class Payload:
    """A pickle that makes a file when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ('was_run',)


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(), protocol=2))  # as torch.save does


CHECKPOINT_ERRORS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    'a text': (lambda path: path.write_text('no checkpoint'), ['a.ckpt is not a checkpoint, or it is truncated or damaged']),
    'an empty file': (lambda path: path.write_bytes(b''), ['a.ckpt is not a checkpoint']),
    'an image': (lambda path: Image.new('RGB', (4, 4)).save(path, 'PNG'), ['a.ckpt is not a checkpoint']),
    'a pickle that runs code': (write_pickle, ['a.ckpt is refused', 'would execute code']),
    'a torch file that runs code': (lambda path: torch.save({'state_dict': Payload()}, path), ['a.ckpt', 'would execute code']),
    'a tensor': (lambda path: torch.save(torch.zeros(3), path), ['a.ckpt', 'no state_dict']),
    'weights without a config': (lambda path: torch.save({'state_dict': {}}, path), ['a.ckpt stores no config', '--config']),
}  # fmt: skip


@pytest.mark.parametrize('case', CHECKPOINT_ERRORS)
def test_wrong_checkpoint(case: str, workspace: Path, run: Run) -> None:
    write, said = CHECKPOINT_ERRORS[case]
    write(Path('a.ckpt'))
    only(run('predict', '--ckpt', 'a.ckpt'), *said)
    assert list(Path().iterdir()) == [Path('a.ckpt')]


def test_a_truncated_checkpoint(trained: Path, workspace: Path, run: Run) -> None:
    Path('a.ckpt').write_bytes((trained / 'epoch_2.ckpt').read_bytes()[:100_000])
    only(run('predict', '--ckpt', 'a.ckpt'), 'a.ckpt is not a checkpoint')


def test_a_checkpoint_of_another_model(trained: Path, workspace: Path, run: Run) -> None:
    flag = '--model.segmentor.decode_head.channels=8'
    only(run('predict', '--ckpt', trained / 'epoch_2.ckpt', flag), 'epoch_2.ckpt', 'segmentor.decode_head')


def test_a_work_dir_that_holds_something_is_not_touched(tiny_config: Path, run: Run) -> None:
    Path('mine').mkdir()
    Path('mine/file').write_text('keep')
    only(run('fit', '--config', tiny_config, '--work-dir', 'mine'), '--work-dir mine is not empty')
    assert Path('mine/file').read_text() == 'keep'


def test_debug_shows_the_traceback_too(tiny_config: Path, run: Run) -> None:
    done = run('fit', '--config', 'gone.yaml', '--debug')
    assert done.status == 2
    assert 'Traceback' in done.err
    assert done.err.splitlines()[-1].startswith("seglight: Config 'gone.yaml' was not found")


def test_the_exit_status_reaches_the_shell(workspace: Path) -> None:
    done = subprocess.run([sys.executable, '-m', 'seglight', 'fit', '--config', 'no'], capture_output=True, text=True)
    only(Result(done.returncode, done.stdout, done.stderr), "'no' was not found")


def test_config_files_run_no_code_beyond_the_classes_they_name(tiny_config: Path, run: Run) -> None:
    bad = yaml.safe_load(tiny_config.read_text())
    Path('bad.yaml').write_text(yaml.safe_dump(bad) + "\nx: !!python/object/apply:os.mkdir ['was_run']\n")
    only(run('fit', '--config', 'bad.yaml'), 'bad.yaml', 'not valid YAML')
    assert not Path('was_run').exists()
