"""What a data set may name its images, and where their predictions go."""

import csv
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Result
from PIL import Image

Run = Callable[..., Result]


@pytest.fixture
def checkpoint(trained: Path, workspace: Path) -> Path:
    """A checkpoint alone in its folder."""
    (workspace / 'run').mkdir()
    return Path(shutil.copy(trained / 'epoch_2.ckpt', workspace / 'run' / 'epoch_2.ckpt'))


def save_photo(path: Path, suffix: str = '') -> None:
    """Write an image of 24x32 pixels; the suffix is part of names that are not text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.fsencode(path) + os.fsencode(suffix), 'wb') as file:  # noqa: PTH123
        Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(file, format='JPEG')


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


@pytest.mark.parametrize('line', ['../../victim/photo', '{root}/victim/photo', 'deep/../../../victim/photo'])
def test_a_split_that_leaves_its_folder_writes_nothing(checkpoint: Path, workspace: Path, run: Run, line: str) -> None:
    save_photo(workspace / 'victim/photo.jpg')
    (workspace / 'victim/photo.png').write_bytes(b'precious')
    (workspace / 'set/images/deep').mkdir(parents=True)
    (workspace / 'set/val.txt').write_text(line.format(root=workspace))
    before = everything_below(workspace)
    source = '{type: PascalVOCDataset, img_dir: images, split: val.txt, category_map: {background: Background}}'
    done = run('predict', '--ckpt', checkpoint, '--data.root=set', '--output=a/b/out', f'--data.test={source}')
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    assert 'leads out of its folder' in done.err
    assert everything_below(workspace) == before


def test_a_line_break_in_a_name_is_refused_in_one_line(checkpoint: Path, workspace: Path, run: Run) -> None:
    save_photo(workspace / 'photos/good.jpg')
    save_photo(workspace / 'photos/a\nb.jpg')
    done = run('predict', '--ckpt', checkpoint, '--input', 'photos', '--submission', '--output', 'out')
    assert done.status == 2
    assert done.err.splitlines() == [done.err.strip()]
    assert r"a\nb.jpg': its name has a control character or a line break; rename it" in done.err
    assert not Path('out').exists()


def test_names_that_are_not_text_or_very_long_go_into_every_file(checkpoint: Path, workspace: Path, run: Run) -> None:
    long, bytes_ = 'x' * 250, 'caf\udce9'
    save_photo(workspace / f'photos/{long}', '.jpg')
    save_photo(workspace / f'photos/{bytes_}', '.jpg')
    save_photo(workspace / 'photos/=1+1', '.jpg')
    flags = ['--submission', '--coco', '--overlays', '--pseudo-labels=0.1', '--submission-size=[2,2]']
    done = run('predict', '--ckpt', checkpoint, '--input', 'photos', '--output', 'out', *flags)
    assert done.status == 0, done.err
    masks = {os.fsencode(path.name) for path in Path('out/masks').iterdir()}
    assert masks == {b'caf\xe9.png', b'=1+1.png', b'x' * 250 + b'.png'}
    with Path('out/epoch_2.csv').open(encoding='utf-8', errors='surrogateescape', newline='') as file:
        assert {row[0] for row in csv.reader(file)} == {'image_id', f'{bytes_}.jpg', '=1+1.jpg', f'{long}.jpg'}
    assert run('vote', 'out/epoch_2.csv', 'out/epoch_2.csv', '--output', 'voted.csv').status == 0
    assert Path('voted.csv').read_bytes() == Path('out/epoch_2.csv').read_bytes()


def test_a_folder_with_the_name_of_a_mask_is_told_before_anything_is_written(
    checkpoint: Path, workspace: Path, run: Run
) -> None:
    save_photo(workspace / 'photos/a.jpg')
    save_photo(workspace / 'photos/a.png/b.jpg')
    done = run('predict', '--ckpt', checkpoint, '--input', 'photos', '--output', 'out')
    assert done.status == 2
    assert "masks/a.png would be the file of image 'a' and the folder of 'a.png/b'; rename one of them" in done.err
    assert not Path('out/masks').exists()


def test_everything_goes_to_the_output_where_the_checkpoint_lies_in_a_folder_that_cannot_be_written(
    checkpoint: Path, workspace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_photo(workspace / 'photos/a.jpg')
    mkdir = Path.mkdir

    def refuse(path: Path, *arguments: Any, **options: Any) -> None:
        if path.resolve().is_relative_to(checkpoint.parent):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, 'mkdir', refuse)  # root may write anywhere
    before = everything_below(checkpoint.parent)
    done = run('predict', '--ckpt', checkpoint, '--input', 'photos', '--submission')
    assert done.status == 2
    assert 'Permission denied; choose another folder with --output' in done.err
    done = run('predict', '--ckpt', checkpoint, '--input', 'photos', '--submission', '--output', 'out')
    assert done.status == 0, done.err
    assert Path('out/epoch_2.csv').is_file()
    assert everything_below(checkpoint.parent) == before


def test_a_full_disk_ends_in_one_line_and_resume_goes_on(
    checkpoint: Path, workspace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in 'abc':
        save_photo(workspace / f'photos/{name}.jpg')
    command = ['predict', '--ckpt', checkpoint, '--input', 'photos', '--data.batch_size=1', '--probabilities=float16']
    command += ['--submission', '--coco']
    assert run(*command, '--output', 'whole').status == 0
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name == 'b.npz':
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path), None, str(target))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'replace', full)
        done = run(*command, '--output', 'out')
    assert done.status == 2
    assert 'No space left on device; fix this, then add --resume' in done.err
    assert 'Traceback' not in done.err
    assert not list(Path('out').rglob('*.tmp'))
    done = run(*command, '--output', 'out', '--resume')
    assert done.status == 0, done.err
    for name in ('epoch_2.csv', 'predictions.json', 'masks/c.png'):
        assert Path('out', name).read_bytes() == Path('whole', name).read_bytes()


def test_classes_can_have_the_numbers_of_a_benchmark(checkpoint: Path, workspace: Path, run: Run) -> None:
    save_photo(workspace / 'photos/a.jpg')
    command = ['predict', '--ckpt', checkpoint, '--input', 'photos']
    numbers = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 255]
    assert run(*command, '--output', 'plain').status == 0
    assert run(*command, '--output', 'ade', '--mask-labels', '1').status == 0
    assert run(*command, '--output', 'city', f'--mask-labels={numbers}').status == 0
    plain, ade, city = (Image.open(f'{name}/masks/a.png') for name in ('plain', 'ade', 'city'))
    assert (np.asarray(ade) == np.asarray(plain) + 1).all()
    assert (np.asarray(city) == np.array(numbers)[np.asarray(plain)]).all()
    assert plain.convert('RGB').tobytes() == ade.convert('RGB').tobytes() == city.convert('RGB').tobytes()
    for wrong in ('[1,2]', '250', '-1', '[0,1,2,3,4,5,6,7,8,9,256]'):
        done = run(*command, '--output', 'wrong', f'--mask-labels={wrong}')
        assert done.status == 2
        assert '--mask-labels must' in done.err
