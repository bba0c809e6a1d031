"""COCO files: polygons and run lengths, painted so that small objects win."""

import json
import os
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as mask_utils

from seglight.data import SegmentationDataModule
from seglight.data.sources import CocoSource, Context, build_sources, find_samples
from seglight.data.sources.coco.source import Objects
from seglight.errors import DataError
from seglight.tools.data import check

CLASSES = ['Background', 'Metal', 'Glass', 'Battery']
CATEGORIES = [{'id': 70, 'name': 'Battery'}, {'id': 3, 'name': 'Metal'}, {'id': 11, 'name': 'Glass'}]


@pytest.fixture(params=['whole', 'in columns'], autouse=True, scope='module')
def reading(request: pytest.FixtureRequest) -> Iterator[None]:
    """Read files of any size as large ones are read."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == 'in columns':
            patch.setattr('seglight.data.sources.coco.source.LARGE', 0)
            patch.setattr('seglight.data.column_files.SETTLED', -10)
        yield


def box(x: int, y: int, width: int, height: int) -> list[list[int]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def counts(mask: np.ndarray) -> list[int]:
    """Run lengths by hand: down the columns, beginning with zeros."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    return [int(count) for count in np.diff([0, *edges, flat.size])]


def write(
    root: Path, annotations: list[dict[str, Any]], categories: list[dict[str, Any]] = CATEGORIES, **image: object
) -> CocoSource:
    Image.new('RGB', (20, 16)).save(root / 'a.jpg')
    entry = {'id': 5, 'file_name': 'a.jpg', 'height': 16, 'width': 20, **image}
    full = [{'id': index, 'image_id': 5, **each} for index, each in enumerate(annotations)]
    content = {'images': [entry], 'categories': categories, 'annotations': full}
    (root / 'a.json').write_text(json.dumps(content))
    return CocoSource('a.json')


def painted(root: Path, annotations: list[dict[str, Any]], source: CocoSource | None = None) -> np.ndarray:
    found = (source or write(root, annotations)).samples(Context(CLASSES, root=root))
    assert [sample.name for sample in found] == ['a']
    assert found[0].mask
    return found[0].mask.read()


def test_categories_are_matched_by_name_and_small_objects_lie_on_large_ones(tmp_path: Path) -> None:
    mask = painted(tmp_path, [
        {'category_id': 70, 'segmentation': box(4, 4, 3, 3)},
        {'category_id': 3, 'segmentation': box(2, 2, 10, 10)},
        {'category_id': 11, 'segmentation': box(0, 0, 20, 16)},
    ])  # fmt: skip
    expected = np.full((16, 20), 2)
    expected[2:12, 2:12] = 1
    expected[4:7, 4:7] = 3
    assert (mask == expected).all()


def test_accents_apart_from_their_letters_are_those_joined_to_them(tmp_path: Path) -> None:
    """MacOS writes `a` and a combining diaeresis where others write `ä`."""
    joined, apart = (unicodedata.normalize(form, 'Kätzchen') for form in ('NFC', 'NFD'))
    for name, category in ((joined, apart), (apart, joined)):
        source = write(tmp_path, [{'category_id': 3, 'segmentation': box(2, 2, 10, 10)}], [{'id': 3, 'name': category}])
        annotation = source.samples(Context(['Background', name], root=tmp_path))[0].mask
        assert annotation
        mask = annotation.read()
        assert (mask[2:12, 2:12] == 1).all()
        assert mask.sum() == 100


