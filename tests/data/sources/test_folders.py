"""Folders of images and masks, with suffixes, split files and masks of every kind."""

import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglight.data.checks import masks_without_image
from seglight.data.sources import Context, FolderSource, ImageSource, MaskFile, build_sources, find_samples
from seglight.errors import ConfigError, DataError

CLASSES = ['sky', 'road', 'car']
PALETTE = [[0, 0, 255], [100, 100, 100], [255, 0, 0]]
LABELS = np.array([[0, 1, 2, 255]] * 3, dtype=np.uint8)


def save(path: Path, pixels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new('RGB', (4, 3)) if pixels is None else Image.fromarray(pixels)
    image.save(path)
    return path


def masks(root: Path, **options: Any) -> dict[str, np.ndarray]:
    source = FolderSource('img', 'ann', **options)
    samples = source.samples(Context(CLASSES, PALETTE, root=root))
    return {sample.name: sample.mask.read() for sample in samples if sample.mask}


def with_palette(labels: np.ndarray) -> Image.Image:
    image = Image.fromarray(labels)
    image.putpalette(range(256))
    return image


def coloured(labels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.array([*PALETTE, [9, 9, 9]], dtype=np.uint8)[np.minimum(labels, 3)])


KINDS: dict[str, Callable[[np.ndarray], Image.Image]] = {
    '8-bit': Image.fromarray,
    'palette': with_palette,
    '16-bit': lambda labels: Image.fromarray(labels.astype(np.uint16)),
    'colours': coloured,
}


@pytest.mark.parametrize('kind', KINDS)
def test_masks_of_every_kind_hold_the_same_labels(tmp_path: Path, kind: str) -> None:
    save(tmp_path / 'img/a.jpg')
    (tmp_path / 'ann').mkdir()
    KINDS[kind](LABELS).save(tmp_path / 'ann/a.png')
    assert (masks(tmp_path, ignore_colours=[[9, 9, 9]])['a'] == LABELS).all()


def test_labels_beyond_eight_bits_need_a_map(tmp_path: Path) -> None:
    save(tmp_path / 'img/a.jpg')
    save(tmp_path / 'ann/a.png', np.array([[0, 300, 2, 65535]] * 3, dtype=np.uint16))
    with pytest.raises(DataError, match='has the label 300, 65535; map it to a class or null'):
        masks(tmp_path)
    assert (masks(tmp_path, label_map={300: 'road', 65535: None})['a'] == LABELS).all()


def test_an_unknown_colour_is_named(tmp_path: Path) -> None:
    save(tmp_path / 'img/a.jpg')
    (tmp_path / 'ann').mkdir()
    coloured(LABELS).save(tmp_path / 'ann/a.png')
    with pytest.raises(DataError, match=r'has the colour \(9, 9, 9\), which is not in data.palette'):
        masks(tmp_path)


def test_labels_are_mapped_after_label_zero_is_reduced(tmp_path: Path) -> None:
    save(tmp_path / 'img/a.jpg')
    save(tmp_path / 'ann/a.png', np.array([[0, 1, 2, 3, 255]], dtype=np.uint8))
    assert masks(tmp_path, reduce_zero_label=True)['a'].tolist() == [[255, 0, 1, 2, 255]]
    mapped = masks(tmp_path, reduce_zero_label=True, label_map={0: 'car', 2: None})
    assert mapped['a'].tolist() == [[255, 2, 1, 255, 255]]


@pytest.mark.parametrize('bad', [{'x': 1}, {70000: 1}, {1: 'caar'}, {1: 3}])
def test_an_invalid_label_map_is_rejected(tmp_path: Path, bad: dict[str, Any]) -> None:
    save(tmp_path / 'img/a.jpg')
    (tmp_path / 'ann').mkdir()
    with pytest.raises(ConfigError, match='label_map'):
        masks(tmp_path, label_map=bad)


def test_suffixes_nested_folders_and_masks_beside_images(tmp_path: Path) -> None:
    for city in ('bonn', 'ulm'):
        save(tmp_path / f'data/{city}/x_leftImg8bit.png')
        save(tmp_path / f'data/{city}/x_gt.png', LABELS)
    source = FolderSource('data', 'data', '_leftImg8bit.png', '_gt.png')
    found = source.samples(Context(CLASSES, root=tmp_path))
    assert [sample.name for sample in found] == ['bonn/x', 'ulm/x']
    assert all(sample.mask and (sample.mask.read() == LABELS).all() for sample in found)


def test_a_split_file_takes_some_images_with_or_without_suffix(tmp_path: Path) -> None:
    for name in 'abc':
        save(tmp_path / f'img/{name}.jpg')
        save(tmp_path / f'ann/{name}.png', LABELS)
    (tmp_path / 'train.txt').write_text('c\n\na.jpg\n')
    assert list(masks(tmp_path, split='train.txt')) == ['c', 'a']
    (tmp_path / 'train.txt').write_text('d\n')
    with pytest.raises(DataError, match=r'names d, but .* contains no such image'):
        masks(tmp_path, split='train.txt')


def test_a_list_may_name_one_of_two_images_that_differ_in_their_suffix(tmp_path: Path) -> None:
    for name in ('img/a.jpg', 'img/a.png', 'ann/a.png', 'ann/b.png', 'img/b.jpg'):
        save(tmp_path / name, LABELS)
    context = Context(CLASSES, root=tmp_path)
    for lines, expected in (
        ('b\na.jpg\n', [('b.jpg', True), ('a.jpg', True)]),
        ('a\na.jpg\n', [('a.jpg', True), ('a.png', False)]),
    ):
        (tmp_path / 'train.txt').write_text(lines)
        found = FolderSource('img', 'ann', split='train.txt').samples(context)
        assert [(sample.image.name, sample.fault is None) for sample in found] == expected


def test_masks_that_no_image_has_are_found(tmp_path: Path) -> None:
    for name in ('img/a_x.jpg', 'img/in/b_x.jpg', 'other/c_x.jpg', 'img/d.jpg'):
        save(tmp_path / name)
    for name in ('a_m', 'in/b_m', 'c_m', 'd_m', 'in/e_m', '.f_m', 'a_colours'):
        save(tmp_path / f'ann/{name}.png', LABELS)
    context = Context(CLASSES, root=tmp_path)
    sources = [FolderSource(folder, 'ann', '_x.jpg', '_m.png') for folder in ('img', 'other')]
    samples = [sample for source in sources for sample in source.samples(context)]
    folders = [source.mask_folder(context) for source in sources]
    unused = masks_without_image([folder for folder in folders if folder], samples)
    assert [path.relative_to(tmp_path).as_posix() for path in unused] == ['ann/d_m.png', 'ann/in/e_m.png']
    assert FolderSource('img', 'ann', split='some.txt').mask_folder(context) is None
    assert FolderSource('img').mask_folder(context) is None


def test_images_to_predict_with_equal_names_are_rejected(tmp_path: Path) -> None:
    for name in ('img/a.jpg', 'img/a.png'):
        save(tmp_path / name)
    for spec in ('', {'type': 'ImageSource', 'path': 'img'}):
        with pytest.raises(DataError, match=r'a.png has the name of a.jpg beside it'):
            find_samples(build_sources(spec, 'data.test', 'img', None), Context(CLASSES, root=tmp_path), False)


def test_a_split_file_may_begin_with_a_byte_order_mark_and_is_text(tmp_path: Path) -> None:
    for name in 'abc':
        save(tmp_path / f'img/{name}.jpg')
        save(tmp_path / f'ann/{name}.png', LABELS)
    (tmp_path / 'train.txt').write_text('c\r\na.jpg\r\n', encoding='utf-8-sig')
    assert list(masks(tmp_path, split='train.txt')) == ['c', 'a']
    (tmp_path / 'train.txt').write_text('c\n', encoding='utf-16')
    with pytest.raises(DataError, match=r'train\.txt is not UTF-8 text'):
        masks(tmp_path, split='train.txt')


def test_masks_beside_images_are_not_images_however_the_folder_is_written(tmp_path: Path) -> None:
    save(tmp_path / 'data/x.jpg')
    save(tmp_path / 'data/x.png', LABELS)
    for img_dir, ann_dir in (('data/', 'data'), ('./data', 'data'), (str(tmp_path / 'data'), 'data')):
        found = FolderSource(img_dir, ann_dir).samples(Context(CLASSES, root=tmp_path))
        assert [sample.image.name for sample in found] == ['x.jpg']


def test_links_that_lead_nowhere_are_images_that_cannot_be_read_and_folders_are_none(tmp_path: Path) -> None:
    save(tmp_path / 'img/a.jpg')
    (tmp_path / 'img/gone.jpg').symlink_to('/nowhere/x.jpg')
    (tmp_path / 'img/loop.jpg').symlink_to(tmp_path / 'img/loop.jpg')
    (tmp_path / 'img/folder.jpg').mkdir()
    (tmp_path / 'img/link.jpg').symlink_to(tmp_path / 'img/folder.jpg')
    for path in ('img', 'img/*.jpg'):
        assert predicted(tmp_path, path) == ['a', 'gone', 'loop']


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that another user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def without_permission(path: Path, mode: int = 0) -> Iterator[None]:
    """Take the permissions of a path away, also from the root user."""
    before, user = path.stat().st_mode, os.geteuid()
    path.chmod(mode)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        path.chmod(before)


@pytest.mark.parametrize(
    ('closed', 'message'),
    [
        ('img', r'/img cannot be read: Permission denied'),
        ('img/inner', r'The folder .*/img/inner cannot be read: Permission denied'),
        ('outer', r'/outer/ann cannot be read: Permission denied'),
        ('outer/ann', r'/outer/ann cannot be read: Permission denied'),
    ],
)
def test_unreadable_paths_are_reported_with_the_cause(shared_folder: Path, closed: str, message: str) -> None:
    save(shared_folder / 'img/inner/a.jpg')
    save(shared_folder / 'outer/ann/inner/a.png', LABELS)
    source = FolderSource('img', 'outer/ann')
    with without_permission(shared_folder / closed), pytest.raises(DataError, match=message):
        source.samples(Context(CLASSES, root=shared_folder))
    assert len(source.samples(Context(CLASSES, root=shared_folder))) == 1


def test_masks_in_a_folder_that_cannot_be_listed_are_found(shared_folder: Path) -> None:
    save(shared_folder / 'img/a.jpg')
    save(shared_folder / 'ann/a.png', LABELS)
    with without_permission(shared_folder / 'ann', 0o711):
        found = FolderSource('img', 'ann').samples(Context(CLASSES, root=shared_folder))
        assert found[0].mask
        assert (found[0].mask.read() == LABELS).all()


def predicted(root: Path, path: str, **options: str) -> list[str]:
    return [sample.name for sample in ImageSource(path, **options).samples(Context(CLASSES, root=root))]


def test_images_to_predict_come_from_a_folder_a_pattern_a_list_or_a_coco_file(tmp_path: Path) -> None:
    for name in ('in/a.jpg', 'in/deep/b.png', 'c.jpg'):
        save(tmp_path / name)
    (tmp_path / 'list.txt').write_text('in/deep/b.png\nin/a.jpg\n')
    (tmp_path / 'x.json').write_text('{"images": [{"id": 1, "file_name": "in/a.jpg", "height": 3, "width": 4}]}')
    assert predicted(tmp_path, 'in') == ['a', 'deep/b']
    assert predicted(tmp_path, '**/*.jpg') == ['c', 'in/a']
    assert predicted(tmp_path, 'in/a.jpg') == ['a']
    assert predicted(tmp_path, 'list.txt') == ['deep/b', 'a']
    assert predicted(tmp_path, 'x.json') == ['in/a']
    with pytest.raises(DataError, match='nor a pattern that matches an image'):
        predicted(tmp_path, '*.bmp')
    (tmp_path / 'list.txt').write_text('gone.png\n')
    with pytest.raises(DataError, match=r'list.txt names .*gone.png, which does not exist'):
        predicted(tmp_path, 'list.txt')


def test_images_to_predict_come_from_a_sample_submission_in_its_order(tmp_path: Path) -> None:
    for name in ('batch/b.jpg', 'batch/a, really.jpg'):
        save(tmp_path / name)
    labels = ' '.join(['0'] * 256 * 256 * 2)  # more than Python's csv module reads
    rows = f'image_id,PredictionString\nbatch/b.jpg,{labels}\n"batch/a, really.jpg",{labels}\n'
    (tmp_path / 'sample_submission.csv').write_text(rows)
    assert predicted(tmp_path, 'sample_submission.csv') == ['batch/b', 'batch/a, really']
    (tmp_path / 'runs.csv').write_text('image_id,class_id,EncodedPixels\nbatch/b.jpg,1,1 2\nbatch/b.jpg,2,\n')
    assert predicted(tmp_path, 'runs.csv') == ['batch/b']
    (tmp_path / 'lists').mkdir()
    (tmp_path / 'runs.csv').rename(tmp_path / 'lists/runs.csv')
    assert predicted(tmp_path, 'lists/runs.csv', img_dir='.') == ['batch/b']
    (tmp_path / 'runs.csv').write_text('image_id,PredictionString\n')
    with pytest.raises(DataError, match=r'runs\.csv has no image_id below its first line'):
        predicted(tmp_path, 'runs.csv')


def test_names_stay_below_the_output_folder_wherever_the_images_lie(tmp_path: Path) -> None:
    save(tmp_path / 'one/a.jpg')
    save(tmp_path / 'two/b.jpg')
    (tmp_path / 'two/list.txt').write_text('../one/a.jpg\nb.jpg\n')
    assert predicted(tmp_path, 'two/list.txt') == ['one/a', 'two/b']


def test_hidden_folders_are_ignored(tmp_path: Path) -> None:
    hidden = ['.ipynb_checkpoints/a-checkpoint', '__MACOSX/._a', '@eaDir/a', 'in/.cache/x/a']
    for name in ('a', 'in/b', *hidden):
        save(tmp_path / f'img/{name}.jpg')
        save(tmp_path / f'ann/{name}.png', LABELS)
    context = Context(CLASSES, root=tmp_path)
    samples = FolderSource('img', 'ann').samples(context)
    assert [sample.name for sample in samples] == ['a', 'in/b']
    assert masks_without_image([tmp_path / 'ann'], samples) == []
    assert predicted(tmp_path, 'img') == predicted(tmp_path, 'img/**/*.jpg') == ['a', 'in/b']
    save(tmp_path / '.data/img/c.jpg')  # only what is inside the folder that is named
    assert predicted(tmp_path, '.data/img') == ['c']


def test_lists_written_on_windows_name_the_same_files(tmp_path: Path) -> None:
    for name in ('in/a', 'b'):
        save(tmp_path / f'img/{name}.jpg')
        save(tmp_path / f'ann/{name}.png', LABELS)
    (tmp_path / 'list.txt').write_text('in\\a.jpg\r\nb.jpg\r\n')
    assert list(masks(tmp_path, split='list.txt')) == ['in/a', 'b']
    assert predicted(tmp_path, 'list.txt', img_dir='img') == ['in/a', 'b']


def test_sources_that_only_train_are_marked_and_belong_to_train(tmp_path: Path) -> None:
    for name in ('img/train/a', 'more/c'):
        save(tmp_path / f'{name}.jpg')
    for name in ('ann/train/a', 'more_ann/c'):
        save(tmp_path / f'{name}.png', LABELS)
    extra = {'type': 'FolderSource', 'img_dir': 'more', 'ann_dir': 'more_ann', 'only_train': True}
    built = build_sources(['train', extra], 'data.train', 'img', 'ann')
    samples = find_samples(built, Context(CLASSES, root=tmp_path), True)
    assert [(each.name, each.only_train, each.source) for each in samples] == [
        ('a', False, 'data.train.0'),
        ('c', True, 'data.train.1'),
    ]
    with pytest.raises(ConfigError, match=r'data.val.only_train is for sources of data.train'):
        build_sources(extra, 'data.val', 'img', 'ann')


def test_predictions_that_would_overwrite_each_other_are_rejected(tmp_path: Path) -> None:
    for name in ('one/a.jpg', 'two/a.png'):
        save(tmp_path / name)
    sources = build_sources([{'type': 'ImageSource', 'path': path} for path in ('one', 'two')], 'data.test', '', None)
    with pytest.raises(DataError, match=r'one/a.jpg and .*two/a.png, whose predictions would overwrite each other'):
        find_samples(sources, Context(CLASSES, root=tmp_path), False)


def test_sources_are_concatenated_each_with_its_repeats(tmp_path: Path) -> None:
    for name in ('img/train/a', 'img/train/b', 'more/c'):
        save(tmp_path / f'{name}.jpg')
    for name in ('ann/train/a', 'ann/train/b', 'more_ann/c'):
        save(tmp_path / f'{name}.png', LABELS)
    extra = {'type': 'FolderSource', 'img_dir': 'more', 'ann_dir': 'more_ann', 'repeat': 2.5}
    samples = find_samples(
        build_sources(['train', extra], 'data.train', 'img', 'ann'), Context(CLASSES, root=tmp_path), True
    )
    assert [(sample.name, sample.repeat) for sample in samples] == [('a', 1), ('b', 1), ('c', 2.5)]


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        (
            {'type': 'CocoSorce'},
            "data.train: unknown source 'CocoSorce' (FolderSource, CocoSource, LabelMeSource, YoloSource, ArchiveSource, ImageSource, or a dataset of mmseg); did you mean",
        ),
        (
            {'type': 'CocoSource', 'anfile': 'a'},
            "data.train.anfile: CocoSource has no argument 'anfile'; did you mean 'ann_file'",
        ),
        ({'type': 'CocoSource'}, 'data.train: CocoSource cannot be built'),
        ({'class_path': 'pathlib.Path'}, 'data.train: pathlib.Path is not a source'),
        ({'type': 'FolderSource', 'img_dir': 'a', 'repeat': 0}, 'data.train.repeat must be above 0'),
        ({'type': 'FolderSource', 'img_dir': 'a', 'repeat': float('inf')}, 'and at most 1000, got inf'),
        ({'type': 'FolderSource', 'img_dir': 'a', 'repeat': 1e12}, 'data.train.repeat must be above 0'),
        ({'type': 'FolderSource', 'img_dir': None}, 'data.train.img_dir: expected str, got None'),
        ({'type': 'FolderSource', 'img_dir': 'a', 'label_map': {1: 1.5}}, 'data.train.label_map: expected dict[int, '),
        ({'type': 'CityscapesDataset', 'img_dir': None}, 'data.train.img_dir: expected str, got None'),
        ([], 'data.train is an empty list'),
        (
            {'type': 'FolderSource', 'img_dir': 'a', 'only_train': 1},
            'data.train.only_train must be true or false, got 1',
        ),
    ],
)
def test_a_faulty_source_is_named(spec: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_sources(spec, 'data.train', 'img', 'ann')
    assert message in str(error.value)


def test_many_images_are_a_few_arrays_with_the_same_samples_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ['b', 'a.b', 'a/c', 'a-d/e', 'a/b/f', 'ä', 'a b', 'B', 'a/c.x']
    for name in names:
        save(tmp_path / f'img/{name}.jpg')
        save(tmp_path / f'ann/{name}.png', LABELS)
    save(tmp_path / 'img/a/c.png')
    context = Context(CLASSES, root=tmp_path)
    found = FolderSource('img', 'ann').samples(context)
    expected = sorted(path for path in (tmp_path / 'img').rglob('*.*') if path.is_file())
    assert [sample.image for sample in found] == expected
    assert found.texts('images') == [str(path) for path in expected]
    assert found.texts('names') == [path.relative_to(tmp_path / 'img').with_suffix('').as_posix() for path in expected]
    assert [sample.name for sample in found if sample.fault] == ['a/c']
    assert all((sample.mask.read() == LABELS).all() for sample in found if sample.mask)
    (rows,) = (part.rows for part in found.parts)
    masks = [(str(sample.mask.path), sample.name) for sample in found if sample.mask]
    assert isinstance(found[0].mask, MaskFile)
    assert list(rows.mask_files()) == masks
    copied = pickle.loads(pickle.dumps(found))
    assert copied.texts('images') == found.texts('images')
    assert not FolderSource('img').samples(context).labelled.any()
