"""Small data sets, configs and ways to run a command, shared by all tests."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from seglight import compat  # noqa: F401  (first: before tests import pytorch_lightning)

# isort: split
import pytest
import torch
import yaml

from seglight import __main__ as seglight
from seglight.batch import Batch, Item, collate
from seglight.config.files import SHIPPED
from seglight.data.demo import generate

CAMVID = Path(__file__).parents[2] / 'shared' / 'camvid'

#: How processes start during the tests, also in the commands that they run: `fork`, `spawn` (the default of macOS and
#: Windows) or `forkserver` (that of Linux from Python 3.14); by default as Python has it.
START_METHOD = os.environ.get('SEGLIGHT_TEST_START_METHOD')
if START_METHOD:
    multiprocessing.set_start_method(START_METHOD, force=True)
    site = str(Path(__file__).parent / 'start_method')
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [site, os.environ.get('PYTHONPATH')]))

# Commands that tests start compute on one core, as the tests themselves do below: the other core has tests of its own.
os.environ.setdefault('OMP_NUM_THREADS', '1')

# Ray reads it when it is first imported, which another test may do before one that starts Ray on loopback.
os.environ.setdefault('RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER', '0')

#: A segmentor of a real kind, with an auxiliary head, that trains in milliseconds.
TINY_SEGMENTOR: dict[str, Any] = {
    'type': 'EncoderDecoder',
    'backbone': {
        'type': 'ResNetV1c',
        'depth': 18,
        'base_channels': 8,
        'stem_channels': 8,
        'norm_cfg': {'type': 'SyncBN', 'requires_grad': True},
    },
    'decode_head': {
        'type': 'FCNHead',
        'in_channels': 64,
        'in_index': 3,
        'channels': 16,
        'num_convs': 1,
        'norm_cfg': {'type': 'SyncBN', 'requires_grad': True},
        'loss_decode': {'type': 'CrossEntropyLoss', 'loss_weight': 1.0},
    },
    'auxiliary_head': {
        'type': 'FCNHead',
        'in_channels': 32,
        'in_index': 2,
        'channels': 8,
        'num_convs': 1,
        'norm_cfg': {'type': 'SyncBN', 'requires_grad': True},
        'loss_decode': {'type': 'CrossEntropyLoss', 'loss_weight': 0.4},
    },
    'train_cfg': {},
    'test_cfg': {'mode': 'whole'},
}


def random_batch(count: int = 4, size: int = 32, classes: int = 5, seed: int = 1) -> Batch:
    """A batch of noise, the same in every call with the same seed."""
    generator = torch.Generator().manual_seed(seed)
    items: list[Item] = [
        {
            'image': torch.randint(0, 256, (3, size, size), dtype=torch.uint8, generator=generator),
            'mask': torch.randint(0, classes, (size, size), dtype=torch.uint8, generator=generator),
            'meta': {'path': f'{index}.jpg', 'name': str(index), 'original_size': (size, size), 'size': (size, size)},
        }
        for index in range(count)
    ]
    return collate(items)


class _Failures:
    """Prints a failure when it happens: a run that is ended from outside never comes to pytest's summary."""

    def __init__(self, terminal: pytest.TerminalReporter):
        self.terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            last = report.longreprtext.strip().splitlines()[-12:]
            self.terminal.write_line('\n'.join(['', f'FAILED {report.nodeid} ({report.when})', *last]))


@pytest.hookimpl(trylast=True)  # after pytest's own, which makes the terminal's reporter
def pytest_configure(config: pytest.Config) -> None:
    """Let the process that prints name each failure at once; the workers of xdist have no terminal."""
    terminal = config.pluginmanager.get_plugin('terminalreporter')
    if terminal is not None:
        config.pluginmanager.register(_Failures(terminal))


class Result(NamedTuple):
    """What a command ended with and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _same_folder() -> Iterator[None]:
    """Return to the folder before a test: that of a test that passed is removed, so nothing would work in it."""
    before = Path.cwd()
    yield
    os.chdir(before)


@pytest.fixture(autouse=True)
def _no_launcher() -> Iterator[None]:
    """Remove what a run of several processes in a test left: a later run would wait for processes that nobody starts."""
    yield
    for name in ('LOCAL_RANK', 'RANK', 'NODE_RANK', 'GROUP_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    """Keep tiny tensors from being spread over threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated data set of 8 train, 4 val and 3 test images of 64x64, of every class in train and val; read only."""
    root = tmp_path_factory.mktemp('data')
    generate(root, seed=2, counts={'train': 8, 'val': 4, 'test': 3}, size=64)
    return root


@pytest.fixture
def own_data(data_root: Path, tmp_path: Path) -> Path:
    """A copy of the data set that a test may damage."""
    return Path(shutil.copytree(data_root, tmp_path / 'own_data'))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with a cache of its own."""
    folder = tmp_path / 'workspace'
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return folder


