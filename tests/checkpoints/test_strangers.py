"""A stranger's checkpoint runs no code, opens and fetches nothing that it names, and stays within bounds."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from checkpoints.attacks import changed, plant_canary, set_key
from conftest import Result

import seglight
from seglight.checkpoints.gate import admit
from seglight.errors import CheckpointError
from seglight.models import Segmentor
from seglight.models.pretrained import without_pretrained

Run = Callable[..., Result]
Change = Callable[[dict[str, Any], dict[str, Any]], None]

LOSS = ('model', 'segmentor', 'decode_head', 'loss_decode')
TIMM = {'type': 'TIMMBackbone', 'model_name': 'resnet18', 'features_only': True}


def within_loss(name: str, **arguments: str) -> dict[str, Any]:
    """A head in place of a backbone, with a class of this project in what stands for its loss."""
    inner = {'type': 'EncoderDecoder', 'backbone': {'type': f'seglight.models.{name}', **arguments}}
    return {'type': 'FCNHead', 'in_channels': 3, 'channels': 4, 'num_classes': 2, 'loss_decode': inner}


def test_sources_keep_how_they_are_used() -> None:
    source = {'type': 'FolderSource', 'img_dir': 'images', 'ann_dir': 'masks', 'repeat': 0.5, 'only_train': True}
    values = {'data': {'train': ['train', source], 'split': {'val_fraction': 0.2}}}
    assert admit(values, Path('a.ckpt')) == (values, {})
    for group in ('train_transforms', 'mixes'):
        assert admit({'data': {group: [{'type': 'CutMix', 'only_train': True}]}}, Path('a.ckpt'))[1]


def test_the_guard_sees_connections_of_its_own_thread_alone(no_network: list[str]) -> None:
    with pytest.raises(OSError, match='refused by the test'):
        socket.create_connection(('198.51.100.1', 80), timeout=1)
    assert len(no_network) == 1
    other = threading.Thread(target=socket.getaddrinfo, args=('127.0.0.1', 80))
    other.start()
    other.join()
    assert len(no_network) == 1


@pytest.fixture
def canary(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Plant modules and a pickle in the working folder, which Python imports from; the file shows that they ran."""
    monkeypatch.syspath_prepend(str(workspace))
    return plant_canary(workspace)


def only(result: Result, *said: str) -> None:
    """Assert that a command ended with one line that says all of `said`."""
    assert result.status == 2, result
    lines = [line for line in result.err.splitlines() if not line.startswith('seglight: warning')]
    assert len(lines) == 1, result.err
    assert all(part in lines[0] for part in said), lines[0]
    assert len(lines[0]) < 500