def test_run_lengths_of_every_kind_mean_the_same(tmp_path: Path) -> None:
    shape = np.zeros((16, 20), dtype=np.uint8)
    shape[3:9, 5:15] = 1
    compressed = mask_utils.encode(np.asfortranarray(shape))['counts'].decode()
    for run in (compressed, counts(shape)):
        for crowd in (0, 1):
            annotation = {'category_id': 11, 'iscrowd': crowd, 'segmentation': {'size': [16, 20], 'counts': run}}
            assert (painted(tmp_path, [annotation]) == 2 * shape).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 17), st.integers(0, 13), st.integers(1, 20), st.integers(1, 16)),
        max_size=6,
    )
)
def test_painting_is_that_of_numpy_and_invents_no_label(boxes: list[tuple[int, int, int, int, int]]) -> None:
    shapes = []
    for label, x, y, width, height in boxes:
        shape = np.zeros((16, 20), dtype=np.uint8)
        shape[y : y + height, x : x + width] = 1
        shapes.append((label, shape))
    objects = [(label, {'segmentation': {'size': [16, 20], 'counts': counts(shape)}}) for label, shape in shapes]
    mask = Objects(Path('a.json'), {'id': 1, 'height': 16, 'width': 20}, objects, 9).read()
    expected = np.full((16, 20), 9)
    for label, shape in sorted(shapes, key=lambda each: -int(each[1].sum())):
        expected[shape > 0] = label
    assert (mask == expected).all()


#: Polygons of three to six points, in and about an image of 16x20.
POLYGONS = st.integers(3, 6).flatmap(
    lambda points: st.lists(st.floats(-30, 50, width=32), min_size=2 * points, max_size=2 * points)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.lists(POLYGONS, min_size=1, max_size=2)), max_size=5))
def test_polygons_are_those_of_pycocotools_painted_largest_first(polygons: list[tuple[int, list[list[float]]]]) -> None:
    objects = [(label, {'segmentation': segmentation}) for label, segmentation in polygons]
    mask = Objects(Path('a.json'), {'id': 1, 'height': 16, 'width': 20}, objects, 9).read()
    shapes = [
        (label, mask_utils.decode(mask_utils.frPyObjects(segmentation, 16, 20)).any(2))
        for label, segmentation in polygons
    ]
    expected = np.full((16, 20), 9)
    for label, shape in sorted(shapes, key=lambda each: -int(each[1].sum())):
        expected[shape] = label
    assert (mask == expected).all()


def test_what_no_object_covers_is_background_or_ignored(tmp_path: Path) -> None:
    assert (painted(tmp_path, []) == 0).all()
    background = {'id': 1, 'name': 'Background'}
    source = write(tmp_path, [], [*CATEGORIES, background])  # of which nothing is drawn
    assert (painted(tmp_path, [], source) == 0).all()
    drawn = [{'category_id': 1, 'segmentation': box(0, 0, 10, 16)}]
    mask = painted(tmp_path, [], write(tmp_path, drawn, [*CATEGORIES, background]))
    assert (mask[:, :10] == 0).all()
    assert (mask[:, 10:] == 255).all()
    named = CocoSource('a.json', background='Metal')
    assert (painted(tmp_path, [], named)[:, 10:] == 1).all()
    assert (painted(tmp_path, [], CocoSource('a.json', background=None))[:, 10:] == 255).all()


def test_a_background_category_without_objects_can_be_left_out(tmp_path: Path) -> None:
    categories = [*CATEGORIES, {'id': 0, 'name': '_background_'}]
    annotations = [{'category_id': 3, 'segmentation': box(0, 0, 4, 4)}]
    with pytest.raises(
        DataError, match=r"'_background_', which is not in data.classes.*no object has it: .*\{_background_: null\}"
    ):
        painted(tmp_path, [], write(tmp_path, annotations, categories))
    for value in (None, 'Background'):
        mask = painted(tmp_path, [], CocoSource('a.json', category_map={'_background_': value}))
        assert (mask[0, 0], mask[9, 9]) == (1, 0)


def test_files_of_the_vgg_image_annotator_are_read(tmp_path: Path) -> None:
    Image.new('RGB', (20, 16)).save(tmp_path / 'a.jpg')
    image = {'id': 0, 'width': 20, 'height': 16, 'file_name': 'a.jpg', 'license': 0}
    category = {'supercategory': 'type', 'id': 1, 'name': 'Metal'}
    flat = {'id': '0', 'image_id': '0', 'category_id': 1, 'segmentation': box(2, 3, 5, 6)[0], 'bbox': [2, 3, 5, 6]}
    content = {'images': [image], 'categories': [category, category, category], 'annotations': [flat]}
    (tmp_path / 'a.json').write_text(json.dumps(content))
    expected = np.zeros((16, 20))
    expected[3:9, 2:7] = 1
    assert np.array_equal(painted(tmp_path, [], CocoSource('a.json')), expected)