def write_tiny_config(path: Path, root: Path, workers: int = 0) -> Path:
    """Write a run config that inherits the shipped ones and trains `TINY_SEGMENTOR` on `root`."""
    config = {
        '_base_': [str(SHIPPED / name) for name in ('datasets/trash.yaml', 'schedules/sgd_poly.yaml', 'runtime.yaml')],
        'model': {'segmentor': TINY_SEGMENTOR},
        'data': {
            'root': str(root),
            'train_transforms': [
                {'type': 'HorizontalFlip', 'p': 0.5},
                {'type': 'RandomCrop', 'height': 48, 'width': 48},
            ],
            'batch_size': 4,
            'num_workers': workers,
        },
        'report': False,  # drawing it takes longer than the run
        'trainer': {'max_epochs': 2, 'accelerator': 'cpu', 'log_every_n_steps': 1},
    }
    path.write_text(yaml.safe_dump(config))
    return path


#: A whole config of mmseg 0.x, as its users write them: variables, tuples, `dict(...)`.
OWN_CONFIG = """
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    pretrained=None,
    backbone=dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, norm_cfg=norm_cfg),
    decode_head=dict(
        type='FCNHead', in_channels=64, in_index=3, channels=16, num_convs=1, num_classes=19, norm_cfg=norm_cfg,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
dataset_type = 'CustomDataset'
data_root = 'DATA_ROOT'
classes = ('Background', 'General trash', 'Paper', 'Paper pack', 'Metal', 'Glass', 'Plastic', 'Styrofoam',
           'Plastic bag', 'Battery', 'Clothing')
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
crop_size = (48, 64)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', img_scale=(64, 64), ratio_range=(0.5, 2.0)),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='Pad', size=crop_size, pad_val=0, seg_pad_val=255),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_semantic_seg']),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(64, 64), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True), dict(type='RandomFlip'), dict(type='Normalize', **img_norm_cfg),
        dict(type='ImageToTensor', keys=['img']), dict(type='Collect', keys=['img'])])
]
data = dict(
    samples_per_gpu=4,
    workers_per_gpu=0,
    train=dict(type='RepeatDataset', times=40000, dataset=dict(
        type=dataset_type, data_root=data_root, img_dir='img_dir/train', ann_dir='ann_dir/train', classes=classes,
        pipeline=train_pipeline)),
    val=dict(type=dataset_type, data_root=data_root, img_dir='img_dir/val', ann_dir='ann_dir/val', classes=classes,
             pipeline=test_pipeline),
    test=dict(type=dataset_type, data_root=data_root, img_dir='img_dir/test', classes=classes,
              pipeline=test_pipeline))
log_config = dict(interval=2, hooks=[dict(type='TextLoggerHook', by_epoch=False)])
dist_params = dict(backend='nccl')
log_level = 'INFO'
load_from = None
resume_from = None
workflow = [('train', 1)]
cudnn_benchmark = True
optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005)
optimizer_config = dict()
lr_config = dict(policy='poly', power=0.9, min_lr=1e-4, by_epoch=False)
runner = dict(type='IterBasedRunner', max_iters=6)
checkpoint_config = dict(by_epoch=False, interval=3)
evaluation = dict(interval=3, metric='mIoU', pre_eval=True, save_best='mIoU')
"""


@pytest.fixture
def own_config(workspace: Path, data_root: Path) -> Path:
    """`OWN_CONFIG` as `own.py` in the working folder."""
    path = workspace / 'own.py'
    path.write_text(OWN_CONFIG.replace('DATA_ROOT', data_root.as_posix()))
    return path


@pytest.fixture
def tiny_config(workspace: Path, data_root: Path) -> Path:
    """The tiny run config in the working folder."""
    return write_tiny_config(workspace / 'tiny.yaml', data_root)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run the command line in this process and return its status and what it printed."""

    def call(*argv: str | Path) -> Result:
        capfd.readouterr()
        try:
            status = seglight.run([str(word) for word in argv])
        except SystemExit as end:  # after --help and --print_config
            status = int(end.code or 0)
        return Result(status, *capfd.readouterr())

    return call


@pytest.fixture(scope='session')
def trained(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a finished run of the tiny config: two epochs."""
    folder = tmp_path_factory.mktemp('trained')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = write_tiny_config(folder / 'tiny.yaml', data_root)
        assert seglight.run(['fit', '--config', str(config)]) == 0
        yield folder / 'work_dirs' / 'exp1'


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse every connection of this thread that leaves this machine; the list holds what was asked for.

    W&B's service of an earlier test in this process may still speak and look up names with its own threads.
    """
    asked: list[str] = []
    tested = threading.get_ident()

    def guarded(original: Callable[..., Any], address: Callable[..., str]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if threading.get_ident() == tested and address(*arguments) not in ('127.0.0.1', '::1', ''):
                asked.append(str(arguments))
                raise OSError('refused by the test')
            return original(*arguments, **keywords)

        return call

    def of_socket(own: socket.socket, address: Any) -> str:
        return '' if own.family == getattr(socket, 'AF_UNIX', None) else str(address[0])

    for name in ('connect', 'connect_ex'):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name), of_socket))
    monkeypatch.setattr(socket, 'getaddrinfo', guarded(socket.getaddrinfo, lambda host, *_: str(host or '')))
    return asked


@pytest.fixture(scope='session')
def camvid() -> Path:
    """The CamVid images beside the project; tests that need them skip where they are absent."""
    if not CAMVID.is_dir():
        pytest.skip(f'the CamVid images are not there: {CAMVID}')
    return CAMVID