#: Changes that any command which uses the key must refuse, and the key in the line.
REFUSED: dict[str, tuple[Change, str]] = {
    'a transform of the working folder': (
        set_key('data', 'val_transforms', value=[{'class_path': 'canary.Flip', 'init_args': {}}]),
        'data.val_transforms.0',
    ),
    'the same in the short form': (
        set_key('data', 'val_transforms', value=[{'type': 'canary.Flip'}]),
        'data.val_transforms.0',
    ),
    'within another transform': (
        set_key('data', 'val_transforms', value=[{'type': 'OneOf', 'transforms': [{'type': 'canary.Flip'}]}]),
        'data.val_transforms.0.transforms.0',
    ),
    'a module of the standard library': (
        set_key('data', 'val_transforms', value=[{'type': 'antigravity.X'}]),
        'data.val_transforms.0',
    ),
    'a font': (
        set_key('data', 'val_transforms', value=[{'type': 'TextImage', 'font_path': 'w.pkl'}]),
        'data.val_transforms.0.font_path',
    ),
    'an image to adapt to': (
        set_key('data', 'val_transforms', value=[{'type': 'FDA', 'reference_images': ['w.pkl']}]),
        'data.val_transforms.0.reference_images',
    ),
    'an image without end': (
        set_key('data', 'val_transforms', value=[{'type': 'Resize', 'height': 10**6, 'width': 10**6}]),
        'data.val_transforms.0.height',
    ),
    'a backbone of the working folder': (
        set_key('model', 'segmentor', 'backbone', 'type', value='canary.Net'),
        'model.segmentor.backbone.type',
    ),
    'a backbone from the hub': (
        set_key('model', 'segmentor', 'backbone', value={**TIMM, 'model_name': 'hf-hub:evil/model'}),
        'model.segmentor.backbone.model_name',
    ),
    'a config of weights from the hub': (
        set_key('model', 'segmentor', 'backbone', value={**TIMM, 'pretrained_cfg': 'hf-hub'}),
        'model.segmentor.backbone',
    ),
    'a path where a word belongs': (
        set_key('model', 'segmentor', 'backbone', 'style', value='../x.pkl'),
        'model.segmentor.backbone.style',
    ),
    'a wrapper of a class': (
        set_key('model', 'segmentor', 'neck', value={'type': 'ClassPathLoss', 'loss': {'type': 'canary_loss.Loss'}}),
        'model.segmentor.neck.type',
    ),
    'a backbone by path within a loss of a backbone': (
        set_key(
            'model',
            'segmentor',
            'backbone',
            value=within_loss('adapters.timm.MmsegTIMMBackbone', model_name='resnet18'),
        ),
        'model.segmentor.backbone.loss_decode.backbone.type',
    ),
    'an exported file within a loss of a backbone': (
        set_key(
            'model', 'segmentor', 'backbone', value=within_loss('adapters.exported.ExportedSegmentor', path='notes')
        ),
        'model.segmentor.backbone.loss_decode.backbone.type',
    ),
    'a head that repeats for ever': (
        set_key('model', 'segmentor', 'decode_head', 'recurrence', value=10**9),
        'model.segmentor.decode_head.recurrence',
    ),
    'windows without end': (
        set_key('model', 'segmentor', 'test_cfg', value={'mode': 'slide', 'crop_size': [64, 64], 'stride': [1, 1]}),
        'model.segmentor.test_cfg',
    ),
    'an ignored label that is a list': (set_key('data', 'ignore_index', value=[255]), 'data.ignore_index'),
    'an ignored label that is none': (set_key('data', 'ignore_index', value=2**40), 'data.ignore_index'),
    'a range that is a text': (set_key('data', 'image_range', value='white'), 'data.image_range'),
    'a range of other keys': (set_key('data', 'image_range', value={1: 2, 'a': 3}), 'data.image_range'),
    'a seed that is a dict': (set_key('data', 'seed', value={'a': 1}), 'data.seed'),
    'a seed without end': (set_key('seed_everything', value=-1), 'seed_everything'),
    'very small windows': (
        set_key('model', 'segmentor', 'test_cfg', value={'mode': 'slide', 'crop_size': [4, 4], 'stride': [4, 4]}),
        'model.segmentor.test_cfg',
    ),
    'a batch of windows without end': (
        set_key('model', 'segmentor', 'test_cfg', value={'mode': 'slide', 'window_batch': 10**5}),
        'model.segmentor.test_cfg.window_batch',
    ),
    'a model that is a path': (set_key('model', 'segmentor', value='w.pkl'), 'model.segmentor'),
    'classes that are a path': (set_key('data', 'classes', value='w.pkl'), 'data.classes'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_a_prediction_needs_is_refused_by_its_key(
    name: str, trained: Path, data_root: Path, canary: Path, no_network: list[str], run: Run
) -> None:
    change, key = REFUSED[name]
    changed(trained / 'epoch_2.ckpt', Path('evil.ckpt'), change)
    only(run('predict', '--ckpt', 'evil.ckpt', '--input', data_root / 'img_dir/test'), key, '--trust-checkpoint')
    with pytest.raises(CheckpointError, match=r'evil\.ckpt'):
        seglight.load('evil.ckpt', 'cpu')
    assert not canary.exists()
    assert not no_network
    assert not Path('predictions').exists()


#: Changes to what only training uses.
NEEDLESS: dict[str, Change] = {
    'a transform': set_key('data', 'train_transforms', value=[{'class_path': 'canary.Flip'}]),
    'a mix': set_key('data', 'mixes', value=[{'class_path': 'canary.Flip'}]),
    'an optimizer': set_key('model', 'optimizer', value={'type': 'canary.Adam', 'lr': 1.0}),
    'a loss': set_key(*LOSS, value={'type': 'canary_loss.Loss'}),
    'a loss by class path': set_key(*LOSS, value={'class_path': 'canary_loss.Loss'}),
    'a loss of a package that is not installed': set_key(*LOSS, value={'type': 'monai.losses.Loss'}),
    'a loss in a list': set_key(*LOSS, value=[{'type': 'segmentation_models_pytorch.losses.Loss'}]),
    'a wrapped loss': set_key(*LOSS, value={'type': 'ClassPathLoss', 'loss': {'class_path': 'canary_loss.Loss'}}),
    'weights in a pickle': set_key(*LOSS, value={'type': 'CrossEntropyLoss', 'class_weight': 'w.pkl'}),
    'weights behind an address': set_key(*LOSS, value={'type': 'CrossEntropyLoss', 'class_weight': 'http://evil/w.pkl'}),
    'a source of training data': set_key('data', 'train', value={'class_path': 'canary.Source'}),
    'a source for mmcv': set_key(
        'data', 'train', value={'type': 'ADE20KDataset', 'img_dir': '.', 'file_client_args': {'backend': 'memcached'}}
    ),
    'an account': set_key('wandb', value={'project': 'stolen', 'entity': 'evil'}),
    'callbacks': set_key('trainer', 'callbacks', value=[{'class_path': 'canary.Flip'}]),
    'weights of a backbone': set_key('model', 'segmentor', 'pretrained', value='http://evil/w.pth'),
    'weights of a layer': set_key(
        'model', 'segmentor', 'backbone', 'init_cfg', value={'type': 'Pretrained', 'checkpoint': 'http://evil/w.pth'}
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', NEEDLESS)
def test_what_a_prediction_does_not_need_is_left_out(
    name: str, trained: Path, data_root: Path, canary: Path, no_network: list[str], run: Run
) -> None:
    changed(trained / 'epoch_2.ckpt', Path('evil.ckpt'), NEEDLESS[name])
    image = next((data_root / 'img_dir/test').glob('*.jpg'))
    expected = seglight.load(trained / 'epoch_2.ckpt', 'cpu').predict(image)
    assert (seglight.load('evil.ckpt', 'cpu').predict(image) == expected).all()
    done = run('predict', '--ckpt', 'evil.ckpt', '--input', image, '--output', 'out')
    assert done.status == 0, done.err
    assert not canary.exists()
    assert not no_network


@pytest.mark.parametrize('name', ['a loss', 'a loss by class path', 'a wrapped loss', 'weights in a pickle'])
def test_a_validation_leaves_out_the_loss_if_it_is_refused(
    name: str, trained: Path, canary: Path, no_network: list[str], run: Run
) -> None:
    def change(entries: dict[str, Any], config: dict[str, Any]) -> None:
        NEEDLESS[name](entries, config)
        config['model']['val_loss'] = True

    changed(trained / 'epoch_2.ckpt', Path('evil.ckpt'), change)
    done = run('validate', '--ckpt', 'evil.ckpt')
    assert done.status == 0, done.err
    assert 'the loss is left out: evil.ckpt: model.segmentor.decode_head.loss_decode.' in done.err
    assert '\n  loss ' not in done.out
    only(run('validate', '--ckpt', 'evil.ckpt', '--model.val_loss=true'), TRAINING[name], '--trust-checkpoint')
    with pytest.raises(CheckpointError, match=f'{TRAINING[name]}.*--trust-checkpoint'):
        Segmentor.load_from_checkpoint('evil.ckpt', val_loss=True)
    assert not canary.exists()
    assert not no_network


def test_a_module_that_logs_its_loss_has_that_of_its_training(trained: Path) -> None:
    module = Segmentor.load_from_checkpoint(trained / 'epoch_2.ckpt', val_loss=True)
    assert module.segmentor.auxiliary_head.loss_decode.loss_weight == 0.4


TRAINING = {
    'a transform': 'data.train_transforms.0',
    'a mix': 'data.mixes.0',
    'an optimizer': 'model.optimizer',
    'a loss': 'loss_decode.type',
    'a loss by class path': 'loss_decode.class_path',
    'a loss of a package that is not installed': 'loss_decode.type',
    'a wrapped loss': 'loss_decode.type',
    'weights in a pickle': 'loss_decode.class_weight',
    'weights behind an address': 'loss_decode.class_weight',
    'a source of training data': 'data.train',
    'a source for mmcv': 'data.train',
}


@pytest.mark.parametrize('name', TRAINING)
def test_a_run_that_goes_on_from_it_needs_them_and_refuses_them(
    name: str, trained: Path, canary: Path, no_network: list[str], run: Run
) -> None:
    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), NEEDLESS[name])
    only(run('fit', '--ckpt', 'evil.ckpt'), TRAINING[name], '--trust-checkpoint')
    assert not canary.exists()
    assert not no_network
    assert not Path('work_dirs').exists()


def test_a_key_that_the_user_gives_need_not_pass(trained: Path, canary: Path, run: Run) -> None:
    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), NEEDLESS['an optimizer'])
    done = run('fit', '--ckpt', 'evil.ckpt', '--model.optimizer={type: SGD, lr: 0.1}', '--trainer.max_epochs=1')
    only(done, 'is already at epoch 1 of 1')
    assert not canary.exists()


