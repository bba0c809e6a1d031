"""What `predict` writes, as a user asks for it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import Result
from PIL import Image
from pycocotools.coco import COCO

import seglight
from seglight.palette import overlay

Run = Callable[..., Result]


def labels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.fixture
def checkpoint(trained: Path, workspace: Path) -> Path:
    """A checkpoint alone in its folder."""
    return Path(shutil.copy(trained / 'epoch_2.ckpt', workspace / 'epoch_2.ckpt'))


def test_everything_at_once(checkpoint: Path, run: Run, data_root: Path) -> None:
    done = run(
        'predict', '--ckpt', checkpoint, '--output', 'out', '--overlays', '--coco', '--submission',
        '--submission-size=[32,16]', '--probabilities', 'float16', '--pseudo-labels', '0.2',
    )  # fmt: skip
    assert done.status == 0, done.err
    names = sorted(path.stem for path in (data_root / 'img_dir' / 'test').iterdir())
    masks = [labels(Path(f'out/masks/{name}.png')) for name in names]
    images = [f'{name}.jpg' for name in names]
    # the submission, as pandas would write it
    strings = [' '.join(map(str, mask[::2, ::4].flatten().tolist())) for mask in masks]
    pd.DataFrame({'image_id': images, 'PredictionString': strings}).to_csv('expected.csv', index=False)
    assert Path(f'out/{checkpoint.stem}.csv').read_bytes() == Path('expected.csv').read_bytes()
    # COCO
    coco = COCO('out/predictions.json')
    assert [image['file_name'] for image in coco.loadImgs(coco.getImgIds())] == images
    for number, mask in zip(coco.getImgIds(), masks, strict=True):
        painted = sum(coco.annToMask(each) * each['category_id'] for each in coco.imgToAnns[number])
        assert (painted == mask).all()
    # probabilities and pseudo labels
    for name, mask in zip(names, masks, strict=True):
        probabilities = np.load(f'out/probabilities/{name}.npz')['probabilities'].astype(np.float32)
        assert probabilities.shape == (11, *mask.shape)
        assert abs(probabilities.sum(0) - 1).max() < 0.01
        sure = probabilities.max(0)
        pseudo = labels(Path(f'out/pseudo_labels/ann_dir/{name}.png'))
        clear = abs(sure - 0.2) > 1e-3  # half precision
        assert (pseudo == np.where(sure < 0.2, 255, mask))[clear].all()
        assert labels(Path(f'out/pseudo_labels/img_dir/{name}.jpg')).shape == (64, 64, 3)
    assert len(list(Path('out/overlays').iterdir())) == 3
    assert Image.open('out/contact_sheet.jpg').size == (960, 240)
    # the summary
    share = 100 * np.mean(np.stack(masks) == 1)
    assert f'{share:.2f} %' in done.out
    assert '3 images predicted' in done.out


def test_pseudo_labels_train_beside_the_data_that_there_was(
    checkpoint: Path, run: Run, tiny_config: Path, data_root: Path
) -> None:
    flags = ['--pseudo-labels', '0.1', '--pseudo-weight', '2', '--input', data_root / 'img_dir' / 'val']
    assert run('predict', '--ckpt', checkpoint, '--output', 'out', *flags).status == 0
    more = ['--config', 'out/pseudo_labels/data.yaml', '--trainer.max_epochs=1']
    done = run('fit', '--config', tiny_config, *more)
    assert done.status == 0, done.err
    with Path('work_dirs/exp1/metrics.csv').open() as file:
        steps = [row['train/loss'] for row in csv.DictReader(file) if row['train/loss']]
    assert len(steps) == (8 + 2 * 4) // 4  # in batches of four


@pytest.mark.parametrize('flag, value', [('--pseudo-labels', '1.5'), ('--probabilities', 'float64')])
def test_wrong_values_are_refused(checkpoint: Path, run: Run, flag: str, value: str) -> None:
    done = run('predict', '--ckpt', checkpoint, flag, value)
    assert done.status == 2
    assert flag in done.err
    assert not Path('predictions').exists()


def test_input_is_a_file_a_pattern_a_list_or_a_coco_json(checkpoint: Path, run: Run, data_root: Path) -> None:
    images = sorted((data_root / 'img_dir' / 'test').iterdir())
    listed = [images[2], images[0]]
    Path('list.txt').write_text(''.join(f'{path}\n' for path in listed))
    entries = [
        {'id': 7 - n, 'file_name': f'img_dir/test/{p.name}', 'height': 64, 'width': 64} for n, p in enumerate(listed)
    ]
    Path(data_root / 'some.json').write_text(json.dumps({'images': entries, 'annotations': [], 'categories': []}))
    for name, expected in (
        (images[1], [images[1].name]),
        (images[0].parent / '*1*.jpg', [path.name for path in images if '1' in path.name]),
        ('list.txt', [path.name for path in listed]),
        (data_root / 'some.json', [f'img_dir/test/{path.name}' for path in listed]),
    ):
        done = run('predict', '--ckpt', checkpoint, '--input', name, '--output', 'out', '--submission')
        assert done.status == 0, done.err
        assert list(pd.read_csv('out/epoch_2.csv')['image_id']) == expected
        Path('out/epoch_2.csv').unlink()


def test_a_submission_is_never_overwritten(checkpoint: Path, run: Run) -> None:
    assert run('predict', '--ckpt', checkpoint, '--submission').status == 0
    first = Path('epoch_2.csv').stat().st_mtime_ns
    again = run('predict', '--ckpt', checkpoint, '--submission')
    assert again.status == 2
    assert 'epoch_2.csv exists; remove it, or choose another name with --remark' in again.err
    assert run('predict', '--ckpt', checkpoint, '--remark', 'flips').status == 0
    assert Path('epoch_2.csv').stat().st_mtime_ns == first
    assert Path('epoch_2_flips.csv').read_bytes() == Path('epoch_2.csv').read_bytes()


def test_uint8_probabilities_are_within_half_a_step(checkpoint: Path, run: Run) -> None:
    for kind in ('float16', 'uint8'):
        assert run('predict', '--ckpt', checkpoint, '--output', kind, '--probabilities', kind).status == 0
    for path in Path('uint8/probabilities').iterdir():
        coarse = np.load(path)['probabilities']
        assert coarse.dtype == np.uint8
        fine = np.load(Path('float16/probabilities') / path.name)['probabilities']
        assert abs(coarse / 255 - fine).max() < 0.51 / 255 + 5e-4


def test_a_bad_file_does_not_end_the_run(checkpoint: Path, run: Run, data_root: Path) -> None:
    photos = Path(shutil.copytree(data_root / 'img_dir' / 'test', 'photos'))
    good = len(list(photos.iterdir()))
    (photos / 'broken.jpg').write_bytes(b'no image')
    Image.fromarray(np.zeros((9, 9), np.float32)).save(photos / 'float.tif')
    for name in ('cut.jpg', 'half.png'):
        Image.open(photos / '0000.jpg').save(photos / name)
        (photos / name).write_bytes((photos / name).read_bytes()[:-500])
    done = run('predict', '--ckpt', checkpoint, '--input', 'photos', '--data.batch_size=1')
    assert done.status == 2
    last = done.err.splitlines()[-1]
    assert '4 images could not be predicted; all others are done' in last
    assert all(
        done.err.count(f'{name} cannot be read') == 1 for name in ('broken.jpg', 'float.tif', 'cut.jpg', 'half.png')
    )
    assert all(f'photos/{name}' in last for name in ('broken.jpg', 'float.tif', 'cut.jpg', 'half.png'))
    assert 'broken.jpg cannot be read' in done.err
    assert 'float.tif cannot be read: it has float32 values' in done.err
    for name in ('cut.jpg', 'half.png'):
        assert f'{name} cannot be read: it is cut off or damaged' in done.err
    assert len(list(Path('predictions/epoch_2_photos/masks').iterdir())) == good


def test_images_of_every_kind_are_predicted_at_their_size(checkpoint: Path, run: Run) -> None:
    Path('photos').mkdir()
    grey = np.linspace(0, 255, 40 * 70).reshape(40, 70).astype(np.uint8)
    image = Image.fromarray(grey)
    image.save('photos/grey.png')
    image.convert('RGBA').save('photos/rgba.png')
    image.convert('1').save('photos/bits.png')
    image.convert('P').save('photos/palette.png')
    Image.fromarray(grey.astype(np.uint16) * 257).save('photos/deep.png')
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    image.convert('RGB').save('photos/turned.jpg', exif=exif)
    Image.fromarray(grey[:3, :5]).save('photos/tiny.png')
    done = run('predict', '--ckpt', checkpoint, '--input', 'photos')
    assert done.status == 0, done.err
    masks = {path.stem: labels(path) for path in Path('predictions/epoch_2_photos/masks').iterdir()}
    shapes = {name: mask.shape for name, mask in masks.items()}
    assert shapes.pop('turned') == (70, 40)
    assert shapes.pop('tiny') == (3, 5)
    assert set(shapes.values()) == {(40, 70)}
    assert len(shapes) == 5
    assert (masks['grey'] == masks['rgba']).all()
    assert (masks['grey'] == masks['deep']).all()


def slow_down(path: Path) -> Path:
    """Write a callback that lets a run be stopped between two batches."""
    path.write_text(
        'import time\n'
        'from pytorch_lightning import Callback\n'
        'class Slow(Callback):\n'
        '    def on_predict_batch_start(self, *args): time.sleep(0.4)\n'
    )
    return path


def test_a_run_that_was_killed_goes_on_where_it_was(checkpoint: Path, run: Run, data_root: Path) -> None:
    photos = Path('photos')
    photos.mkdir()
    for number in range(12):
        source = sorted((data_root / 'img_dir' / 'train').iterdir())[number % 8]
        shutil.copy(source, photos / f'{number:02}.jpg')
    slow_down(Path('slowly.py'))
    command = ['predict', '--ckpt', str(checkpoint), '--input', 'photos', '--output', 'out', '--submission', '--coco']
    flags = ['--data.batch_size=1', '--data.num_workers=0', '--trainer.callbacks+=slowly.Slow']
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(Path.cwd()), os.environ.get('PYTHONPATH', '')])}
    process = subprocess.Popen([sys.executable, '-m', 'seglight', *command, *flags], env=environment)
    masks = Path('out/masks')
    deadline = time.monotonic() + 90
    while len(list(masks.glob('*.png'))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in masks.glob('*.png')}
    assert 3 <= len(before) < 12
    assert not Path('out/epoch_2.csv').exists()
    assert not Path('out/predictions.json').exists()
    resumed = run(*command, '--resume')
    assert resumed.status == 0, resumed.err
    after = {path.name: path.stat().st_mtime_ns for path in masks.glob('*.png')}
    assert len(after) == 12
    kept = sum(after[name] == moment for name, moment in before.items())
    assert kept >= len(before) - 1  # the last may have its mask, but not its row yet
    # What was put together in two runs is what one run writes.
    whole = run(*command[:6], 'once', '--remark', 'once', '--coco')
    assert whole.status == 0, whole.err
    assert Path('out/epoch_2.csv').read_bytes() == Path('once/epoch_2_once.csv').read_bytes()
    assert json.loads(Path('out/predictions.json').read_text()) == json.loads(Path('once/predictions.json').read_text())
    assert not list(Path().rglob('.*.partial'))
    nothing = run(*command, '--resume')
    assert nothing.status == 0, nothing.err
    assert '12 of 12 images are already predicted' in nothing.out


def soften(checkpoint: Path, path: Path, seed: int) -> Path:
    """Write a checkpoint of the same kind with other weights."""
    content = torch.load(checkpoint, weights_only=True)
    torch.manual_seed(seed)
    for value in content['state_dict'].values():
        if value.is_floating_point() and value.ndim > 1:
            value += torch.randn_like(value)
    torch.save(content, path)
    return path


def test_checkpoints_vote_with_their_probabilities_and_weights(checkpoint: Path, run: Run) -> None:
    other = soften(checkpoint, Path('other.ckpt'), 1)
    single = []
    for number, path in enumerate((checkpoint, other)):
        done = run('predict', '--ckpt', path, '--output', f'single{number}', '--probabilities', 'float16')
        assert done.status == 0, done.err
        single.append(
            {each.stem: np.load(each)['probabilities'] for each in Path(f'single{number}/probabilities').iterdir()}
        )
    done = run(
        'predict',
        '--ckpt',
        checkpoint,
        '--ckpt',
        other,
        '--ckpt-weights',
        '2',
        '1',
        '--output',
        'both',
        '--probabilities',
        'float16',
    )
    assert done.status == 0, done.err
    for path in Path('both/probabilities').iterdir():
        expected = (2 * single[0][path.stem].astype(float) + single[1][path.stem]) / 3
        np.testing.assert_allclose(np.load(path)['probabilities'], expected, atol=2e-3)
        assert abs(single[0][path.stem] - single[1][path.stem]).max() > 0.05


@pytest.mark.parametrize('command', ['validate', 'test'])
def test_an_ensemble_is_measured_too(checkpoint: Path, run: Run, command: str) -> None:
    other = soften(checkpoint, Path('other.ckpt'), 1)
    tables = [run(command, *flags).out for flags in (['--ckpt', checkpoint], ['--ckpt', checkpoint, '--ckpt', other])]
    assert all('mIoU' in table for table in tables)
    assert tables[0] != tables[1]


def test_a_wrong_ensemble_is_refused(checkpoint: Path, run: Run) -> None:
    wrong = run('predict', '--ckpt', checkpoint, '--ckpt', checkpoint, '--ckpt-weights', '1', '2', '3')
    assert wrong.status == 2
    assert '--ckpt-weights must be a positive number for each of the 2 checkpoints' in wrong.err
    content = torch.load(checkpoint, weights_only=True)
    content['hyper_parameters']['classes'] = [*content['hyper_parameters']['classes'][1:], 'Cloud']
    torch.save(content, 'clouds.ckpt')
    wrong = run('predict', '--ckpt', checkpoint, '--ckpt', 'clouds.ckpt')
    assert wrong.status == 2
    assert 'clouds.ckpt must have the same classes as the first checkpoint' in wrong.err


def test_every_frame_of_a_video_is_predicted(checkpoint: Path, run: Run) -> None:
    video = cv2.VideoWriter('clip.avi', cv2.VideoWriter.fourcc(*'MJPG'), 5, (48, 32))
    for grey in (0, 80, 160, 240):
        video.write(np.full((32, 48, 3), grey, np.uint8))
    video.release()
    done = run('predict', '--ckpt', checkpoint, '--input', 'clip.avi')
    assert done.status == 0, done.err
    folder = Path('predictions/epoch_2_clip')
    assert [path.stem for path in sorted((folder / 'masks').iterdir())] == [f'frame_{n:06}' for n in (1, 2, 3, 4)]
    (third,) = folder.glob('frames/*/frame_000003.jpg')
    assert abs(np.asarray(Image.open(third)).mean() - 160) < 3
    Path('other').mkdir()
    video = cv2.VideoWriter('other/clip.avi', cv2.VideoWriter.fourcc(*'MJPG'), 5, (48, 32))
    video.write(np.full((32, 48, 3), 240, np.uint8))
    video.release()
    assert run('predict', '--ckpt', checkpoint, '--input', 'other/clip.avi').status == 0
    first = [path for path in folder.glob('frames/*/frame_000001.jpg') if np.asarray(Image.open(path)).mean() > 230]
    assert [path.name for path in first[0].parent.iterdir()] == ['frame_000001.jpg']
    assert third.is_file()  # a run that predicts the first video still reads its frames
    Path('broken.mp4').write_bytes(b'no video')
    done = run('predict', '--ckpt', checkpoint, '--input', 'broken.mp4')
    assert done.status == 2
    assert 'broken.mp4 cannot be read: it is damaged or not a video' in done.err


def test_sliding_windows_are_asked_for_on_the_command_line(checkpoint: Path, run: Run) -> None:
    slide = [f'--model.segmentor.test_cfg.{flag}' for flag in ('mode=slide', 'crop_size=[48,48]', 'stride=[32,32]')]
    for blend in ('mean', 'gaussian', 'linear'):
        done = run(
            'predict', '--ckpt', checkpoint, *slide, f'--model.segmentor.test_cfg.blend={blend}', '--output', blend
        )
        assert done.status == 0, done.err
    wrong = run('predict', '--ckpt', checkpoint, *slide, '--model.segmentor.test_cfg.blend=gauss')
    assert wrong.status == 2
    assert "test_cfg.blend must be one of mean, linear, gaussian, got 'gauss'" in wrong.err


def test_no_run_goes_on_with_the_predictions_of_another_checkpoint(trained: Path, workspace: Path, run: Run) -> None:
    assert run('predict', '--ckpt', trained / 'epoch_1.ckpt', '--output', 'out').status == 0
    done = run('predict', '--ckpt', trained / 'epoch_2.ckpt', '--output', 'out', '--resume')
    assert done.status == 2
    assert 'out contains predictions made with a different checkpoint' in done.err
    assert run('predict', '--ckpt', trained / 'epoch_1.ckpt', '--output', 'out', '--resume').status == 0
    done = run('predict', '--ckpt', trained / 'epoch_1.ckpt', '--output', 'out', '--resume', '--aug-test')
    assert 'a different aug_test' in done.err
    outputs = ['--submission', '--submission-size', '16', '--probabilities', 'float16']
    assert run('predict', '--ckpt', trained / 'epoch_1.ckpt', '--output', 'out', '--resume', *outputs).status == 0
    for flags, key in (
        (['--submission', '--submission-size', '8'], 'submission_size'),
        (['--probabilities', 'uint8'], 'probabilities'),
        (['--data.val_transforms', '[{type: Resize, height: 32, width: 32}]'], 'data.val_transforms'),
        (['--trainer.precision', 'bf16-mixed'], 'trainer.precision'),
    ):
        done = run('predict', '--ckpt', trained / 'epoch_1.ckpt', '--output', 'out', '--resume', *flags)
        assert done.status == 2
        assert f'a different {key}' in done.err
    assert run('predict', '--ckpt', trained / 'epoch_1.ckpt', '--output', 'out', '--resume', '--overlays').status == 0
    smaller = ['--data.batch_size=1', '--data.num_workers=1', '--overlays']
    assert run('predict', '--ckpt', trained / 'epoch_1.ckpt', '--output', 'out', '--resume', *smaller).status == 0


def masks_in(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder, 'masks').iterdir()}


def test_what_a_run_with_other_settings_wrote_is_not_done(checkpoint: Path, run: Run) -> None:
    command = ['predict', '--ckpt', checkpoint, '--output']
    plain, views = [*command, 'out'], [*command, 'out', '--aug-test', '--overlays']
    assert run(*plain, '--submission').status == 0
    done = run(*views, '--submission')
    assert 'out/epoch_2.csv exists; remove it' in done.err
    done = run(*views, '--submission', '--resume')
    assert done.status == 2
    assert 'out/epoch_2.csv exists, from a run with other settings; remove it' in done.err
    assert run(*command, 'expected', '--aug-test').status == 0
    assert masks_in('out') != masks_in('expected')
    assert run(*views, '--resume').status == 0
    assert masks_in('out') == masks_in('expected')
    Path('out/epoch_2.csv').unlink()
    assert run(*views, '--submission', '--resume').status == 0
    assert 'are already predicted' in run(*views, '--submission', '--resume').out


def test_the_journal_of_a_run_with_other_settings_is_left_out(checkpoint: Path, run: Run, data_root: Path) -> None:
    photos = Path(shutil.copytree(data_root / 'img_dir' / 'test', 'photos'))
    broken = photos / 'broken.jpg'
    broken.write_bytes(b'no image')
    command = ['predict', '--ckpt', checkpoint, '--input', photos]
    assert run(*command, '--submission').status == 2  # which leaves the journal
    (written,) = checkpoint.parent.glob('*.csv')
    written.unlink()
    broken.unlink()
    assert run(*command, '--aug-test').status == 0
    assert run(*command, '--aug-test', '--submission', '--resume').status == 0
    assert run(*command, '--aug-test', '--submission', '--output', 'out').status == 0
    (expected,) = Path('out').glob('*.csv')
    assert written.read_bytes() == expected.read_bytes()


def test_the_size_of_a_submission_is_that_of_the_interrupted_run(checkpoint: Path, run: Run) -> None:
    command = ['predict', '--ckpt', checkpoint, '--output', 'out', '--submission', '--submission-size']
    assert run(*command, 'null').status == 0
    done = run(*command, '16', '--resume')
    assert done.status == 2
    assert 'a different submission_size' in done.err
    assert run(*command, 'null', '--resume').status == 0


def test_an_ensemble_tells_of_checkpoints_whose_images_were_read_otherwise(checkpoint: Path, run: Run) -> None:
    content = torch.load(checkpoint, weights_only=True)
    config = yaml.safe_load(content['config'])
    config['data'] |= {'val_transforms': [{'type': 'Resize', 'height': 32, 'width': 32}], 'image_range': [0, 1000]}
    content['config'] = yaml.safe_dump(config)
    torch.save(content, 'smaller.ckpt')
    done = run('predict', '--ckpt', checkpoint, '--ckpt', 'smaller.ckpt', '--output', 'out')
    assert done.status == 0, done.err
    for key in ('val_transforms', 'image_range'):
        assert f'smaller.ckpt was trained with another data.{key}, but an ensemble reads each image once' in done.err
    members = [{'checkpoints': [str(checkpoint), 'smaller.ckpt'], 'weight': 1}]
    Path('ensemble.yaml').write_text(yaml.safe_dump({'members': members}))
    assert 'smaller.ckpt was trained with another data.image_range' in run('predict', '--ensemble', 'ensemble.yaml').err
    shutil.copy(checkpoint, 'same.ckpt')
    assert 'was trained with' not in run('predict', '--ckpt', checkpoint, '--ckpt', 'same.ckpt', '--output', 'out').err


def test_a_resumed_submission_has_the_images_that_there_are(checkpoint: Path, run: Run, data_root: Path) -> None:
    photos = Path(shutil.copytree(data_root / 'img_dir' / 'test', 'photos'))
    first, *others = sorted(photos.iterdir())
    (photos / 'broken.jpg').write_bytes(b'no image')
    command = ['predict', '--ckpt', checkpoint, '--input', photos, '--output', 'out', '--submission']

    def ids() -> list[str]:
        return [row[0] for row in csv.reader(Path('out/epoch_2.csv').open())][1:]

    done = run(*command)
    assert done.status == 2
    assert (
        'epoch_2.csv lacks 1 image that could not be predicted, such as broken; fix this, then add --resume' in done.err
    )
    first.unlink()
    assert run(*command, '--resume').status == 2
    assert ids() == [path.name for path in others]
    shutil.copy(others[0], photos / 'broken.jpg')
    assert run(*command, '--resume').status == 0
    assert ids() == [*(path.name for path in others), 'broken.jpg']
    assert 'are already predicted' in run(*command, '--resume').out
    shutil.copy(others[0], photos / 'later.jpg')  # after the submission was complete
    assert run(*command, '--resume').status == 0
    assert ids() == [*(path.name for path in others), 'broken.jpg', 'later.jpg']


def test_files_of_an_earlier_prediction_are_told(checkpoint: Path, run: Run, data_root: Path) -> None:
    first, second, *_ = sorted((data_root / 'img_dir' / 'test').iterdir())
    for image, folder in ((first, 'mine/photos'), (second, 'yours/photos')):
        Path(folder).mkdir(parents=True)
        shutil.copy(image, folder)
    assert 'of other images' not in run('predict', '--ckpt', checkpoint, '--input', 'mine/photos').err
    assert 'of other images' not in run('predict', '--ckpt', checkpoint, '--input', 'mine/photos').err
    done = run('predict', '--ckpt', checkpoint, '--input', 'yours/photos')
    masks = Path('predictions/epoch_2_photos/masks')
    assert f'{masks} also has 1 file of other images, such as {first.stem}.png' in done.err
    assert sorted(path.stem for path in masks.iterdir()) == [first.stem, second.stem]


def test_images_are_named_by_their_whole_file_name(checkpoint: Path, run: Run, data_root: Path) -> None:
    folder = Path('city')
    folder.mkdir()
    for path in (data_root / 'img_dir' / 'test').iterdir():
        shutil.copy(path, folder / f'{path.stem}_left.v2.jpg')
    source = f"{{type: FolderSource, img_dir: '{folder.absolute()}', ann_dir: null, img_suffix: _left.v2.jpg}}"
    command = ['predict', '--ckpt', checkpoint, f'--data.test={source}', '--submission', '--coco', '--output']
    assert run(*command, 'out').status == 0
    names = sorted(path.name for path in folder.iterdir())
    assert sorted(pd.read_csv('out/epoch_2.csv')['image_id']) == names
    images = json.loads(Path('out/predictions.json').read_text())['images']
    assert sorted(image['file_name'] for image in images) == names
    for part in ('1/2', '2/2'):
        assert run(*command, 'parts', '--part', part, '--data.batch_size=1').status == 0
    assert run('join', 'parts', '--output', 'joined').status == 0
    for name in ('epoch_2.csv', 'predictions.json'):
        assert Path('joined', name).read_bytes() == Path('out', name).read_bytes()
    assert len(list(Path('joined/masks').iterdir())) == len(names)


def test_images_of_16_bits_are_predicted_with_the_range_of_their_training(
    tiny_config: Path, run: Run, workspace: Path
) -> None:
    done = run('fit', '--config', tiny_config, '--data.image_range=[200, 1200]', '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    (workspace / 'deep').mkdir()
    blocks = np.random.default_rng(0).integers(0, 1500, (8, 8, 3)).astype(np.uint16)
    values = blocks.repeat(8, 0).repeat(8, 1)
    cv2.imwrite(str(workspace / 'deep/a.png'), values[..., ::-1])
    seen = np.rint(np.clip((values.astype(float) - 200) / 1000 * 255, 0, 255)).astype(np.uint8)
    predictor = seglight.load('exp1')
    expected = predictor.predict(seen)
    assert np.array_equal(predictor.predict(workspace / 'deep/a.png'), expected)
    done = run('predict', '--ckpt', 'exp1', '--input', 'deep', '--output', 'out', '--overlays')
    assert done.status == 0, done.err
    assert np.array_equal(np.asarray(Image.open(workspace / 'out/masks/a.png')), expected)
    drawn = np.asarray(Image.open(workspace / 'out/overlays/a.jpg'))
    assert np.abs(drawn.astype(float) - overlay(seen, expected, predictor.palette, 0.5)).mean() < 10
