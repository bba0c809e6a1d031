"""LabelMe files: the same pixels as its own exporter, and faulty files."""

import base64
import io
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from seglight.data.sources import Context, LabelMeSource, build_sources, find_samples
from seglight.data.sources.labelme.file import read_labelme
from seglight.data.sources.labelme.shapes import Shapes
from seglight.errors import DataError

CLASSES = ['background', 'cat', 'dog']


def png(rows: list[list[int]]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.array(rows, dtype=np.uint8)).save(buffer, 'PNG')
    return base64.b64encode(buffer.getvalue()).decode()


SHAPES: list[dict[str, Any]] = [
    {'label': 'cat', 'points': [[2.4, 3.7], [20.2, 1.1], [17.5, 14.9], [6.0, 18.3]], 'shape_type': 'polygon'},
    {'label': 'dog', 'points': [[30.6, 20.4], [18.2, 12.5]], 'shape_type': 'rectangle'},
    {'label': 'cat', 'points': [[34.3, 6.2], [37.9, 9.4]], 'shape_type': 'circle'},
    {'label': 'dog', 'points': [[1.5, 22.0], [12.7, 20.3]], 'shape_type': 'line'},
    {'label': '_background_', 'points': [[8.2, 6.5], [13.4, 6.1], [10.9, 11.2]], 'shape_type': 'polygon'},
    {'label': 'cat', 'points': [[33.0, 25.0]], 'shape_type': 'point'},
    {'label': 'dog', 'points': [[22.0, 1.0], [26.5, 4.0], [29.0, 2.5]], 'shape_type': 'linestrip'},
    {'label': 'cat', 'points': [[36, 14], [39, 16], [37, 19], [34, 17]], 'shape_type': 'oriented_rectangle'},
    {
        'label': 'dog',
        'points': [[3, 6], [7, 9]],
        'shape_type': 'mask',
        'mask': png([[1, 0, 1, 0, 1], [0, 1, 1, 1, 0], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]]),
        'flags': {'occluded': True},
        'group_id': 3,
    },
]

#: What `labelme.utils.shapes_to_label` of LabelMe 6.3.1 draws of these with Pillow 13: `c` for cat, `d` for dog.
DRAWN = """
........................ddddd...........
....................c..ddddddd..ccccc...
...........cccccccccc.ddddddd..ccccccc..
..cccccccccccccccccccdddddddddccccccccc.
..cccccccccccccccccc.ddddddddddccccccccc
...cccccccccccccccccdddddddddddccccccccc
...dcdcd......cccccc.ddddd.dddddcccccccc
...cdddc.....ccccccc...ddd.dddcccccccccc
...dcdcdc....cccccc.....d...dccccccccccc
...dddddc...ccccccc...........ccccccccc.
....cccccc..ccccccc............ccccccc..
....cccccc.cccccccc.............ccccc...
....ccccccccccccccddddddddddddd.........
.....cccccccccccccddddddddddddd.........
.....cccccccccccccddddddddddddd.....c...
.....cccccccccc...ddddddddddddd....ccc..
.....ccccccd......ddddddddddddd....ccccc
......dddddd......ddddddddddddd...ccccc.
dddddddddddd......ddddddddddddd.....ccc.
ddddddddddddd.....ddddddddddddd......c..
ddddddddddddd.....dddddddddddddccccc....
.dddddddddddd.................ccccccc...
.dddddddddddd................ccccccccc..
.ddddddddddddd..............ccccccccccc.
.ddddddddddddd..............ccccccccccc.
..dddddddddddd..............ccccccccccc.
..dddddd....................ccccccccccc.
..d.........................ccccccccccc.
"""


def write(path: Path, shapes: object, image: str | None = 'a.jpg', **values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {'version': '5.5.0', 'flags': {}, 'shapes': shapes, 'imagePath': image, 'imageData': None}
    path.write_text(json.dumps({**content, 'imageHeight': 28, 'imageWidth': 40, **values}))
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (40, 28)).save(path)
    return path


def masks(root: Path, classes: list[str] = CLASSES, **options: Any) -> dict[str, np.ndarray]:
    source = LabelMeSource(**{'ann_dir': '.', **options})
    samples = source.samples(Context(classes, root=root))
    return {sample.name: sample.mask.read() for sample in samples if sample.mask is not None}


def test_shapes_of_every_type_are_those_of_labelmes_exporter(tmp_path: Path) -> None:
    picture(tmp_path / 'a.jpg')
    write(tmp_path / 'a.json', SHAPES)
    expected = np.array([['.cd'.index(character) for character in row] for row in DRAWN.split()])
    assert np.array_equal(masks(tmp_path)['a'], expected)