@pytest.mark.parametrize('empty', [[], [[]], None])
def test_boxes_are_rejected_or_counted_and_left_out(
    tmp_path: Path, empty: object, capfd: pytest.CaptureFixture[str]
) -> None:
    boxed = {'category_id': 3, 'segmentation': empty, 'bbox': [0, 0, 9, 9]}
    drawn = {'category_id': 11, 'segmentation': box(0, 0, 4, 4)}
    source = write(tmp_path, [drawn, boxed])
    message = (
        r'a.json: 1 of 2 objects have only a box and no outline, first annotation 1; set on_box: skip in the source'
    )
    with pytest.raises(DataError, match=message):
        painted(tmp_path, [], source)
    mask = painted(tmp_path, [], CocoSource('a.json', on_box='skip'))
    assert (mask[0, 0], mask[8, 8]) == (2, 0)
    assert 'a.json: 1 of 2 objects have only a box and no outline and are left out' in capfd.readouterr().err


def test_data_check_counts_what_a_source_leaves_out_among_its_warnings(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    boxed = {'category_id': 3, 'segmentation': [], 'bbox': [0, 0, 9, 9]}
    write(tmp_path, [{'category_id': 11, 'segmentation': box(0, 0, 4, 4)}, boxed])
    source = {'type': 'CocoSource', 'ann_file': 'a.json', 'on_box': 'skip'}
    check(SegmentationDataModule(CLASSES, root=str(tmp_path), train=source, val=source, num_workers=0))
    printed = capfd.readouterr()
    assert 'a.json: 1 of 2 objects have only a box and no outline and are left out' in printed.out
    assert printed.out.splitlines()[-1].startswith('every file can be used, ')
    assert not printed.err


def test_names_of_files_may_have_backslashes_and_equal_stems(tmp_path: Path) -> None:
    (tmp_path / 'JPEGImages').mkdir()
    names = [r'JPEGImages\0.jpg', 'JPEGImages/0.png', r'odd\name.jpg']
    for name in ('JPEGImages/0.jpg', 'JPEGImages/0.png', r'odd\name.jpg'):
        Image.new('RGB', (20, 16)).save(tmp_path / name)
    images = [{'id': at, 'file_name': name, 'height': 16, 'width': 20} for at, name in enumerate(names)]
    objects = [{'image_id': 1, 'category_id': 3, 'segmentation': box(0, 0, 4, 4)}]
    (tmp_path / 'a.json').write_text(json.dumps({'images': images, 'categories': CATEGORIES, 'annotations': objects}))
    found = CocoSource('a.json').samples(Context(CLASSES, root=tmp_path))
    assert [sample.image.relative_to(tmp_path).as_posix() for sample in found] == [
        'JPEGImages/0.jpg',
        'JPEGImages/0.png',
        r'odd\name.jpg',
    ]
    assert [bool(sample.mask.read().any()) for sample in found if sample.mask] == [False, True, False]
    sources = build_sources({'type': 'ImageSource', 'path': 'a.json'}, 'data.test', '', None)
    with pytest.raises(DataError, match=r'0.jpg and .*0.png, whose predictions would overwrite each other'):
        find_samples(sources, Context(CLASSES, root=tmp_path), False)


def test_outlines_that_are_too_long_are_rejected(tmp_path: Path) -> None:
    points = [value for index in range(10_000) for value in (-1500 if index % 2 else 1500, 1500)]
    with pytest.raises(DataError, match=r'annotation 0 has an outline of 30000000 pixels, more than 4194304'):
        painted(tmp_path, [{'category_id': 3, 'segmentation': [points]}])
    several = [{'category_id': 3, 'segmentation': [points[:2700]]}] * 5
    with pytest.raises(
        DataError, match=r'image 5 has outlines of \d+ pixels in all, more than the maximum of 16777216'
    ):
        painted(tmp_path, several)
    assert painted(tmp_path, several[:1]).shape == (16, 20)


def test_objects_that_would_take_hours_to_paint_are_rejected(tmp_path: Path) -> None:
    whole = {'category_id': 3, 'segmentation': {'size': [20_000, 45_000], 'counts': [900_000_000]}}
    source = write(tmp_path, [whole] * 153, height=20_000, width=45_000)
    with pytest.raises(DataError, match='image 5 has 153 objects in 45000x20000 pixels, too many to paint; cut it'):
        painted(tmp_path, [], source)


def test_unterminated_run_lengths_are_rejected_at_once(tmp_path: Path) -> None:
    for text in ('o' * 5_000_000, '0' * 5_000_000):
        start = time.process_time()
        with pytest.raises(DataError, match='annotation 0 has'):
            painted(tmp_path, [{'category_id': 3, 'segmentation': {'size': [16, 20], 'counts': text}}])
        assert time.process_time() - start < 20  # the square of the length would be hours


def test_categories_may_be_renamed_and_ignored(tmp_path: Path) -> None:
    annotations = [
        {'category_id': 1, 'segmentation': box(0, 0, 4, 4)},
        {'category_id': 2, 'segmentation': box(8, 8, 4, 4)},
    ]
    write(tmp_path, annotations, [{'id': 1, 'name': 'can'}, {'id': 2, 'name': 'unclear'}])
    mask = painted(tmp_path, [], CocoSource('a.json', category_map={'can': 'Metal', 'unclear': None}))
    assert (mask[1, 1], mask[9, 9], mask[15, 15]) == (1, 255, 0)


#: The run lengths of a mask of 100x100.
LARGER = mask_utils.encode(np.ones((100, 100), dtype=np.uint8, order='F'))['counts'].decode()

BAD: dict[str, tuple[Any, Any, str]] = {
    'no polygon': ([{'category_id': 3, 'segmentation': [[1, 2, 3, 4]]}], {}, 'annotation 0 must be a polygon of at least three'),
    'nothing': ([{'category_id': 3}], {}, 'annotation 0 must be a polygon'),
    'run lengths of another size': (
        [{'category_id': 3, 'segmentation': {'size': [4, 4], 'counts': [16]}}], {}, 'has the size [4, 4] and runs of 16 pixels'),
    'run lengths that are damaged': (
        [{'category_id': 3, 'segmentation': {'size': [16, 20], 'counts': LARGER}}], {}, 'runs of 10000 pixels'),
    'run lengths that end too early': (
        [{'category_id': 3, 'segmentation': {'size': [16, 20], 'counts': '~~~~'}}], {}, 'annotation 0 has the size'),
    'missing run lengths': (
        [{'category_id': 3, 'segmentation': {'counts': [320]}}], {}, 'cannot be decoded'),
    'points that are no numbers': (
        [{'category_id': 3, 'segmentation': [[float('nan')] * 6]}], {}, 'image 5 the segmentation of annotation 0 has a point that is not a number'),
    'points that are null': ([{'category_id': 3, 'segmentation': [[None] * 6]}], {}, 'has a point that is not a number'),
    'points that are endless': ([{'category_id': 3, 'segmentation': [[0, 0, float('inf'), 0, 9, 9]]}], {}, 'far outside'),
    'points far outside': ([{'category_id': 3, 'segmentation': [[0, 0, 1e9, 0, 9, 9]]}], {}, 'far outside the image'),
    'a flat list of two points': ([{'category_id': 3, 'segmentation': [1, 1, 9, 1]}], {}, 'annotation 0 must be a polygon'),
    'a flat list of texts': ([{'category_id': 3, 'segmentation': ['a'] * 6}], {}, 'cannot be decoded'),
    'numbers beyond any': ([{'category_id': 3, 'segmentation': [[10**400] * 6]}], {}, 'cannot be decoded'),
    'a point in a list': ([{'category_id': 3, 'segmentation': [[[1, 1], [9, 1], [9, 9]]]}], {}, 'must be a polygon of at least three'),
    'run lengths beyond any': (
        [{'category_id': 3, 'segmentation': {'size': [16, 20], 'counts': [10**4000]}}], {}, 'negative or too long'),
    'a path out of the folder, written on Windows': ([], {'file_name': '..\\a.jpg'}, 'leads out of img_dir'),
    'a text as polygon': ([{'category_id': 3, 'segmentation': 'abc'}], {}, 'annotation 0 must be a polygon'),
    'counts that are null': (
        [{'category_id': 3, 'segmentation': {'size': [16, 20], 'counts': None}}], {}, "has 'counts' that are neither a string nor a list"),
    'counts that are not integers': (
        [{'category_id': 3, 'segmentation': {'size': [16, 20], 'counts': [10.5, 309.5]}}], {}, 'nor a list of integers'),
    'an empty path': ([], {'file_name': ''}, "the file_name '' of image 5 is not a file path"),
    'a path of the folder itself': ([], {'file_name': '.'}, "the file_name '.' of image 5"),
    'a path that no system takes': ([], {'file_name': 'a\0.jpg'}, r"the file_name 'a\x00.jpg' of image 5"),
    'an unknown category id': ([{'category_id': 4, 'segmentation': box(0, 0, 2, 2)}], {}, 'unknown category_id 4'),
    'a path out of the folder': ([], {'file_name': '../a.jpg'}, 'leads out of img_dir'),
    'an image of no annotation': (
        [{'category_id': 3, 'image_id': 99, 'segmentation': box(0, 0, 2, 2)}], {}, 'image_id 99'),
}  # fmt: skip


@pytest.mark.parametrize('case', BAD)
def test_errors_name_the_object(case: str, tmp_path: Path) -> None:
    annotations, image, message = BAD[case]
    with pytest.raises(DataError) as error:
        painted(tmp_path, [], write(tmp_path, annotations, **image))
    assert message in str(error.value)
    assert 'a.json' in str(error.value)


def test_an_unknown_category_is_rejected_with_the_nearest_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"category 'Metall', which is not in data.classes; did you mean 'Metal'"):
        painted(tmp_path, [], write(tmp_path, [], [{'id': 1, 'name': 'Metall'}]))


