"""From images to masks, as a user types it."""

import csv
import importlib.metadata
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
import yaml
from conftest import CAMVID, TINY_SEGMENTOR, Result, write_tiny_config
from mmseg.models import build_segmentor
from PIL import Image

from seglight.__main__ import run as main
from seglight.config.files import SHIPPED
from seglight.models.recipe import Recipe

Run = Callable[..., Result]


def weights(path: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)['state_dict']
    return weights


def logged(run_folder: Path, name: str) -> list[float]:
    with (run_folder / 'metrics.csv').open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def test_a_run_leaves_its_config_its_figures_and_its_checkpoints(trained: Path) -> None:
    best = sorted(path.name for path in trained.glob('best_*'))
    names = {path.name for path in trained.iterdir() if path.suffix != '.html'} - {'predictions'}  # of other tests
    said = {'config.yaml', 'environment.yaml', 'metrics.csv', 'optimizer.txt', 'schedule.png', 'split'}
    assert names == said | {'epoch_1.ckpt', 'epoch_2.ckpt', 'last.ckpt', *best, 'evaluation', 'tensorboard', '.lock'}
    assert best in ([f'best_mIoU_epoch_{epoch}.ckpt'] for epoch in (1, 2))
    assert len(logged(trained, 'train/decode.loss_ce')) == 4
    assert len(logged(trained, 'val/mIoU')) == len(logged(trained, 'val/IoU.Battery')) == 2
    assert torch.load(trained / 'epoch_2.ckpt', weights_only=True)['config'] == (trained / 'config.yaml').read_text()


def test_a_run_says_what_it_was_made_with(tiny_config: Path, run: Run) -> None:
    for command in ('git init -q', 'git commit -q --allow-empty -m start'):
        subprocess.run(['git', '-c', 'user.name=a', '-c', 'user.email=a@b', *command.split()[1:]], check=True)
    commit = subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True).stdout.strip()
    assert run('fit', '--config', tiny_config, '--trainer.max_epochs', '1').status == 0
    said = yaml.safe_load(Path('work_dirs/exp1/environment.yaml').read_text())
    assert said['command'] == f'seglight fit --config {tiny_config} --trainer.max_epochs 1'
    assert said['packages']['torch'] == importlib.metadata.version('torch')
    assert mmcv.__version__ in (said['packages']['mmcv'], said['packages']['mmcv-full'])
    assert said['git_commit'] == commit


def test_training_goes_on_from_a_checkpoint(tiny_config: Path, run: Run) -> None:
    assert run('fit', '--config', tiny_config).status == 0
    for base in (['--config', tiny_config], []):  # the checkpoint holds its config
        done = run('fit', *base, '--ckpt_path', 'exp1/epoch_1.ckpt')
        assert done.status == 0, done.err
        assert 'epoch 1/2' not in done.out
        assert 'epoch 2/2' in done.out
    done = run('fit', '--config', tiny_config, '--ckpt_path', 'exp1/epoch_2.ckpt')
    assert done.status == 2
    assert 'epoch_2.ckpt is already at epoch 2 of 2; raise --trainer.max_epochs' in done.err
    assert not Path('work_dirs/exp4').exists()
    first, second = (weights(Path(f'work_dirs/exp{number}/epoch_2.ckpt')) for number in (1, 2))
    assert first.keys() == second.keys()


