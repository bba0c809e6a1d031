"""Data of every layout, as a user types it: check, show, split, train on all of it, leave bad files out."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Result, write_tiny_config
from PIL import Image

from seglight.data import SegmentationDataModule
from seglight.data.dataset import SegmentationDataset
from seglight.tools.data import data_module

Run = Callable[..., Result]


def configure(root: Path, **data: object) -> Path:
    """Write the tiny config with other keys of `data`."""
    write_tiny_config(Path('tiny.yaml'), root)
    Path('own.yaml').write_text(yaml.safe_dump({'_base_': 'tiny.yaml', 'data': data}))
    return Path('own.yaml')


def listed(run_folder: Path) -> dict[str, list[str]]:
    return {name: (run_folder / f'split/{name}.txt').read_text().split() for name in ('train', 'val')}


def test_the_files_of_a_run_are_listed_in_its_folder(trained: Path) -> None:
    assert listed(trained) == {
        'train': [f'img_dir/train/{index:04}.jpg' for index in range(8)],
        'val': [f'img_dir/val/{index:04}.jpg' for index in range(4)],
    }


def test_files_whose_names_are_no_utf8_are_trained_on_and_listed(own_data: Path, workspace: Path, run: Run) -> None:
    for kind, suffix in (('img_dir', 'jpg'), ('ann_dir', 'png')):
        path = own_data / kind / 'train' / f'0000.{suffix}'
        path.rename(path.with_name(os.fsdecode(b'\xff\xe9.' + suffix.encode())))
    config = configure(own_data, split={'fold': '1 of 4'}, cache=1)
    assert run('fit', '--config', config, '--trainer.max_epochs=1').status == 0
    names = b''.join(Path(f'work_dirs/exp1/split/{name}.txt').read_bytes() for name in ('train', 'val'))
    assert b'img_dir/train/\xff\xe9.jpg' in names.splitlines()
    again = ['--data.split', '{_delete_: true, folder: work_dirs/exp1/split}', '--trainer.max_epochs=1']
    assert run('fit', '--config', config, *again).status == 0


def test_folds_are_trained_and_read_back(own_data: Path, workspace: Path, run: Run) -> None:
    config = configure(own_data, split={'fold': '2 of 4'})
    assert run('fit', '--config', config, '--trainer.max_epochs=1').status == 0
    first = listed(Path('work_dirs/exp1'))
    assert len(first['val']) == 2
    assert sorted(first['train'] + first['val']) == [f'img_dir/train/{index:04}.jpg' for index in range(8)]
    done = run(
        'fit',
        '--config',
        config,
        '--data.split',
        '{_delete_: true, folder: work_dirs/exp1/split}',
        '--trainer.max_epochs=1',
    )
    assert done.status == 0, done.err
    assert listed(Path('work_dirs/exp2')) == first
    done = run('fit', '--config', config, '--data.split.fold=1 of 4', '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    assert not set(listed(Path('work_dirs/exp3'))['val']) & set(first['val'])
    assert run('validate', '--ckpt', 'exp1').status == 0


def test_full_data_trains_on_train_and_val_and_validates_nothing(own_data: Path, workspace: Path, run: Run) -> None:
    done = run('fit', '--config', configure(own_data, full=True))
    assert done.status == 0, done.err
    assert len(listed_train := (Path('work_dirs/exp1/split/train.txt').read_text().split())) == 12
    assert 'img_dir/val/0003.jpg' in listed_train
    assert 'val/mIoU' not in Path('work_dirs/exp1/metrics.csv').read_text()
    assert sorted(path.name for path in Path('work_dirs/exp1').glob('*.ckpt')) == [
        'epoch_1.ckpt',
        'epoch_2.ckpt',
        'last.ckpt',
    ]


def test_several_sources_with_repeats_rare_classes_and_mixes_train(own_data: Path, workspace: Path, run: Run) -> None:
    image = {'id': 1, 'file_name': '0000.jpg', 'height': 64, 'width': 64}
    shape = {'id': 1, 'image_id': 1, 'category_id': 7, 'segmentation': [[4, 4, 40, 4, 40, 40]]}
    content = {'images': [image], 'categories': [{'id': 7, 'name': 'Battery'}], 'annotations': [shape]}
    (own_data / 'extra.json').write_text(json.dumps(content))
    extra = {'type': 'CocoSource', 'ann_file': 'extra.json', 'img_dir': 'img_dir/val', 'repeat': 3}
    mixes = [{'type': 'CopyPaste', 'classes': ['Battery']}, {'type': 'CutMix'}, {'type': 'Mosaic'}]
    config = configure(own_data, train=['train', extra], mixes=mixes, class_balance=0.5)
    done = run('fit', '--config', config, '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    assert 'img_dir/val/0000.jpg is in train and in val' in done.err
    assert len(listed(Path('work_dirs/exp1'))['train']) == 9


def damage(root: Path) -> None:
    (root / 'img_dir/train/0001.jpg').write_text('text')
    (root / 'ann_dir/train/0002.png').unlink()
    Image.open(root / 'ann_dir/val/0001.png').resize((10, 10)).save(root / 'ann_dir/val/0001.png')


def test_bad_samples_are_left_out_and_listed(own_data: Path, workspace: Path, run: Run) -> None:
    damage(own_data)
    config = configure(own_data, on_bad_sample='skip')
    done = run('fit', '--config', config, '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    left_out = Path('work_dirs/exp1/left_out.txt').read_text()
    assert [name in left_out for name in ('train/0001.jpg', 'train/0002.png', 'val/0001.png')] == [True] * 3
    assert done.err.count('left out') == 3
    assert {name: len(files) for name, files in listed(Path('work_dirs/exp1')).items()} == {'train': 6, 'val': 3}


@pytest.mark.parametrize('workers', [0, 2])
def test_files_that_turn_bad_while_training_are_left_out_counted_and_listed(
    workers: int, own_data: Path, workspace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(own_data, on_bad_sample='skip', num_workers=workers)
    (own_data / 'img_dir/val/0001.jpg').write_bytes(b'no image')
    prepare = SegmentationDataModule._prepare_training

    def prepare_and_damage(module: SegmentationDataModule, dataset: SegmentationDataset) -> None:
        prepare(module, dataset)
        cut_off(own_data / 'img_dir/train/0005.jpg')
        cut_off(own_data / 'ann_dir/val/0002.png')

    monkeypatch.setattr(SegmentationDataModule, '_prepare_training', prepare_and_damage)
    done = run('fit', '--config', config)
    assert done.status == 0, done.err
    assert done.err.count('left out: The ') == 2
    assert '2 times a bad sample of train was left out' in done.err  # once in each epoch
    listed_faults = Path('work_dirs/exp1/left_out.txt').read_text().splitlines()
    assert len(listed_faults) == 3
    assert 'val/0001.jpg cannot be read' in listed_faults[0]
    assert f'The image {own_data}/img_dir/train/0005.jpg cannot be read: it is cut off' in '\n'.join(listed_faults)
    assert f'The mask {own_data}/ann_dir/val/0002.png cannot be read' in '\n'.join(listed_faults)
    done = run('fit', '--config', config, '--work-dir', 'work_dirs/exp1', '--auto-resume', '--trainer.max_epochs=3')
    assert done.status == 0, done.err
    assert Path('work_dirs/exp1/left_out.txt').read_text().splitlines() == listed_faults


@pytest.mark.parametrize('split', ['train', 'val'])
def test_a_command_ends_where_a_loader_process_finds_a_bad_file(split: str, own_data: Path, workspace: Path) -> None:
    config = configure(own_data, num_workers=1)
    path = own_data / f'img_dir/{split}/0002.jpg'
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3] + data[-2:])  # neither its header nor its last bytes tell
    done = subprocess.run(
        [sys.executable, '-m', 'seglight', 'fit', '--config', config], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2
    assert done.stderr == f'seglight: The image {path} cannot be read: it is cut off or damaged; replace or remove it\n'


@pytest.mark.parametrize('name', ['img_dir/train/0005.jpg', 'ann_dir/train/0005.png', 'img_dir/val/0002.jpg'])
def test_a_file_that_turns_bad_while_training_is_named(
    name: str, own_data: Path, workspace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(own_data)
    prepare = SegmentationDataModule._prepare_training

    def prepare_and_damage(module: SegmentationDataModule, dataset: SegmentationDataset) -> None:
        prepare(module, dataset)
        cut_off(own_data / name)

    monkeypatch.setattr(SegmentationDataModule, '_prepare_training', prepare_and_damage)
    done = run('fit', '--config', config)
    assert done.status == 2
    assert f'{own_data / name} cannot be read: it is' in done.err
    assert len(done.err.splitlines()) == 1, done.err


def test_check_reports_what_the_data_hold(own_data: Path, workspace: Path, run: Run) -> None:
    done = run('data', 'check', '--config', configure(own_data))
    assert done.status == 0, done.err
    masks = [np.asarray(Image.open(path)) for path in sorted((own_data / 'ann_dir/train').iterdir())]
    images = np.stack([np.asarray(Image.open(path)) for path in sorted((own_data / 'img_dir/train').iterdir())])
    lines = done.out.splitlines()
    assert lines[0] == 'train: 8 images, 64x64 (8)'
    mean = [float(word.strip('[],')) for word in lines[1].split()[1:4]]
    std = [float(word.strip('[],')) for word in lines[1].split()[5:8]]
    assert mean == pytest.approx(images.mean((0, 1, 2)), abs=0.5)  # Pillow and OpenCV round JPEG otherwise
    assert std == pytest.approx(images.std((0, 1, 2)), abs=0.5)
    paper = next(line.split() for line in lines if line.split()[0] == 'Paper')
    assert float(paper[1].strip('%')) == pytest.approx(100 * np.mean([mask == 2 for mask in masks]), abs=1e-3)
    assert int(paper[2]) == sum((mask == 2).any() for mask in masks)
    assert 'no faults found' in lines
    assert not Path('work_dirs').exists()


def test_check_counts_one_image(own_data: Path, workspace: Path, run: Run) -> None:
    for path in sorted((own_data / 'img_dir/val').iterdir())[1:]:
        path.unlink()
    done = run('data', 'check', '--config', configure(own_data))
    assert 'val: 1 image, 64x64 (1)' in done.out.splitlines()


def test_check_names_every_fault_and_fails(own_data: Path, workspace: Path, run: Run) -> None:
    damage(own_data)
    (own_data / 'img_dir/val/0003.jpg').write_bytes((own_data / 'img_dir/train/0004.jpg').read_bytes())
    done = run('data', 'check', '--config', configure(own_data))
    assert done.status == 2
    assert '3 samples cannot be used' in done.err
    faults = [line for line in done.out.splitlines() if line.startswith('fault: ')]
    assert ['train/0001.jpg' in faults[0], 'train/0002.png' in faults[1], 'val/0001.png' in faults[2]] == [True] * 3
    assert 'train/0004.jpg in train and' in done.out
    done = run('data', 'check', '--config', 'own.yaml', '--data.on_bad_sample=skip')
    assert done.status == 0
    assert '3 samples are skipped' in done.out


@pytest.mark.parametrize(('name', 'kind'), [('seen.png', 'PNG'), ('seen.jpg', 'JPEG')])
def test_show_draws_what_the_model_sees(name: str, kind: str, own_data: Path, workspace: Path, run: Run) -> None:
    done = run('data', 'show', '--config', configure(own_data), '--output', name, '--images', '3')
    assert done.status == 0, done.err
    with Image.open(name) as picture:
        assert picture.format == kind
        assert picture.width > 1000
        assert len(set(picture.convert('RGB').getdata())) > 1000
    assert not Path('work_dirs').exists()


@pytest.mark.parametrize(
    ('flags', 'said'), [(['--images', '0'], 'at least 1, got 0'), (['--output', 'a.gif'], "got 'a.gif'")]
)
def test_show_refuses_a_picture_that_cannot_be(
    flags: list[str], said: str, own_data: Path, workspace: Path, run: Run
) -> None:
    done = run('data', 'show', '--config', configure(own_data), *flags)
    assert done.status == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_check_tells_of_a_split_that_cannot_be_made_among_other_faults(
    own_data: Path, workspace: Path, run: Run
) -> None:
    (own_data / 'img_dir/train/0001.jpg').write_bytes(b'no image')
    done = run('data', 'check', '--config', configure(own_data, split={'fold': '1 of 9'}))
    assert done.status == 2
    assert 'fault: data.split makes 9 parts' in done.out
    assert 'img_dir/train/0001.jpg cannot be read' in done.out


@pytest.fixture
def binary_data(tmp_path: Path) -> Path:
    """Bright squares on noise, with masks of 0 and 255, as many tools write two classes."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 8), ('val', 4)):
        for index in range(count):
            mask = np.zeros((64, 64), dtype=np.uint8)
            left, top = rng.integers(4, 40, 2)
            mask[top : top + 16, left : left + 16] = 255
            image = rng.integers(0, 80, (64, 64, 3)).astype(np.uint8) + (mask[..., None] > 0) * np.uint8(150)
            for kind, pixels in (('img_dir', image), ('ann_dir', mask)):
                (tmp_path / f'binary/{kind}/{split}').mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / f'binary/{kind}/{split}/{index}.png')
    return tmp_path / 'binary'