def test_a_run_that_goes_on_uploads_nothing(trained: Path, no_network: list[str], workspace: Path, run: Run) -> None:
    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), NEEDLESS['an account'])
    done = run('fit', '--ckpt', 'evil.ckpt')
    assert done.status == 0, done.err
    assert 'Ignored    wandb.project' in done.out
    assert not no_network
    assert 'stolen' not in Path('work_dirs/exp1/config.yaml').read_text()
    assert not list(Path('work_dirs').rglob('wandb*'))


def test_a_trusted_checkpoint_may_name_classes_of_ones_own(
    trained: Path, data_root: Path, canary: Path, run: Run
) -> None:
    change = set_key('data', 'val_transforms', value=[{'type': 'albumentations.NoOp'}, {'type': 'canary.Flip', 'p': 0}])
    changed(trained / 'epoch_2.ckpt', Path('own.ckpt'), change)
    arguments = ['predict', '--ckpt', 'own.ckpt', '--input', data_root / 'img_dir/test']
    only(run(*arguments, '--trust-checkpoint'), 'canary.Flip does not keep the whole image')
    assert canary.exists()  # it was imported, and then refused for what it does


def test_a_model_of_timm_fetches_nothing(trained: Path, no_network: list[str], workspace: Path) -> None:
    pytest.importorskip('timm')
    head = {'type': 'FCNHead', 'in_channels': 512, 'in_index': 4, 'channels': 8, 'num_convs': 1}
    model = {'type': 'EncoderDecoder', 'backbone': TIMM, 'decode_head': head}
    assert without_pretrained(model)['backbone']['pretrained'] is False
    module = Segmentor(without_pretrained(model), ['a', 'b', 'c'])
    hyperparameters = {'segmentor': model, 'classes': ['a', 'b', 'c']}  # says nothing of weights
    torch.save({'state_dict': module.state_dict(), 'hyper_parameters': hyperparameters}, 'timm.ckpt')
    assert seglight.load('timm.ckpt', 'cpu').classes == ['a', 'b', 'c']
    assert Segmentor.load_from_checkpoint('timm.ckpt').classes == ['a', 'b', 'c']
    assert not no_network


