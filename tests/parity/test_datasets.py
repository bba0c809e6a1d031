"""Our sources against mmseg's own dataset classes, on the same files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmseg.datasets import DATASETS
from PIL import Image

from seglight.config.settings import Settings
from seglight.data.checks import masks_without_image
from seglight.data.sources import Context, build_sources, find_samples
from seglight.data.sources.mmseg_datasets import with_class_names
from seglight.errors import ConfigError, DataError

NAMES = sorted(name for name, cls in DATASETS.module_dict.items() if getattr(cls, 'CLASSES', None))

#: Datasets that cannot be built without a split.
NEED_SPLIT = ('PascalVOCDataset', 'PascalContextDataset', 'PascalContextDataset59', 'FaceOccludedDataset')

SUFFIXES = {
    'CityscapesDataset': ('_leftImg8bit.png', '_gtFine_labelTrainIds.png'),
    'NightDrivingDataset': ('_leftImg8bit.png', '_gtCoarse_labelTrainIds.png'),
    'DarkZurichDataset': ('_rgb_anon.png', '_gt_labelTrainIds.png'),
    'COCOStuffDataset': ('.jpg', '_labelTrainIds.png'),
    'iSAIDDataset': ('.png', '_instance_color_RGB.png'),
    'DRIVEDataset': ('.png', '_manual1.png'),
    'STAREDataset': ('.png', '.ah.png'),
    'ChaseDB1Dataset': ('.png', '_1stHO.png'),
    **dict.fromkeys(('ADE20KDataset', *NEED_SPLIT), ('.jpg', '.png')),
}


@pytest.fixture(params=NAMES)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The files of a dataset: three images with masks that show every label of it, and 0 and 255."""
    name = request.param
    image, mask = SUFFIXES.get(name, ('.png', '.png'))
    rng = np.random.default_rng(0)
    cls = DATASETS.get(name)
    for stem in ('b', 'a', 'c'):
        for folder, suffix in (('img', image), ('ann', mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            labels = np.append(np.arange(len(cls.CLASSES)), 255).astype(np.uint8)
            pixels = rng.choice(labels, (20, 30)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f'{stem}{suffix}')
    (tmp_path / 'split.txt').write_text('c\na\n')
    return name, tmp_path


def both(name: str, root: Path, classes: list[str] | None) -> tuple[list[Any], list[Any]]:
    """What our source finds and what mmseg's dataset with its `LoadAnnotations` gives: file and labels."""
    options = {'img_dir': 'img', 'ann_dir': 'ann'}
    if name in NEED_SPLIT:
        options['split'] = 'split.txt'
    dataset = DATASETS.get(name)(pipeline=[], data_root=str(root), classes=classes, **options)
    dataset.gt_seg_map_loader.reduce_zero_label = dataset.reduce_zero_label
    if dataset.label_map:  # mmseg writes -1 into uint8, which numpy 2 refuses; in numpy 1 it became 255
        dataset.label_map = {old: new % 256 for old, new in dataset.label_map.items()}
    expected = [
        (info['filename'], dataset.get_gt_seg_map_by_idx(index)) for index, info in enumerate(dataset.img_infos)
    ]
    context = Context(classes or list(dataset.CLASSES), root=root)
    found = find_samples(build_sources({'type': name, **options}, 'data.train', '', ''), context, masks=True)
    return [(sample.image.name, sample.mask.read()) for sample in found if sample.mask], expected


def test_files_and_labels_are_mmsegs(files: tuple[str, Path]) -> None:
    found, expected = both(*files, classes=None)
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert len(found) == (2 if files[0] in NEED_SPLIT else 3)
    for (_, mask), (_, labels) in zip(found, expected, strict=True):
        assert np.array_equal(mask, labels)


def test_some_of_the_classes_are_mapped_as_mmseg_does(files: tuple[str, Path]) -> None:
    name, root = files
    cls = DATASETS.get(name)
    if len(cls.CLASSES) < 3 or name in (
        'ADE20KDataset',
        'PascalContextDataset59',
        'LoveDADataset',
        'ISPRSDataset',
        'PotsdamDataset',
    ):
        pytest.skip('nothing to leave out, or label zero is reduced, where mmseg maps the wrong labels (next test)')
    found, expected = both(name, root, [cls.CLASSES[2], cls.CLASSES[0]])
    for (_, mask), (_, labels) in zip(found, expected, strict=True):
        assert np.array_equal(mask, labels)
        assert set(np.unique(mask)) == {0, 1, 255}


def test_masks_of_mmsegs_datasets_without_an_image_are_found(tmp_path: Path) -> None:
    for name in ('img/ulm/a_leftImg8bit.png', 'ann/ulm/a_gtFine_labelTrainIds.png', 'ann/b_gtFine_labelTrainIds.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('L', (4, 4)).save(tmp_path / name)
    Image.new('RGB', (4, 4)).save(tmp_path / 'ann/ulm/a_gtFine_color.png')
    spec = {'type': 'CityscapesDataset', 'img_dir': 'img', 'ann_dir': 'ann'}
    context = Context(list(DATASETS.get('CityscapesDataset').CLASSES), root=tmp_path)
    ((source, _),) = build_sources(spec, 'data.train', '', '')
    folder = source.mask_folder(context)
    assert folder
    assert masks_without_image([folder], source.samples(context)) == [tmp_path / 'ann/b_gtFine_labelTrainIds.png']
    ((source, _),) = build_sources({**spec, 'split': 'a.txt'}, 'data.train', '', '')
    assert source.mask_folder(context) is None


def test_classes_are_told_by_name_also_where_label_zero_is_reduced(tmp_path: Path) -> None:
    for folder in ('img', 'ann'):
        (tmp_path / folder).mkdir()
    Image.new('RGB', (5, 1)).save(tmp_path / 'img/a.jpg')
    Image.fromarray(np.array([[0, 1, 2, 3, 255]], dtype=np.uint8)).save(tmp_path / 'ann/a.png')
    source = build_sources({'type': 'ADE20KDataset', 'img_dir': 'img', 'ann_dir': 'ann'}, 'data.train', '', '')
    found = find_samples(source, Context(['sky', 'wall'], root=tmp_path), masks=True)
    # In ADE20K's files 0 is unlabelled, 1 is wall, 2 is building and 3 is sky.
    assert found[0].mask
    assert found[0].mask.read().tolist() == [[255, 1, 255, 0, 255]]


def city(root: Path, classes: list[str], **options: object) -> np.ndarray:
    """The classes of an image that shows each label of Cityscapes, from a source of its dataset."""
    Image.new('RGB', (20, 1)).save(root / 'a_leftImg8bit.png')
    pixels = np.append(np.arange(19), 255)[None].astype(np.uint8)
    Image.fromarray(pixels).save(root / 'a_gtFine_labelTrainIds.png')
    spec = {'type': 'CityscapesDataset', 'img_dir': '.', 'ann_dir': '.', **options}
    found = find_samples(build_sources(spec, 'data.train', '', ''), Context(classes, root=root), masks=True)
    assert found[0].mask
    mask: np.ndarray = found[0].mask.read()[0]
    return mask


def test_classes_of_other_names_are_mapped_and_those_of_other_sources_stay_away(tmp_path: Path) -> None:
    mask = city(tmp_path, ['Road', 'cat', 'car'], category_map={'road': 'Road', 'truck': 'car'})
    # In Cityscapes' files 0 is road, 13 is car and 14 is truck.
    assert {label: int(value) for label, value in enumerate(mask) if value != 255} == {0: 0, 13: 2, 14: 2}


def test_a_map_by_name_is_mmsegs_for_the_classes_that_both_have(tmp_path: Path) -> None:
    mask = city(tmp_path, ['Person', 'cow', 'sky'], category_map={'person': 'Person'})
    names = ['person', 'sky']
    dataset = DATASETS.get('CityscapesDataset')(
        pipeline=[], img_dir=str(tmp_path), ann_dir=str(tmp_path), classes=names
    )
    dataset.label_map = {old: new % 256 for old, new in dataset.label_map.items()}
    theirs = dataset.get_gt_seg_map_by_idx(0).ravel()
    assert mask.tolist() == [{0: 0, 1: 2, 255: 255}[label] for label in theirs.tolist()]


@pytest.mark.parametrize(
    ('classes', 'category_map', 'said'),
    [
        (['tree', 'cat'], {}, "CityscapesDataset has no class 'tree' of data.classes, nor any other of"),
        (
            ['Road', 'car'],
            {},
            "has no class 'Road' of data.classes, but 'road'; .* category_map: {road: Road}",
        ),
        (['road', 'cars'], {}, "has no class 'cars' of data.classes, but 'car'; .* or {car: null} if"),
        (['road', 'cat'], {'raod': 'road'}, "category_map: CityscapesDataset has no class 'raod'; did you mean 'road'"),
        (['road', 'cat'], {'car': 'cats'}, "category_map: 'cats' is not in data.classes; did you mean 'cat'"),
    ],
)
def test_a_name_that_is_mistaken_is_told(
    tmp_path: Path, classes: list[str], category_map: dict[str, str | None], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        city(tmp_path, classes, category_map=category_map)


def test_a_class_of_a_like_name_is_another_if_the_map_says_so(tmp_path: Path) -> None:
    mask = city(tmp_path, ['sky', 'cars'], category_map={'car': None})
    assert {label: int(value) for label, value in enumerate(mask) if value != 255} == {10: 0}


def test_a_config_may_name_a_dataset_for_its_classes() -> None:
    resolved = with_class_names(Settings({'data': {'classes': 'CityscapesDataset', 'root': 'x'}})).values['data']
    cls = DATASETS.get('CityscapesDataset')
    assert (tuple(resolved['classes']), resolved['palette']) == (cls.CLASSES, cls.PALETTE)
    assert resolved['root'] == 'x'
    with pytest.raises(ConfigError, match=r"no dataset 'CityscapeDataset'; did you mean 'CityscapesDataset'"):
        with_class_names(Settings({'data': {'classes': 'CityscapeDataset'}}))


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'img_dir': 'gone'}, 'gone does not exist'),
        ({'img_dir': 'img', 'ann_dir': 'img'}, 'contains no image that ends with _leftImg8bit.png'),
        ({'img_dir': 'img', 'split': 'gone.txt'}, 'gone.txt does not exist'),
        ({'img_dir': 'img', 'split': 'nul.txt'}, 'nul.txt is not UTF-8 text'),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    (tmp_path / 'img').mkdir()
    (tmp_path / 'nul.txt').write_text('a\n\0b\n')
    classes = list(DATASETS.get('CityscapesDataset').CLASSES)
    source = build_sources({'type': 'CityscapesDataset', **options}, 'data.train', '', '')
    with pytest.raises(DataError, match=said):
        find_samples(source, Context(classes, root=tmp_path), masks=False)


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'sufix': 'x'}, "data.train.sufix: CityscapesDataset has no argument 'sufix'; did you mean 'img_suffix'"),
        ({'classes': ['road']}, "CityscapesDataset has no argument 'classes'"),
    ],
)
def test_arguments_that_a_config_may_not_give_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_sources({'type': 'CityscapesDataset', 'img_dir': 'img', **options}, 'data.train', '', '')
    assert said in str(error.value)


