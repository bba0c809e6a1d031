"""A source of archives has the same samples as the folders that they were made from."""

import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.data.sources import ArchiveSource, Context, FolderSource, Samples
from seglight.errors import DataError

CLASSES = ['sky', 'road', 'car']


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five images with masks, in folders, in one zip, in two tars, and images and masks apart."""
    rng = np.random.default_rng(0)
    for name in ('a', 'b', 'sub/c', 'sub/d', 'e.f'):
        for folder, suffix, shape in (('img_dir', '.jpg', (8, 9, 3)), ('ann_dir', '.png', (8, 9))):
            path = tmp_path / folder / f'{name}{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 3, shape, np.uint8)).save(path)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob('*.*') if path.is_file())
    (tmp_path / 'img_dir/.hidden.jpg').write_bytes(b'no image')
    with zipfile.ZipFile(tmp_path / 'all.zip', 'w') as archive:
        for file in [*files, Path('img_dir/.hidden.jpg')]:
            archive.write(tmp_path / file, file.as_posix())
    (tmp_path / 'parts').mkdir()
    for number, parts in enumerate((files[:4], files[4:])):
        with tarfile.open(tmp_path / f'parts/{number}.tar', 'w') as tar:
            for file in parts:
                tar.add(tmp_path / file, f'./{file.as_posix()}')
    for folder in ('img_dir', 'ann_dir'):
        with zipfile.ZipFile(tmp_path / f'{folder}.zip', 'w') as archive:
            for file in files:
                if file.parts[0] == folder:
                    archive.write(tmp_path / file, file.as_posix())
    return tmp_path


def test_samples_equal_those_of_folders(root: Path) -> None:
    context = Context(CLASSES, root=root)
    expected = FolderSource('img_dir', 'ann_dir', label_map={1: 'car'}).samples(context)
    for path in ('all.zip', 'parts', ['img_dir.zip', 'ann_dir.zip']):
        found = ArchiveSource(path, label_map={1: 'car'}, images=5).samples(context)
        for samples in (found, pickle.loads(pickle.dumps(found))):
            assert {each.name for each in samples} == {each.name for each in expected}
            assert samples.texts('names') == [each.name for each in samples]
            assert samples.texts('images') == [str(each.image) for each in samples]
            of = {each.name: each for each in samples}
            for each in expected:
                mask = of[each.name].mask
                assert each.mask is not None
                assert mask is not None
                assert (mask.read() == each.mask.read()).all()
                assert mask.size() == (8, 9)


def test_archives_may_have_no_masks_or_no_folders(root: Path) -> None:
    context = Context(CLASSES, root=root)
    found = ArchiveSource('img_dir.zip', ann_dir=None).samples(context)
    assert [each.mask for each in found] == [None] * 5
    assert not found.labelled.any()
    with zipfile.ZipFile(root / 'flat.zip', 'w') as archive:
        archive.write(root / 'img_dir/a.jpg', 'a.jpg')
        archive.write(root / 'ann_dir/a.png', 'masks/a_gt.png')
    flat = ArchiveSource('flat.zip', '', 'masks', mask_suffix='_gt.png').samples(context)
    assert [(each.name, each.mask is not None) for each in flat] == [('a', True)]


def message(root: Path, path: str | list[str], images: int | None = None) -> str:
    with pytest.raises(DataError) as error:
        ArchiveSource(path, images=images).samples(Context(CLASSES, root=root))
    assert '\n' not in str(error.value)
    return str(error.value)


def test_what_is_missing_is_named(root: Path) -> None:
    assert 'does not exist; correct path' in message(root, 'none.zip')
    assert 'img_dir contains no archive' in message(root, 'img_dir')
    assert 'must be an archive that ends with .zip or .tar' in message(root, 'img_dir/a.jpg')
    assert 'contains no image in img_dir/' in message(root, 'ann_dir.zip')
    assert 'has 5 images in 2 archives, must have 6; add the missing archive' in message(root, 'parts', images=6)
    shutil.copy(root / 'all.zip', root / 'parts/2.zip')
    assert 'have the same name' in message(root, 'parts')
    samples = ArchiveSource('img_dir.zip').samples(Context(CLASSES, root=root))
    assert isinstance(samples, Samples)
    assert samples[0].mask is None
    assert 'a.jpg has no mask: ann_dir/a.png is in none of the archives' in (samples[0].fault or '')