def exported(shapes: list[dict[str, Any]], height: int, width: int) -> np.ndarray:
    """What LabelMe draws, from the description of its exporter: Pillow's figures, outline and fill alike."""
    mask = np.zeros((height, width), dtype=np.uint8)
    for shape in shapes:
        image = Image.new('1', (width, height))
        draw, points = ImageDraw.Draw(image), [tuple(point) for point in shape['points']]
        if shape['shape_type'] == 'circle':
            radius = math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1])
            centre = points[0]
            box = [(centre[0] - radius, centre[1] - radius), (centre[0] + radius, centre[1] + radius)]
            draw.ellipse(box, outline=1, fill=1)
        else:
            draw.polygon(points, outline=1, fill=1)
        mask[np.array(image)] = CLASSES.index(shape['label'])
    return mask


COORDINATES = st.tuples(st.floats(-10, 50), st.floats(-10, 40)).map(list)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                'label': st.sampled_from(CLASSES),
                'points': st.lists(COORDINATES, min_size=3, max_size=7),
                'shape_type': st.sampled_from(['polygon', 'circle']),
            }
        ),
        max_size=5,
    )
)
def test_polygons_and_circles_are_pillows_in_the_order_of_the_file(shapes: list[dict[str, Any]]) -> None:
    for shape in shapes:
        shape['points'] = shape['points'][:2] if shape['shape_type'] == 'circle' else shape['points']
    with tempfile.TemporaryDirectory() as name:
        file = read_labelme(write(Path(name) / 'a.json', shapes))
        labels = {name: label for label, name in enumerate(CLASSES)}
        mask = Shapes(Path(name) / 'a.json', Path('a.jpg'), file, labels, 0).read()
    assert np.array_equal(mask, exported(shapes, 28, 40))


def test_images_are_found_where_the_files_say_or_beside_them_or_in_a_folder(tmp_path: Path) -> None:
    picture(tmp_path / 'images/a.jpg')
    write(tmp_path / 'labels/a.json', [], r'..\images\a.jpg')
    picture(tmp_path / 'labels/in/b.png')
    write(tmp_path / 'labels/in/b.json', [], r'C:\Users\me\b.png')
    write(tmp_path / 'labels/.ipynb_checkpoints/b-checkpoint.json', [])
    picture(tmp_path / 'labels/unlabelled.jpg')
    samples = LabelMeSource('labels').samples(Context(CLASSES, root=tmp_path))
    assert [(each.name, each.image.resolve()) for each in samples] == [
        ('a', tmp_path / 'images/a.jpg'),
        ('in/b', tmp_path / 'labels/in/b.png'),
    ]
    picture(tmp_path / 'other/a.jpg')
    picture(tmp_path / 'other/in/b.jpg')
    samples = LabelMeSource('labels', 'other').samples(Context(CLASSES, root=tmp_path))
    assert [each.image for each in samples] == [tmp_path / 'other/a.jpg', tmp_path / 'other/in/b.jpg']


def test_a_file_without_a_size_has_that_of_its_image(tmp_path: Path) -> None:
    picture(tmp_path / 'a.jpg')
    write(tmp_path / 'a.json', [], imageHeight=None, imageWidth=None)
    assert masks(tmp_path)['a'].shape == (28, 40)


SQUARE = {'label': 'cat', 'points': [[0, 0], [9, 0], [9, 9], [0, 9]], 'shape_type': 'polygon', 'flags': {}}


def test_what_pixels_without_a_shape_are(tmp_path: Path) -> None:
    picture(tmp_path / 'a.jpg')
    write(tmp_path / 'a.json', [SQUARE, {**SQUARE, 'label': '__ignore__', 'points': [[20, 20], [25, 20], [25, 25]]}])
    mask = masks(tmp_path)['a']
    assert (mask[5, 5], mask[15, 15], mask[21, 24]) == (1, 0, 255)
    assert masks(tmp_path, background=None)['a'][15, 15] == 255
    assert masks(tmp_path, background='dog')['a'][15, 15] == 2
    assert masks(tmp_path, ['cat', 'dog'])['a'][15, 15] == 255  # not a cat, of which there are drawn ones
    assert masks(tmp_path, ['sky', 'pet'], category_map={'cat': 'pet'})['a'][5, 5] == 1