@pytest.mark.parametrize('name', ['pretrained', '_instantiator', '_class_path', 'hparams_name'])
def test_hyperparameters_name_nothing_that_is_called_or_fetched(
    name: str, trained: Path, canary: Path, no_network: list[str]
) -> None:
    def change(entries: dict[str, Any], config: dict[str, Any]) -> None:
        parameters = entries['hyper_parameters']
        if name == 'pretrained':
            parameters['segmentor']['pretrained'] = 'http://evil/w.pth'
        elif name == 'hparams_name':
            entries['hparams_name'] = 'segmentor'
        else:
            parameters[name] = 'canary.Flip'

    changed(trained / 'epoch_2.ckpt', Path('evil.ckpt'), change)
    module = Segmentor.load_from_checkpoint('evil.ckpt')
    expected = torch.load(trained / 'epoch_2.ckpt', weights_only=True)['state_dict']
    assert all(torch.equal(value, expected[key]) for key, value in module.state_dict().items())
    assert not canary.exists()
    assert not no_network


#: Models that do not end, or do not fit into memory.
ENDLESS: dict[str, Change] = {
    'layers': set_key('model', 'segmentor', 'decode_head', 'num_convs', value=90_000),
    'more layers than any model': set_key('model', 'segmentor', 'decode_head', 'num_convs', value=10**7),
    'channels': set_key('model', 'segmentor', 'decode_head', 'channels', value=90_000),
    'heads': set_key('model', 'segmentor', 'auxiliary_head', value=[{'type': 'FCNHead'}] * 20_000),
    'a table of positions': set_key(
        'model', 'segmentor', 'backbone', value={'type': 'SwinTransformer', 'window_size': 5000, 'depths': [1, 1, 1, 1]}
    ),
    'depths': set_key(
        'model', 'segmentor', 'backbone', value={'type': 'SwinTransformer', 'depths': [90_000, 1, 1, 1]}
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', ENDLESS)
def test_a_model_is_bounded_by_the_weights_of_its_checkpoint(
    name: str, trained: Path, data_root: Path, workspace: Path, run: Run
) -> None:
    changed(trained / 'epoch_2.ckpt', Path('evil.ckpt'), ENDLESS[name])
    start = time.process_time()
    only(run('predict', '--ckpt', 'evil.ckpt', '--input', data_root / 'img_dir/test'), 'evil.ckpt')
    with pytest.raises(CheckpointError, match=r'evil\.ckpt'):
        Segmentor.load_from_checkpoint('evil.ckpt')
    assert time.process_time() - start < 60


def test_addresses_in_the_states_of_callbacks_are_refused(trained: Path, workspace: Path, run: Run) -> None:
    def change(entries: dict[str, Any], config: dict[str, Any]) -> None:
        entries['callbacks']['ModelCheckpoint'] = {'dirpath': 'x', 'best_k_models': {'s3://bucket/a.ckpt': 1.0}}

    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), change)
    only(run('fit', '--ckpt', 'evil.ckpt'), 'evil.ckpt is refused', 's3://bucket')


