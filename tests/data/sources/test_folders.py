"""Folders of images and masks, with suffixes, split files and masks of every kind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.data.checks import masks_without_image
from seglight.data.sources import Context, FolderSource, ImageSource, build_sources, find_samples
from seglight.errors import ConfigError, DataError

CLASSES = ['sky', 'road', 'car']
PALETTE = [[0, 0, 255], [100, 100, 100], [255, 0, 0]]
LABELS = np.array([[0, 1, 2, 255]] * 3, dtype=np.uint8)


def save(path: Path, pixels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new('RGB', (4, 3)) if pixels is None else Image.fromarray(pixels)
    image.save(path)
    return path


def masks(root: Path, **options: object) -> dict[str, np.ndarray]:
    source = FolderSource('img', 'ann', **options)
    return {sample.name: sample.mask.read() for sample in source.samples(Context(CLASSES, PALETTE, root=root))}


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
    with pytest.raises(DataError, match='has the label 300, 65535; give its class, or null'):
        masks(tmp_path)
    assert (masks(tmp_path, label_map={300: 'road', 65535: None})['a'] == LABELS).all()


def test_a_colour_that_is_no_class_is_named(tmp_path: Path) -> None:
    save(tmp_path / 'img/a.jpg')
    (tmp_path / 'ann').mkdir()
    coloured(LABELS).save(tmp_path / 'ann/a.png')
    with pytest.raises(DataError, match=r'has the colour \(9, 9, 9\), which is no class of data.palette'):
        masks(tmp_path)


def test_labels_are_mapped_after_label_zero_is_reduced(tmp_path: Path) -> None:
    save(tmp_path / 'img/a.jpg')
    save(tmp_path / 'ann/a.png', np.array([[0, 1, 2, 3, 255]], dtype=np.uint8))
    assert masks(tmp_path, reduce_zero_label=True)['a'].tolist() == [[255, 0, 1, 2, 255]]
    mapped = masks(tmp_path, reduce_zero_label=True, label_map={0: 'car', 2: None})
    assert mapped['a'].tolist() == [[255, 2, 1, 255, 255]]


@pytest.mark.parametrize('bad', [{'x': 1}, {70000: 1}, {1: 'caar'}, {1: 3}])
def test_a_label_map_that_names_no_class_or_label_is_refused(tmp_path: Path, bad: dict) -> None:
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
    assert all((sample.mask.read() == LABELS).all() for sample in found)


def test_a_split_file_takes_some_images_with_or_without_suffix(tmp_path: Path) -> None:
    for name in 'abc':
        save(tmp_path / f'img/{name}.jpg')
        save(tmp_path / f'ann/{name}.png', LABELS)
    (tmp_path / 'train.txt').write_text('c\n\na.jpg\n')
    assert list(masks(tmp_path, split='train.txt')) == ['c', 'a']
    (tmp_path / 'train.txt').write_text('d\n')
    with pytest.raises(DataError, match=r'names d, but .* holds no such image'):
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


def test_images_to_predict_with_equal_names_are_refused(tmp_path: Path) -> None:
    for name in ('img/a.jpg', 'img/a.png'):
        save(tmp_path / name)
    for spec in ('', {'type': 'ImageSource', 'path': 'img'}):
        with pytest.raises(DataError, match=r'a.png has the name of a.jpg beside it'):
            find_samples(build_sources(spec, 'data.test', 'img', None), Context(CLASSES, root=tmp_path), False)


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
    with pytest.raises(DataError, match='no image matches it'):
        predicted(tmp_path, '*.bmp')
    (tmp_path / 'list.txt').write_text('gone.png\n')
    with pytest.raises(DataError, match=r'list.txt names .*gone.png, which does not exist'):
        predicted(tmp_path, 'list.txt')


def test_names_stay_below_the_output_folder_wherever_the_images_lie(tmp_path: Path) -> None:
    save(tmp_path / 'one/a.jpg')
    save(tmp_path / 'two/b.jpg')
    (tmp_path / 'two/list.txt').write_text('../one/a.jpg\nb.jpg\n')
    assert predicted(tmp_path, 'two/list.txt') == ['one/a', 'two/b']


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
    ('spec', 'said'),
    [
        (
            {'type': 'CocoSorce'},
            "data.train: 'CocoSorce' is no source (FolderSource, CocoSource, ImageSource, or a dataset of mmseg); did you mean",
        ),
        (
            {'type': 'CocoSource', 'anfile': 'a'},
            "data.train: CocoSource has no argument 'anfile'; did you mean 'ann_file'",
        ),
        ({'type': 'CocoSource'}, 'data.train: CocoSource cannot be built'),
        ({'class_path': 'pathlib.Path'}, 'data.train: pathlib.Path is no source'),
        ({'type': 'FolderSource', 'img_dir': 'a', 'repeat': 0}, 'data.train.repeat is a number above 0'),
        ([], 'data.train is an empty list'),
    ],
)
def test_a_faulty_source_is_named(spec: object, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_sources(spec, 'data.train', 'img', 'ann')
    assert said in str(error.value)