WRONG: dict[str, tuple[Any, Any, str]] = {
    'a name of no class': ([{**SQUARE, 'label': 'cta'}], {}, "has the category 'cta', which is not in data.classes"),
    'two points': ([{**SQUARE, 'points': [[0, 0], [1, 1]]}], {}, 'shapes.0 (cat) is a polygon of 2 points, must have 3'),
    'a rectangle of four points': ([{**SQUARE, 'shape_type': 'rectangle'}], {}, 'is a rectangle of 4 points, must have 2'),
    'a type of its own': ([{**SQUARE, 'shape_type': 'cuboid'}], {}, "has the shape_type 'cuboid', must be polygon"),
    'a point far outside': ([{**SQUARE, 'points': [[0, 0], [1e9, 0], [9, 9]]}], {}, 'a point that is not two numbers'),
    'points of one number': ([{**SQUARE, 'points': [[0], [1], [2]]}], {}, 'a point that is not two numbers'),
    'points that are no numbers': ([{**SQUARE, 'points': [[float('nan')] * 2] * 3}], {}, 'a point that is not two numbers'),
    'a mask that is none': (
        [{**SQUARE, 'shape_type': 'mask', 'points': [[0, 0], [1, 1]], 'mask': 'AAAA'}], {}, 'a mask that cannot be decoded'),
    'a mask of another size': (
        [{**SQUARE, 'shape_type': 'mask', 'points': [[0, 0], [5, 5]], 'mask': png([[1]])}], {}, 'a mask of 1x1 pixels'),
    'a mask outside': (
        [{**SQUARE, 'shape_type': 'mask', 'points': [[0, 0], [50, 5]], 'mask': png([[1]])}], {}, 'corners lie outside'),
}  # fmt: skip


@pytest.mark.parametrize('case', WRONG)
def test_errors_name_their_shape(tmp_path: Path, case: str) -> None:
    shapes, values, message = WRONG[case]
    picture(tmp_path / 'a.jpg')
    write(tmp_path / 'a.json', shapes, **values)
    with pytest.raises(DataError) as error:
        masks(tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'is not valid JSON'),
        ('[' * 100_000, 'nested too deeply'),
        ('[]', 'is not a LabelMe file'),
        ('{"shapes": [{"points": []}]}', 'shapes.0.label is wrong: Field required'),
        ('{"shapes": [{"label": "cat", "points": 3}]}', 'shapes.0.points is wrong'),
        ('{"shapes": [{"label": "cat", "points": [[1, "a"]]}]}', 'shapes.0.points.0.1 is wrong'),
        ('{"shapes": [], "imageHeight": "28"}', 'imageHeight is wrong'),
        ('{"shapes": [], "imageHeight": -1}', 'imageHeight is wrong'),
        (
            '{"shapes": [], "imageHeight": 1000000, "imageWidth": 2000}',
            '2000x1000000 pixels are more than the maximum of',
        ),
        (
            '{"images": [{"id": 1}]}',
            'is a COCO file, which this source cannot read: use {type: CocoSource, ann_file: ...}',
        ),
        (
            '{"size": {"height": 1, "width": 1}, "objects": []}',
            'is a Supervisely annotation, which this source cannot read',
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_a_fault_of_its_sample(tmp_path: Path, text: str, message: str) -> None:
    picture(tmp_path / 'a.jpg')
    (tmp_path / 'a.json').write_text(text)
    picture(tmp_path / 'b.jpg')
    write(tmp_path / 'b.json', [SQUARE], 'b.jpg')
    sources = build_sources({'type': 'LabelMeSource', 'ann_dir': '.'}, 'data.train', '', '')
    bad, good = find_samples(sources, Context(CLASSES, root=tmp_path), masks=True)
    assert str(tmp_path / 'a.json') in str(bad.fault)
    assert message in str(bad.fault)
    assert good.fault is None


@pytest.mark.parametrize(
    ('shapes', 'height', 'width', 'message'),
    [
        ([SQUARE] * 153, 20_000, 45_000, 'has 153 objects in 45000x20000 pixels, too many to paint; cut it'),
        ([{**SQUARE, 'points': [[0, 0], [9, 9]] * 1025}], 1 << 20, 9, 'has too many points for 1048576 rows of pixels'),
        ([{**SQUARE, 'points': [[0, 0], [9, 30_000]] * 280}], 30_000, 9, 'has outlines of 16800000 pixels in all'),
    ],
)
def test_shapes_that_would_take_hours_to_draw_are_rejected(
    shapes: list[dict[str, Any]], height: int, width: int, message: str, tmp_path: Path
) -> None:
    write(tmp_path / 'a.json', shapes, imageHeight=height, imageWidth=width)
    (sample,) = LabelMeSource('.').samples(Context(CLASSES, root=tmp_path))
    assert sample.mask
    with pytest.raises(DataError, match=message):
        sample.mask.read()


def test_numbers_beyond_any_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / 'a.json').write_text(f'{{"shapes": [{{"label": "cat", "points": [[1, {"9" * 400}]]}}]}}')
    (sample,) = LabelMeSource('.').samples(Context(CLASSES, root=tmp_path))
    assert 'a.json: shapes.0.points.0.1 is wrong' in str(sample.fault)