def test_a_map_of_an_unknown_category_is_rejected_with_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path, [])
    with pytest.raises(DataError, match=r"category_map: .*a.json has no category 'Metall'; did you mean 'Metal'"):
        painted(tmp_path, [], CocoSource('a.json', category_map={'Metall': 'Metal'}))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'not valid JSON'),
        ('[' * 100_000, 'not valid JSON'),
        ('[]', "'images' must be a list"),
        ('{"images": [{"id": 1}]}', 'images.0.file_name .id 1. is wrong: Field required'),
        (
            '{"images": [{"id": 1}], "annotations": [{"segments_info": []}]}',
            'is COCO panoptic annotations, .*panopticapi',
        ),
        ('{"image": {"image_id": 1}, "annotations": []}', 'SA-1B, whose objects have no classes'),
        ('{"description": "", "objects": [], "size": {"height": 3, "width": 4}}', 'is a Supervisely annotation'),
        ('{"_via_settings": {}, "_via_img_metadata": {}}', 'is a project of the VGG Image Annotator'),
        ('[{"id": 1, "data": {}, "annotations": []}]', 'is an export of Label Studio'),
        ('{"shapes": []}', r'is an annotation of LabelMe.*use \{type: LabelMeSource'),
        ('{"type": "FeatureCollection", "features": []}', 'is a GeoJSON file'),
        ('<?xml version="1.0"?><annotations><version>1.1</version></annotations>', "an XML file of CVAT.*'COCO 1.0'"),
        ('<annotation><folder>VOC2012</folder></annotation>', 'Pascal VOC'),
    ],
)
def test_a_file_that_is_not_coco_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(DataError, match=message):
        CocoSource('a.json').samples(Context(CLASSES, root=tmp_path))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_compressed_run_lengths_are_read_as_pycocotools_does(seed: int, share: float) -> None:
    shape = np.asfortranarray(np.random.default_rng(seed).random((16, 20)) < share, dtype=np.uint8)
    segmentation = {'size': [16, 20], 'counts': mask_utils.encode(shape)['counts'].decode()}
    mask = Objects(
        Path('a.json'), {'id': 1, 'height': 16, 'width': 20}, [(1, {'segmentation': segmentation})], 0
    ).read()
    assert (mask == shape).all()