WRONG_TYPES: dict[str, Any] = {
    'loops': {'fit_loop': 5},
    'optimizer_states': [5],
    'lr_schedulers': [{'last_epoch': 'x'}],
    'callbacks': {},
    'epoch': 'x',
    'global_step': 10**30,
    'exact_resume': {'random_states': 5, 'figures': 7},
    'metrics': {'val/mIoU': 'x'},
    'hyper_parameters': {'classes': 5},
    'state_dict': [],
    'config': 5,
    'environment': 5,
    'pytorch-lightning_version': 5,
}


@pytest.mark.parametrize('entry', WRONG_TYPES)
def test_wrong_types_of_entries_are_one_line(entry: str, trained: Path, workspace: Path, run: Run) -> None:
    entries = torch.load(trained / 'epoch_1.ckpt', weights_only=True)
    wrong = dict.fromkeys(entries['callbacks'], 5) if entry == 'callbacks' else WRONG_TYPES[entry]
    torch.save({**entries, entry: wrong}, 'evil.ckpt')
    only(run('fit', '--ckpt', 'evil.ckpt'), 'evil.ckpt')


COUNTS: dict[str, Any] = {
    'a text': {'total': {'ready': 1, 'started': 1, 'processed': 1, 'completed': '1'}},
    'none': {'total': None},
    'infinite': {'total': {'completed': float('inf')}},
    'below nothing': {'current': {'completed': -1}},
    'too high': {'current': {'completed': 2**64}},
    'no dict': [],
    'a dict for a count': {'total': {'ready': 1, 'started': {}, 'processed': 1, 'completed': 1}},
    'a count for a dict': {'current': 1},
    'none of the batches': {'current': {'ready': 1, 'started': 1, 'completed': 1}},
    'no end': {'is_last_batch': None},
}


@pytest.mark.parametrize('case', COUNTS)
@pytest.mark.parametrize('command', ['predict', 'validate', 'fit'])
def test_counts_of_loops_are_whole_numbers(
    case: str, command: str, trained: Path, data_root: Path, workspace: Path, run: Run
) -> None:
    entries = torch.load(trained / 'epoch_1.ckpt', weights_only=True)
    for loop in entries['loops'].values():
        for name in [name for name in loop if name.endswith('batch_progress')]:
            loop[name] = {**loop[name], **COUNTS[case]} if isinstance(COUNTS[case], dict) else COUNTS[case]
    torch.save(entries, 'evil.ckpt')
    inputs = ['--input', data_root / 'img_dir/test'] if command == 'predict' else []
    only(run(command, '--ckpt', 'evil.ckpt', *inputs), 'evil.ckpt is refused', 'batch_progress must hold counts')