def test_training_goes_on_alike_with_any_number_of_workers(
    workspace: Path, data_root: Path, trained: Path, run: Run
) -> None:
    for workers in (0, 2):
        config = write_tiny_config(workspace / f'{workers}.yaml', data_root, workers)
        assert run('fit', '--config', config, '--ckpt', trained / 'epoch_1.ckpt').status == 0
    first, second = (weights(Path(f'work_dirs/exp{number}/epoch_2.ckpt')) for number in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_end_names_the_run_its_best_figure_and_the_next_command(tiny_config: Path, run: Run) -> None:
    done = run('fit', '--config', tiny_config)
    assert done.status == 0, done.err
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert lines['Run'].split() == ['Run', 'work_dirs/exp1']
    best = max(logged(Path('work_dirs/exp1'), 'val/mIoU'))
    assert f'{100 * best:.2f} %' in lines['Best']
    command = lines['Predict'].split('seglight ', 1)[1].split()
    assert run(*command).status == 0
    assert len(list(Path('work_dirs/exp1').glob('predictions/*/overlays/*.jpg'))) == 3


def test_the_same_command_twice_gives_two_runs_with_the_same_weights(tiny_config: Path, run: Run) -> None:
    for _ in range(2):
        assert run('fit', '--config', tiny_config).status == 0
    first, second = (weights(Path(f'work_dirs/exp{number}/epoch_2.ckpt')) for number in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert len(set(logged(Path('work_dirs/exp1'), 'train/loss'))) == 4


def test_the_saved_config_trains_the_same_again(tiny_config: Path, run: Run) -> None:
    assert run('fit', '--config', tiny_config, '--trainer.max_epochs=1', '--seed_everything', '7').status == 0
    again = run('fit', '--config', 'work_dirs/exp1/config.yaml')
    assert again.status == 0, again.err
    first, second = (weights(Path(f'work_dirs/exp{number}/epoch_1.ckpt')) for number in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert Path('work_dirs/exp1/config.yaml').read_text() == Path('work_dirs/exp2/config.yaml').read_text()


def test_the_number_of_workers_changes_nothing(workspace: Path, data_root: Path, run: Run) -> None:
    for workers in (0, 2):
        config = write_tiny_config(workspace / f'{workers}.yaml', data_root, workers)
        assert run('fit', '--config', config).status == 0
    first, second = (weights(Path(f'work_dirs/exp{number}/epoch_2.ckpt')) for number in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_limit_of_one_is_one_batch(tiny_config: Path, run: Run) -> None:
    assert run('fit', '--config', tiny_config, '--trainer.limit_train_batches=1').status == 0
    assert len(logged(Path('work_dirs/exp1'), 'train/loss')) == 2
    assert run('fit', '--config', tiny_config, '--trainer.limit_train_batches=0.5').status == 0
    assert len(logged(Path('work_dirs/exp2'), 'train/loss')) == 2
    assert run('fit', '--config', tiny_config, '--trainer.limit_train_batches=1.0').status == 0
    assert len(logged(Path('work_dirs/exp3'), 'train/loss')) == 4


def test_old_checkpoints_go_and_the_newest_stay(tiny_config: Path, run: Run) -> None:
    assert run('fit', '--config', tiny_config, '--trainer.max_epochs=5', '--checkpoint.max_keep_ckpts=2').status == 0
    assert {path.name for path in Path('work_dirs/exp1').glob('epoch_*')} == {'epoch_4.ckpt', 'epoch_5.ckpt'}


def test_the_last_epoch_has_a_checkpoint_whatever_the_interval(tiny_config: Path, run: Run) -> None:
    assert run('fit', '--config', tiny_config, '--trainer.max_epochs=3', '--checkpoint.interval=2').status == 0
    assert {path.name for path in Path('work_dirs/exp1').glob('epoch_*')} == {'epoch_2.ckpt', 'epoch_3.ckpt'}


def test_the_best_is_by_the_metric_that_was_asked_for(tiny_config: Path, run: Run) -> None:
    done = run('fit', '--config', tiny_config, '--best_checkpoint.metric=mAcc')
    best = max(logged(Path('work_dirs/exp1'), 'val/mAcc'))
    assert f'Best mAcc  {100 * best:.2f} %  (best_mAcc_epoch_' in done.out


@pytest.mark.parametrize('flag', ['--trainer.enable_checkpointing=false', '--trainer.fast_dev_run=true'])
def test_a_run_without_checkpoints(tiny_config: Path, run: Run, flag: str) -> None:
    assert run('fit', '--config', tiny_config, flag).status == 0
    assert not list(Path().rglob('*.ckpt'))


def test_other_classes_in_a_saved_config_are_said_once(
    trained: Path, data_root: Path, run: Run, workspace: Path
) -> None:
    names = [f'class {index}' for index in range(12)]
    flags = [f'--data.classes={names}', '--data.palette=null', '--trainer.max_epochs=1']
    done = run('fit', '--config', trained / 'config.yaml', *flags)
    assert done.status == 0, done.err
    assert weights(Path('work_dirs/exp1/epoch_1.ckpt'))['segmentor.decode_head.conv_seg.weight'].shape[0] == 12
    assert '  class 11 ' in done.out


def test_predict_takes_a_palette_and_a_config_over_the_checkpoints(
    trained: Path, tiny_config: Path, run: Run, tmp_path: Path
) -> None:
    palette = [[index, 2 * index, 3 * index] for index in range(11)]
    for number, base in enumerate(([], ['--config', tiny_config], ['--config', trained / 'config.yaml'])):
        out = tmp_path / f'out{number}'
        flags = ['--ckpt', trained / 'epoch_2.ckpt', '--output', out, f'--data.palette={palette}']
        done = run('predict', *base, *flags)
        assert done.status == 0, done.err
        written = Image.open(out / 'masks' / '0000.png')
        assert (written.getpalette() or [])[:33] == [channel for colour in palette for channel in colour]


def test_nothing_is_fetched_to_predict(trained: Path, run: Run, tmp_path: Path) -> None:
    checkpoint = torch.load(trained / 'epoch_2.ckpt', weights_only=True)
    config = yaml.safe_load(checkpoint['config'])
    config['model']['segmentor']['pretrained'] = 'gone/resnet18.pth'
    torch.save({**checkpoint, 'config': yaml.safe_dump(config)}, tmp_path / 'a.ckpt')
    done = run('predict', '--ckpt', tmp_path / 'a.ckpt')
    assert done.status == 0, done.err


def test_the_config_in_a_checkpoint_runs_no_code(trained: Path, run: Run, workspace: Path) -> None:
    checkpoint = torch.load(trained / 'epoch_2.ckpt', weights_only=True)
    config = yaml.safe_load(checkpoint['config'])
    popen = {'class_path': 'subprocess.Popen', 'init_args': {'args': ['touch', 'was_run']}}
    config['data']['val_transforms'] = [popen]
    config['trainer']['callbacks'] = [popen]
    torch.save({**checkpoint, 'config': yaml.safe_dump(config)}, 'a.ckpt')
    for command in ('predict', 'fit'):
        done = run(command, '--ckpt', 'a.ckpt')
        assert done.status == 2
        assert "a checkpoint may not name 'subprocess.Popen'" in done.err
    assert not Path('was_run').exists()


@pytest.mark.parametrize('precision', ['bf16-true', 'bf16-mixed'])
def test_other_precisions_train(tiny_config: Path, run: Run, precision: str) -> None:
    done = run('fit', '--config', tiny_config, '--trainer.max_epochs=1', f'--trainer.precision={precision}')
    assert done.status == 0, done.err


def test_a_label_that_is_ignored_by_choice_has_no_loss_and_does_not_count(
    own_data: Path, workspace: Path, run: Run
) -> None:
    for path in own_data.glob('ann_dir/*/*.png'):
        mask = np.array(Image.open(path))
        mask[:20] = 200
        Image.fromarray(mask).save(path)
    config = write_tiny_config(workspace / 'tiny.yaml', own_data)
    done = run('fit', '--config', config, '--data.ignore_index=200')
    assert done.status == 0, done.err
    assert run('fit', '--config', config, '--data.ignore_index=200', '--model.ignore_index=255').status == 2


def test_validating_a_checkpoint_gives_the_figures_of_its_epoch(trained: Path, run: Run) -> None:
    for epoch, expected in enumerate(logged(trained, 'val/mIoU'), 1):
        done = run('validate', '--ckpt', trained / f'epoch_{epoch}.ckpt', '--trainer.accelerator=cpu')
        assert done.status == 0, done.err
        figure = next(line.split()[1] for line in done.out.splitlines() if line.split()[0] == 'mIoU')
        assert float(figure) == pytest.approx(100 * expected, abs=0.006)


def test_validating_a_checkpoint_gives_the_loss_of_its_epoch(tiny_config: Path, run: Run) -> None:
    assert run('fit', '--config', tiny_config, '--trainer.max_epochs=1', '--model.val_loss=true').status == 0
    command = ['validate', '--ckpt', 'work_dirs/exp1/epoch_1.ckpt']
    done = run(*command)
    assert (done.status, done.err) == (0, '')
    rows = {row[0]: row[1] for row in map(str.split, done.out.splitlines()) if len(row) > 1}
    assert float(rows['loss']) == pytest.approx(logged(Path('work_dirs/exp1'), 'val/loss')[0], rel=1e-3)
    done = run(*command, '--model.val_loss=false')
    assert done.status == 0, done.err
    assert '\n  loss ' not in done.out


def test_masks_equal_those_that_mmseg_itself_predicts(trained: Path, data_root: Path, run: Run, tmp_path: Path) -> None:
    done = run('predict', '--ckpt', trained / 'epoch_2.ckpt', '--output', tmp_path / 'out')
    assert done.status == 0, done.err
    model = build_segmentor(mmcv.ConfigDict(Recipe(TINY_SEGMENTOR).for_data(11).model)).eval()
    state = weights(trained / 'epoch_2.ckpt')
    model.load_state_dict({name.removeprefix('segmentor.'): value for name, value in state.items()})
    palette = yaml.safe_load((trained / 'config.yaml').read_text())['data']['palette']
    images = sorted((data_root / 'img_dir' / 'test').glob('*.jpg'))
    assert [path.stem for path in sorted((tmp_path / 'out' / 'masks').iterdir())] == [path.stem for path in images]
    for path in images:
        image = mmcv.imread(str(path))
        normalised = mmcv.imnormalize(image, np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375]))
        tensor = torch.from_numpy(normalised).permute(2, 0, 1)[None]
        meta = {'ori_shape': image.shape, 'img_shape': image.shape, 'flip': False}
        with torch.no_grad():
            expected = model.simple_test(tensor, [meta])[0]
        written = Image.open(tmp_path / 'out' / 'masks' / f'{path.stem}.png')
        assert written.mode == 'P'
        assert (np.asarray(written) == expected).all()
        assert (written.getpalette() or [])[:33] == [channel for colour in palette for channel in colour]


def test_a_checkpoint_that_was_moved_predicts_alone(
    trained: Path, data_root: Path, workspace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(trained / 'epoch_2.ckpt', workspace / 'renamed.ckpt')
    moved = shutil.copytree(data_root, workspace / 'moved')
    for _ in range(2):  # a second time too
        done = run('predict', '--ckpt', 'renamed.ckpt', '--data.root', moved)
        assert done.status == 0, done.err
    assert len(list((workspace / 'predictions' / 'renamed' / 'masks').iterdir())) == 3
    assert not Path('work_dirs').exists()


def test_a_checkpoint_is_found_below_the_work_dir(trained: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parents[1])
    assert run('predict', '--ckpt', 'exp1/epoch_1.ckpt').status == 0
    assert len(list((trained / 'predictions' / 'epoch_1' / 'masks').iterdir())) == 3


def test_the_folder_of_a_run_means_its_best_checkpoint(
    trained: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parents[1])
    figures = run('validate', '--ckpt', 'exp1').out.splitlines()
    best = 100 * max(logged(trained, 'val/mIoU'))
    assert float(next(line.split()[1] for line in figures if line.split()[0] == 'mIoU')) == pytest.approx(
        best, abs=0.006
    )


def test_the_checkpoint_is_the_base_and_the_command_line_wins(
    trained: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ['--data.root=elsewhere', '--model.segmentor.decode_head.dropout_ratio=0.5', '--print_config']
    with pytest.raises(SystemExit) as end:
        main(['predict', '--ckpt', str(trained / 'epoch_2.ckpt'), *flags])
    assert end.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    stored = yaml.safe_load((trained / 'config.yaml').read_text())
    assert stored['data'].pop('root') == str(data_root)
    assert printed['data'].pop('root') == 'elsewhere'
    assert printed['data'].pop('train_transforms') is None  # a prediction leaves out how to train
    stored['data'].pop('train_transforms')
    assert printed['data'] == stored['data']
    stored['model']['segmentor']['decode_head']['dropout_ratio'] = 0.5
    stored['model']['segmentor'].pop('pretrained', None)
    for name in ('optimizer', 'schedule', 'segmentor'):  # with losses, which a prediction leaves out too
        whole, used = stored['model'].pop(name), printed['model'].pop(name)
    assert used['backbone'] == whole['backbone']
    assert used['decode_head']['dropout_ratio'] == 0.5
    assert printed['model'] == stored['model']


def test_a_checkpoint_keeps_its_classes_whatever_the_data(
    trained: Path, workspace: Path, run: Run, data_root: Path
) -> None:
    other = workspace / 'other.yaml'
    other.write_text(yaml.safe_dump({'data': {'root': str(data_root), 'classes': ['a', 'b'], 'palette': None}}))
    checkpoint = trained / 'epoch_2.ckpt'
    done = run('predict', '--config', other, '--ckpt', checkpoint, '--output', 'out')
    assert done.status == 0, done.err
    palette = yaml.safe_load((trained / 'config.yaml').read_text())['data']['palette']
    written = Image.open(next((workspace / 'out' / 'masks').iterdir()))
    assert (written.getpalette() or [])[:33] == [channel for colour in palette for channel in colour]
    done = run('validate', '--config', other, '--ckpt', checkpoint)
    assert done.status == 2
    assert f'{checkpoint} was trained on 11 classes, but data.classes has 2' in done.err


def test_a_user_copies_a_config_changes_three_things_trains_and_predicts_elsewhere(
    workspace: Path, data_root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (SHIPPED / 'pspnet.yaml').read_text()
    changes = """
model:
  zoo: fastscnn/fast_scnn_lr0.12_8x4_160k_cityscapes   # a smaller model
data:
  root: ../data                                        # our own images
  num_workers: 0
"""
    (workspace / 'ours.yaml').write_text(text.replace('max_epochs: 20', 'max_epochs: 1') + changes)  # and a short run
    shutil.copytree(data_root, workspace.parent / 'data')
    done = run('fit', '--config', 'ours.yaml', '--model.segmentor.decode_head.channels=32')
    assert done.status == 0, done.err
    stored = yaml.safe_load((workspace / 'work_dirs/exp1/config.yaml').read_text())
    assert stored['model']['segmentor']['decode_head']['channels'] == 32
    assert stored['model']['optimizer']['momentum'] == 0.9  # inherited still
    elsewhere = workspace.parent / 'elsewhere'
    elsewhere.mkdir()
    shutil.move(workspace / 'work_dirs/exp1/epoch_1.ckpt', elsewhere / 'ours.ckpt')
    shutil.rmtree(workspace)
    monkeypatch.chdir(elsewhere)
    done = run('predict', '--ckpt', 'ours.ckpt')
    assert done.status == 0, done.err
    assert len(list((elsewhere / 'predictions/ours/masks').iterdir())) == 3


@pytest.mark.slow
def test_camvid_trains_and_predicts(camvid: Path, workspace: Path, run: Run) -> None:
    done = run(
        'fit', '--config', 'camvid.yaml', '--data.root', camvid, '--data.num_workers=1',
        '--trainer.max_epochs=1', '--trainer.check_val_every_n_epoch=1',
        '--trainer.limit_train_batches=4', '--trainer.limit_val_batches=2',
    )  # fmt: skip
    assert done.status == 0, done.err
    done = run('predict', '--ckpt', 'exp1/epoch_1.ckpt', '--trainer.limit_predict_batches=1')
    assert done.status == 0, done.err
    masks = sorted(Path('work_dirs/exp1/predictions/epoch_1/masks').iterdir())
    assert len(masks) == 8
    assert all(np.asarray(Image.open(path)).shape == (360, 480) for path in masks)
    assert masks[0].stem == sorted((CAMVID / 'img_dir' / 'test').iterdir())[0].stem