@pytest.mark.parametrize('option', ['img_suffix', 'seg_map_suffix', 'reduce_zero_label'])
def test_arguments_that_a_dataset_sets_itself_are_named(tmp_path: Path, option: str) -> None:
    (tmp_path / 'img').mkdir()
    value = True if option == 'reduce_zero_label' else '.tif'
    source = build_sources({'type': 'DRIVEDataset', 'img_dir': 'img', option: value}, 'data.train', '', '')
    said = f'DRIVEDataset sets {option} itself; remove it, or use a FolderSource for these files'
    with pytest.raises(DataError, match=said):
        find_samples(source, Context(list(DATASETS.get('DRIVEDataset').CLASSES), root=tmp_path), masks=False)


def test_labels_of_the_files_may_be_mapped_before_the_datasets_classes(tmp_path: Path) -> None:
    for folder in ('img', 'ann', 'img/.ipynb_checkpoints'):
        (tmp_path / folder).mkdir()
    for name in ('a', '.ipynb_checkpoints/a-checkpoint'):
        Image.new('RGB', (3, 1)).save(tmp_path / f'img/{name}.png')
    Image.fromarray(np.array([[0, 255, 0]], dtype=np.uint8)).save(tmp_path / 'ann/a_manual1.png')
    spec = {'type': 'DRIVEDataset', 'img_dir': 'img', 'ann_dir': 'ann', 'label_map': {255: 'vessel'}}
    context = Context(list(DATASETS.get('DRIVEDataset').CLASSES), root=tmp_path)
    (sample,) = find_samples(build_sources(spec, 'data.train', '', ''), context, masks=True)
    assert sample.mask is not None
    assert sample.mask.read().tolist() == [[0, 1, 0]]


@pytest.mark.parametrize('name', ['sufix', 'file_client_args', 'gt_seg_map_loader_cfg', 'pipeline', 'test_mode'])
def test_no_other_argument_of_mmsegs_classes_is_passed_on(name: str) -> None:
    spec = {'type': 'CityscapesDataset', 'img_dir': 'img', name: {'backend': 'memcached', 'sys_path': '.'}}
    with pytest.raises(ConfigError, match=f"data.train.{name}: CityscapesDataset has no argument '{name}'"):
        build_sources(spec, 'data.train', '', '')