def test_only_training_needs_the_state_of_the_loops(trained: Path, data_root: Path, workspace: Path, run: Run) -> None:
    entries = torch.load(trained / 'epoch_1.ckpt', weights_only=True)
    torch.save({**entries, 'loops': {}}, 'other.ckpt')
    result = run('predict', '--ckpt', 'other.ckpt', '--input', data_root / 'img_dir/test')
    assert result.status == 0, result.err
    only(run('fit', '--ckpt', 'other.ckpt'), 'cannot resume from other.ckpt')


@pytest.mark.parametrize('text', ['a: \0', 'a: [', '- 1', '? [1]\n: 2', '&a [*a]'])
def test_a_config_that_is_not_yaml_is_one_line(text: str, trained: Path, workspace: Path, run: Run) -> None:
    entries = torch.load(trained / 'epoch_1.ckpt', weights_only=True)
    torch.save({**entries, 'config': text}, 'evil.ckpt')
    for command in (['fit', '--ckpt', 'evil.ckpt'], ['info', 'evil.ckpt'], ['predict', '--ckpt', 'evil.ckpt']):
        only(run(*command), 'evil.ckpt')


def test_what_info_prints_commands_no_terminal(trained: Path, workspace: Path, run: Run) -> None:
    entries = torch.load(trained / 'epoch_1.ckpt', weights_only=True)
    torch.save({**entries, 'environment': '"a\\e]0;x\\a": 1'}, 'evil.ckpt')
    result = run('info', 'evil.ckpt')
    assert result.status == 0, result.err
    assert 'a?]0;x?' in result.out


def test_an_exported_config_runs_no_code(trained: Path, workspace: Path, run: Run) -> None:
    root = "x'+__import__('pathlib').Path('ran').write_text('')+'"
    changed(trained / 'epoch_2.ckpt', Path('evil.ckpt'), set_key('data', 'root', value=root))
    only(run('export', 'evil.ckpt'), 'export')
    assert not list(Path().glob('*.p*'))


def test_a_pattern_of_groups_ends(trained: Path, workspace: Path, run: Run) -> None:
    change = set_key('data', 'split', value={'val_fraction': 0.5, 'group': '^(([a-z0-9])+.)+!$'})
    changed(trained / 'epoch_2.ckpt', Path('evil.ckpt'), change)
    only(run('validate', '--ckpt', 'evil.ckpt'), 'data.split.group', '--trust-checkpoint')


def test_a_config_of_mmsegs_own_training_passes_the_same_gate(
    canary: Path, data_root: Path, no_network: list[str], run: Run
) -> None:
    text = "model = dict(type='EncoderDecoder', backbone=dict(type='canary.Net'), decode_head=dict(type='FCNHead'))\n"
    meta = {'config': text, 'CLASSES': ('a', 'b')}
    torch.save({'state_dict': {'a': torch.ones(1)}, 'meta': meta}, 'evil.pth')
    result = run('predict', '--ckpt', 'evil.pth', '--input', data_root / 'img_dir/test')
    only(result, 'model.segmentor.backbone.type', '--trust-checkpoint')
    assert not canary.exists()


def test_every_model_of_the_zoo_passes() -> None:
    from seglight.config.mmseg.file import read_mmseg_config
    from seglight.config.mmseg.zoo import find_zoo, zoo_names

    seen = set()
    for name in zoo_names()[::7]:
        model = without_pretrained(read_mmseg_config(find_zoo(name))['model'])
        if (text := yaml.safe_dump(model)) in seen:
            continue
        seen.add(text)
        assert admit({'model': {'segmentor': model}}, Path('a.ckpt'))[1] == {}, name


TRAINER: dict[str, Any] = {
    'strategy': 'deepspeed',
    'accelerator': 'tpu',
    'precision': 'transformer-engine',
    'devices': '100000',
}