IMAGE = {'id': 5, 'file_name': 'a.jpg', 'height': 16, 'width': 20}
OBJECT = {'id': 0, 'image_id': 5, 'category_id': 3, 'segmentation': box(0, 0, 4, 4)}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'images': [IMAGE, {**IMAGE, 'file_name': 'b.jpg'}]}, 'images a.jpg and b.jpg have the same id 5'),
        ({'categories': [*CATEGORIES, {'id': 3, 'name': 'Glass'}]}, 'categories Metal and Glass have the same id 3'),
        ({'categories': [{'id': 3}]}, r'categories.0.name \(id 3\) is wrong'),
        ({'annotations': None}, 'annotations is wrong'),
        ({'annotations': ['one']}, 'annotations.0 is wrong'),
        ({'annotations': [{**OBJECT, 'category_id': [1]}]}, r'annotations.0.category_id.* \(id 0\) is wrong'),
        ({'images': [{**IMAGE, 'file_name': 5}]}, r'images.0.file_name \(id 5\) is wrong'),
        ({'images': [{**IMAGE, 'height': '16'}]}, r'images.0.height \(id 5\) is wrong'),
        ({'images': [{**IMAGE, 'height': 10**12}]}, r'images.0.height \(id 5\) is wrong'),
        (
            {'images': [{**IMAGE, 'height': 10**5, 'width': 2 * 10**5}]},
            r'images.0 \(id 5\) is wrong: 200000x100000 pixels',
        ),
        ({'images': [{**IMAGE, 'width': -3}]}, r'images.0.width \(id 5\) is wrong'),
    ],
)
def test_errors_in_a_file_name_the_entry(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    source = write(tmp_path, [OBJECT])
    whole = {'images': [IMAGE], 'categories': CATEGORIES, 'annotations': [OBJECT], **content}
    (tmp_path / 'a.json').write_text(json.dumps(whole))
    with pytest.raises(DataError, match=rf'a\.json: {message}'):
        source.samples(Context(CLASSES, root=tmp_path))


def test_a_file_without_annotations_teaches_nothing(tmp_path: Path) -> None:
    source = write(tmp_path, [OBJECT])
    (tmp_path / 'a.json').write_text(json.dumps({'images': [IMAGE], 'categories': CATEGORIES}))
    with pytest.raises(DataError, match=r"a\.json has no 'annotations'"):
        source.samples(Context(CLASSES, root=tmp_path))


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / 'pipe.json')
    (tmp_path / 'folder.json').mkdir()
    write(tmp_path, [])
    messages = {
        'pipe': 'cannot be read: it is not a regular file',
        'folder': 'are a folder',
        'no': 'cannot be read: No such',
    }
    for name, message in messages.items():
        with pytest.raises(DataError, match=rf'The annotations .*/{name}.json {message}'):
            CocoSource(f'{name}.json').samples(Context(CLASSES, root=tmp_path))
    monkeypatch.setattr('seglight.data.sources.coco.source.LARGE', 1 << 20)  # a larger file is not read at once
    monkeypatch.setattr('seglight.data.sources.json_files.read_json.__defaults__', ('annotations', 100))
    with pytest.raises(DataError, match=r'a.json cannot be read: it has \d+ bytes, more than the maximum of 100'):
        CocoSource('a.json').samples(Context(CLASSES, root=tmp_path))