def test_fit_and_check_report_masks_of_0_and_255_with_the_fix(binary_data: Path, workspace: Path, run: Run) -> None:
    config = configure(binary_data, classes=['background', 'object'], palette=None)
    source = 'type: FolderSource, img_dir: img_dir/{0}, ann_dir: ann_dir/{0}, label_map: {{255: object}}'
    line = (
        "no training mask shows 'object'; 6.2% of data.train is ignored: 255 is the ignored label; if that is "
        f"'object', set data.train: {{{source.format('train')}}}; data.val likewise"
    )
    done = run('fit', '--config', config, '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    assert f'seglight: warning: {line}' in done.err.splitlines()
    assert done.out.count('(no mask shows object)') == 3  # of the epoch, of the table, and of the best
    done = run('validate', '--ckpt', 'exp1')
    assert '(no mask shows object)' in done.out
    done = run('data', 'check', '--config', config)
    assert f'warning: {line}' in done.out.splitlines()
    assert 'no faults found' not in done.out
    both = [word for split in ('train', 'val') for word in (f'--data.{split}', f'{{{source.format(split)}}}')]
    done = run('data', 'check', '--config', config, *both)
    assert 'no faults found' in done.out.splitlines(), done.out
    done = run('fit', '--config', config, *both, '--trainer.max_epochs=1')
    assert 'warning' not in done.err
    assert 'no mask shows' not in done.out


def test_masks_that_start_at_one_are_reported_with_the_key(own_data: Path, workspace: Path, run: Run) -> None:
    for path in own_data.glob('ann_dir/*/*.png'):
        Image.fromarray(np.asarray(Image.open(path)) + np.uint8(1)).save(path)
    config = configure(own_data)
    said = 'the masks of data.train have the labels 1 to 11, which start at 1, not at 0; set data.train: '
    done = run('fit', '--config', config)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    assert said in done.err
    assert 'reduce_zero_label: true}' in done.err
    done = run('data', 'check', '--config', config)
    assert done.status == 2
    assert f'warning: {said}' in done.out


def test_pseudo_labelled_images_are_never_validated_on(
    trained: Path, own_data: Path, workspace: Path, run: Run
) -> None:
    ckpt, root = ['--ckpt', trained / 'epoch_2.ckpt'], ['--data.root', own_data]
    done = run('predict', *ckpt, *root, '--output', 'out', '--pseudo-labels', '0')
    assert done.status == 0, done.err
    configure(own_data, split={'val_fraction': 0.5})
    pseudo = Path('out/pseudo_labels')
    done = run('fit', '--config', 'own.yaml', '--config', pseudo / 'data.yaml', '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    found = listed(Path('work_dirs/exp1'))
    assert len(found['val']) == 4
    assert sum('pseudo_labels' in line for line in found['train']) == 3
    assert not any('pseudo_labels' in line for line in found['val'])


def test_a_checkpoint_brings_its_data(trained: Path, workspace: Path, run: Run) -> None:
    done = run('data', 'check', '--ckpt', trained / 'epoch_2.ckpt')
    assert done.status == 0, done.err
    assert done.out.startswith('train: 8 images')


def cut_off(path: Path, count: int = 40) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def test_check_continues_after_equal_names_and_an_empty_split(own_data: Path, workspace: Path, run: Run) -> None:
    for index in (2, 4):
        Image.new('RGB', (64, 64)).save(own_data / f'img_dir/train/000{index}.png')
    for path in (own_data / 'img_dir/val').iterdir():
        path.unlink()
    done = run('data', 'check', '--config', configure(own_data))
    assert done.status == 2
    folder = own_data / 'img_dir'
    assert done.out.startswith('train: 8 images, 64x64 (8)')
    assert [line for line in done.out.splitlines() if line.startswith('fault: ')] == [
        f'fault: val: The folder {folder}/val contains no image (.avif, .bmp, .dib, .gif, .j2k, .jfif, .jp2, .jpe, .jpeg, .jpg, .pbm, .pgm, .png, .pnm, .ppm, .tif, .tiff, .webp)',
        *(
            f'fault: train: {folder}/train/000{index}.png has the name of 000{index}.jpg beside it; their masks have '
            'the same name; rename or remove one'
            for index in (2, 4)
        ),
    ]
    assert done.err == (
        'seglight: 3 faults; fix this first: val: The folder '
        f'{folder}/val contains no image (.avif, .bmp, .dib, .gif, .j2k, .jfif, .jp2, .jpe, .jpeg, .jpg, .pbm, .pgm, .png, .pnm, .ppm, .tif, .tiff, .webp)\n'
    )
    for command in (['data', 'check'], ['fit']):  # an empty split cannot be left out
        done = run(*command, '--config', 'own.yaml', '--data.on_bad_sample=skip')
        assert done.status == 2
        assert 'contains no image' in done.err


def test_a_split_of_bad_files_alone_is_fatal(own_data: Path, workspace: Path, run: Run) -> None:
    for path in (own_data / 'img_dir/val').iterdir():
        cut_off(path)
    done = run('data', 'check', '--config', configure(own_data, on_bad_sample='skip'))
    assert done.status == 2
    assert done.err.startswith('seglight: 5 faults; ')
    assert 'val: no sample can be used' in done.err


def test_images_with_equal_names_are_left_out(own_data: Path, workspace: Path, run: Run) -> None:
    Image.new('RGB', (64, 64)).save(own_data / 'img_dir/train/0002.png')
    done = run('fit', '--config', configure(own_data, on_bad_sample='skip'), '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    assert 'img_dir/train/0002.jpg' in listed(Path('work_dirs/exp1'))['train']
    assert Path('work_dirs/exp1/left_out.txt').read_text().startswith(f'{own_data}/img_dir/train/0002.png has the name')
    assert len(listed(Path('work_dirs/exp1'))['train']) == 8


def test_masks_without_an_image_are_reported(own_data: Path, workspace: Path, run: Run) -> None:
    masks = [own_data / f'ann_dir/{name}.png' for name in ('train/more', 'train/in/more', 'val/more')]
    for path in masks:
        path.parent.mkdir(exist_ok=True)
        Image.new('L', (64, 64)).save(path)
    done = run('data', 'check', '--config', configure(own_data))
    assert done.status == 0
    warnings = [line for line in done.out.splitlines() if line.startswith('warning: the mask')]
    assert sorted(warnings) == sorted(f'warning: the mask {path} has no image' for path in masks)
    done = run('fit', '--config', 'own.yaml', '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    said = f'seglight: warning: the mask {masks[1]} has no image (and 2 more masks; `data check` lists them)'
    assert said in done.err.splitlines()
    (own_data / 'train.txt').write_text('0000\n0001\n0002\n0003\n')
    source = {'type': 'FolderSource', 'img_dir': 'img_dir/train', 'ann_dir': 'ann_dir/train'}
    done = run('data', 'check', '--config', configure(own_data, train={**source, 'split': 'train.txt'}))
    assert done.out.count('warning: the mask') == 1  # of val, which has no list


def test_the_mask_of_an_image_that_is_left_out_is_not_without_one(own_data: Path, workspace: Path, run: Run) -> None:
    damage(own_data)
    done = run('fit', '--config', configure(own_data, on_bad_sample='skip'), '--trainer.max_epochs=1')
    assert 'has no image' not in done.err


def test_files_that_are_cut_off_are_faults_and_odd_ones_are_none(own_data: Path, workspace: Path, run: Run) -> None:
    folder = own_data / 'img_dir/train'
    cut_off(folder / '0001.jpg')
    cut_off(own_data / 'ann_dir/train/0002.png')
    image = Image.open(folder / '0003.jpg')
    image.save(folder / '0003.jpg', progressive=True)
    (folder / '0004.jpg').write_bytes((folder / '0004.jpg').read_bytes() + b'of the camera' * 100)
    image.save(folder / '0005.jpg', 'MPO', save_all=True, append_images=[image])
    done = run('data', 'check', '--config', configure(own_data))
    assert done.status == 2
    assert [line for line in done.out.splitlines() if line.startswith('fault: ')] == [
        f'fault: train: The image {folder}/0001.jpg cannot be read: it is cut off or damaged; replace or remove it',
        f'fault: train: The mask {own_data}/ann_dir/train/0002.png cannot be read: it is cut off or damaged; '
        'replace or remove it',
    ]
    done = run('fit', '--config', 'own.yaml')
    assert done.status == 2
    assert done.err == (
        f'seglight: The image {folder}/0001.jpg cannot be read: it is cut off or damaged; replace or remove it '
        '(1 more file is wrong; `data check` lists them)\n'
    )
    assert not Path('work_dirs').exists()
    done = run('fit', '--config', 'own.yaml', '--data.on_bad_sample=skip', '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    assert len(Path('work_dirs/exp1/left_out.txt').read_text().splitlines()) == 2
    assert len(listed(Path('work_dirs/exp1'))['train']) == 6


@pytest.mark.parametrize('path', ['img_dir/test', 'img_dir/t*/*.jpg', 'list.txt'])
def test_images_to_predict_come_from_anywhere(
    path: str, trained: Path, own_data: Path, workspace: Path, run: Run
) -> None:
    images = [f'img_dir/test/{index:04}.jpg' for index in range(3)]
    (own_data / 'list.txt').write_text('\n'.join(images))
    source = f'{{type: ImageSource, path: "{path}"}}'
    done = run(
        'predict', '--ckpt', trained / 'epoch_2.ckpt', '--data.root', own_data, '--data.test', source, '--output', 'out'
    )
    assert done.status == 0, done.err
    names = {Path(name).stem for name in images}
    assert names <= {mask.stem for mask in Path('out/masks').rglob('*.png')}


#: What can be wrong with data, beside what `test_bad_input.py` has: keys of `data`, and what the error says.
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    'no such source': ({'train': {'type': 'Cocosource'}}, ["own.yaml", "unknown source 'Cocosource'", "'CocoSource'"]),
    'a source without its file': ({'train': {'type': 'CocoSource', 'ann_file': 'no.json'}}, ['no.json cannot be read']),
    'a source that only trains, of val': ({'val': {'type': 'FolderSource', 'img_dir': 'a', 'only_train': True}}, ['data.val.only_train is for']),
    'one class': ({'classes': ['object'], 'palette': None}, ['own.yaml', "what is not 'object': use [background, object]"]),
    'a source that is no dict': ({'train': {'ann_file': 'a'}}, ["data.train: a source must be a dict with 'type'"]),
    'a source without masks to train on': (
        {'train': {'type': 'ImageSource', 'path': 'img_dir/train'}}, ['0000.jpg has no mask', 'ann_dir']),
    'a folder that is not there': ({'train': 'trian'}, ['img_dir/trian does not exist']),
    'a split file that is not there': (
        {'train': {'type': 'FolderSource', 'img_dir': 'img_dir/train', 'ann_dir': 'ann_dir/train', 'split': 'no.txt'}},
        ['The list of images', 'no.txt cannot be read']),
    'a suffix that no image has': (
        {'train': {'type': 'FolderSource', 'img_dir': 'img_dir/train', 'ann_dir': 'ann_dir/train', 'img_suffix': '_x.jpg'}},
        ['contains no image (_x.jpg)']),
    'a mask suffix that no mask has': (
        {'train': {'type': 'FolderSource', 'img_dir': 'img_dir/train', 'ann_dir': 'ann_dir/train', 'mask_suffix': '_x.png'}},
        ['0000.jpg has no mask', '7 more files are wrong', 'data check']),
    'a label map of no class': (
        {'train': {'type': 'FolderSource', 'img_dir': 'img_dir/train', 'ann_dir': 'ann_dir/train', 'label_map': {1: 'Pape'}}},
        ["'Pape' is not in data.classes", "'Paper'"]),
    'a dataset of other classes': (
        {'train': {'type': 'CityscapesDataset', 'img_dir': 'img_dir', 'ann_dir': 'ann_dir'}}, ["CityscapesDataset has no class 'Background'"]),
    'a split of two kinds': ({'split': {'fold': '1 of 2', 'val_fraction': 0.1}}, ['data.split needs exactly one of']),
    'an unknown key of split': ({'split': {'folds': 3}}, ["has no argument 'folds'", "'fold'"]),
    'a fold beyond the last': ({'split': {'fold': '6 of 5'}}, ["'2 of 5'", "got '6 of 5'"]),
    'more folds than images': ({'split': {'fold': '1 of 9'}}, ['makes 9 parts', 'only 8 images']),
    'lists of other images': ({'split': {'folder': 'lists'}}, ['lists/train.txt names gone.jpg']),
    'a group that no name has': ({'split': {'fold': '1 of 2', 'group': '^x'}}, ["'^x' does not match the image name"]),
    'an unknown mix': ({'mixes': [{'type': 'Mosiac'}]}, ["unknown mix 'Mosiac'", "'Mosaic'"]),
    'a mix of no class': ({'mixes': [{'type': 'CopyPaste', 'classes': ['Cat']}]}, ["'Cat' of CopyPaste is not in data.classes"]),
    'a class balance beyond all': ({'class_balance': 2.0}, ['data.class_balance must be 0 to 1, got 2.0']),
    'an unknown policy': ({'on_bad_sample': 'ignore'}, ["'error', 'skip'", "'ignore'"]),
    'a transform inside another': (
        {'train_transforms': [{'type': 'OneOf', 'transforms': [{'type': 'HorizontalFlip'}, {'type': 'Blurr'}]}]},
        ['data.train_transforms.0.transforms.1', "'Blurr'", "'Blur'"]),
    'classes of no dataset': ({'classes': 'ADE20K'}, ["mmseg has no dataset 'ADE20K'", "'ADE20KDataset'"]),
    'a crop of nothing': (
        {'train_transforms': [{'type': 'CatMaxRatioCrop', 'height': 0, 'width': 4}]}, ['height must be a number of at least 1, got 0']),
    'a transform that the model does itself': (
        {'train_transforms': [{'type': 'Normalize'}]}, ['data.train_transforms.0: Normalize', 'model.mean and model.std']),
    'a transform that moves what is compared': (
        {'val_transforms': [{'type': 'HorizontalFlip'}]}, ['data.val_transforms.0: HorizontalFlip', 'whole image']),
    'grey images': (
        {'train_transforms': [{'type': 'ToGray', 'num_output_channels': 1, 'p': 1.0}]},
        ['return the image', 'as uint8 [', 'uint8 [H, W, 3]']),
    'padding before the image': (
        {'val_transforms': [{'type': 'PadIfNeeded', 'min_height': 80, 'min_width': 80}]}, ['at the right and bottom only']),
}  # fmt: skip


@pytest.mark.parametrize('case', WRONG)
def test_what_is_wrong_with_data_is_one_line_and_leaves_nothing(
    case: str, own_data: Path, workspace: Path, run: Run
) -> None:
    values, said = WRONG[case]
    Path('lists').mkdir()
    for name in ('train', 'val'):
        Path(f'lists/{name}.txt').write_text('gone.jpg\n')
    done = run('fit', '--config', configure(own_data, **values), '--trainer.max_epochs=1')
    assert done.status == 2, done
    assert len(done.err.splitlines()) == 1, done.err
    for part in said:
        assert part in done.err, (part, done.err)
    assert not list(Path().glob('work_dirs/*'))


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['data', 'chek'], 'chek'),
        (['data', 'check'], 'data check needs a config'),
        (['data', 'check', '--config', 'own.yaml', '--data.tran=x'], "did you mean '--data.train'"),
        (['data', 'check', '--config', 'own.yaml', '--model.x=1'], "unknown option '--model.x=1'"),
        (
            ['data', 'check', '--config', 'own.yaml', '--data.batch_size=0'],
            '--data.batch_size=0: data.batch_size must be at least 1',
        ),
        (['data', 'show', '--config', 'own.yaml', '--images', 'abc'], "argument --images: invalid int value: 'abc'"),
        (['data', 'show', '--config', 'own.yaml', '--output', 'own.yaml/x.png'], 'own.yaml/x.png cannot be written'),
    ],
)
def test_a_wrong_data_command_is_reported(
    words: list[str], said: str, own_data: Path, workspace: Path, run: Run
) -> None:
    configure(own_data)
    done = run(*words)
    assert done.status == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_check_finds_duplicates_and_proposes_groups(own_data: Path, workspace: Path, run: Run) -> None:
    root = own_data / 'img_dir'
    for source, copy, quality in (('train/0001', 'val/0002', 40), ('train/0004', 'test/0001', 60)):
        with Image.open(root / f'{source}.jpg') as image:
            image.convert('RGB').save(root / f'{copy}.jpg', quality=quality)
    config = configure(own_data)
    done = run('data', 'check', '--config', config, '--duplicates')
    assert done.status == 0, done.err
    assert 'near-duplicates: 2 groups with 4 of 15 images' in done.out
    assert 'warning: 1 group is in train and in val; metrics of val will be too optimistic' in done.out
    assert 'warning: 1 group is in train and in test\n' in done.out
    with Path('groups.csv').open() as file:
        rows = [(row['group'], row['split'], row['image']) for row in csv.DictReader(file)]
    assert rows == [
        ('1', 'train', 'img_dir/train/0001.jpg'),
        ('1', 'val', 'img_dir/val/0002.jpg'),
        ('2', 'train', 'img_dir/train/0004.jpg'),
        ('2', 'test', 'img_dir/test/0001.jpg'),
    ]
    split = {'fold': '1 of 4', 'group': 'groups.csv'}
    grouped = configure(own_data, train=['train', 'val'], split=split)
    module = data_module('data show', ['--config', str(grouped)])
    module.setup('fit')
    held = {sample.image.relative_to(root).as_posix() for sample in module.datasets['val'].samples}
    assert ('train/0001.jpg' in held) == ('val/0002.jpg' in held)
    again = run('data', 'check', '--config', grouped, '--duplicates', '--output', 'joined.csv')
    assert again.status == 0, again.err
    assert Path('joined.csv').read_text().splitlines()[1].startswith('1,')
    for words, message in [
        (['--output', 'groups.txt'], "--output must end with .csv, got 'groups.txt'"),
        (['--output', 'own.yaml/groups.csv'], 'own.yaml/groups.csv cannot be written: '),
        (['--output', 'taken.csv'], 'taken.csv cannot be written: it exists with other content'),
    ]:
        Path('taken.csv').write_text('mine')
        wrong = run('data', 'check', '--config', config, '--duplicates', *words)
        assert wrong.status == 2
        assert message in wrong.err
        assert len(wrong.err.splitlines()) == 1
    needless = run('data', 'check', '--config', config, '--output', 'groups.csv')
    assert (needless.status, needless.err) == (2, 'seglight: data check: --output needs --duplicates\n')