@pytest.mark.parametrize('name', TRAINER)
def test_a_trainer_imports_nothing_and_starts_no_crowd(name: str, trained: Path, canary: Path, run: Run) -> None:
    for package in ('deepspeed', 'torch_xla', 'transformer_engine'):
        Path(f'{package}.py').write_text(f'from pathlib import Path\nPath({str(canary)!r}).touch()\n')
    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), set_key('trainer', name, value=TRAINER[name]))
    only(run('fit', '--ckpt', 'evil.ckpt'), f'trainer.{name}', '--trust-checkpoint')
    assert not canary.exists()


def test_transforms_within_each_other_end(trained: Path, data_root: Path, workspace: Path, run: Run) -> None:
    flip: dict[str, Any] = {'type': 'HorizontalFlip'}
    for _ in range(3):
        flip = {'type': 'SomeOf', 'transforms': [flip], 'n': 10_000}
    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), set_key('data', 'val_transforms', value=[flip]))
    done = run('predict', '--ckpt', 'evil.ckpt', '--input', data_root / 'img_dir/test')
    only(done, 'data.val_transforms', 'may run')


@pytest.mark.parametrize('pattern', ['(?#[)(a+)+b(?#])', '(?x)(a)', '(a+)+b'])
def test_no_comment_hides_an_endless_pattern(pattern: str, trained: Path, workspace: Path, run: Run) -> None:
    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), set_key('data', 'split', value={'group': pattern}))
    only(run('fit', '--ckpt', 'evil.ckpt'), 'data.split.group')


@pytest.mark.parametrize('folder', ['//host/share', r'\\host\share'])
def test_a_host_of_windows_is_an_address(folder: str, trained: Path, workspace: Path, run: Run) -> None:
    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), set_key('data', 'root', value=folder))
    only(run('predict', '--ckpt', 'evil.ckpt'), 'data.root', 'address')


@pytest.mark.parametrize('path', ['https://evil.example/a.zip', ['a.zip', 'memory://a.zip']])
def test_archives_at_an_address_are_not_named_by_a_checkpoint(
    path: object, trained: Path, workspace: Path, run: Run
) -> None:
    source = {'type': 'ArchiveSource', 'path': path}
    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), set_key('data', 'val', value=source))
    only(run('validate', '--ckpt', 'evil.ckpt'), 'data.val', 'a checkpoint may not name an address')


def test_states_of_callbacks_do_not_leave_their_folder(trained: Path, workspace: Path, run: Run) -> None:
    def change(entries: dict[str, Any], _: dict[str, Any]) -> None:
        state = {'dirpath': '/run', 'best_k_models': {'/run/../victim': 0.0}, 'best_model_path': '/run/a.ckpt'}
        entries['callbacks'] = {**entries['callbacks'], 'ModelCheckpoint{}': state}

    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), change)
    only(run('fit', '--ckpt', 'evil.ckpt'), '/run/../victim')


def test_what_training_needs_is_not_taken_from_hyperparameters(trained: Path, workspace: Path) -> None:
    def change(entries: dict[str, Any], _: dict[str, Any]) -> None:
        schedule = {'policy': 'CosineRestart', 'periods': [1] * 400_000, 'restart_weights': [1] * 400_000, 'min_lr': 0}
        entries['hyper_parameters'] = {**entries['hyper_parameters'], 'schedule': schedule, 'compile': False}

    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), change)
    started = time.process_time()
    seglight.load('evil.ckpt', 'cpu')
    assert time.process_time() - started < 60


def test_no_key_commands_a_terminal(trained: Path, workspace: Path, run: Run) -> None:
    def change(entries: dict[str, Any], config: dict[str, Any]) -> None:
        config['trainer']['\x1b[2J'] = {'a': 1}
        config['data']['root'] = 'a\x1b[2J'
        entries['not_taken_over'] = ['\x1b[2J']
        entries['state_dict'] = {**entries['state_dict'], '\x1b[2J': torch.ones(1)}

    changed(trained / 'epoch_1.ckpt', Path('evil.ckpt'), change)
    for words in (['predict', '--ckpt', 'evil.ckpt', '--data.root=x'], ['fit', '--ckpt', 'evil.ckpt']):
        done = run(*words)
        assert done.status == 2
        assert '\x1b' not in done.err + done.out
