"""`labelmap.txt` of CVAT and Datumaro: classes by colour, in any order."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.data.sources import Context, FolderSource
from seglight.errors import ConfigError, DataError

CLASSES = ['background', 'cat', 'dog']

#: As CVAT writes it for "Segmentation mask 1.1": sorted by name, with a line of comments.
TEXT = """# label:color_rgb:parts:actions
background:0,0,0::
cat:250,50,83::
dog:51,221,255:head,tail:run
"""
COLOURS = [[0, 0, 0], [250, 50, 83], [51, 221, 255], [255, 255, 255]]
LABELS = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)


def write(root: Path, image: Image.Image, text: str = TEXT) -> FolderSource:
    for folder in ('JPEGImages', 'SegmentationClass'):
        (root / folder).mkdir(exist_ok=True)
    Image.new('RGB', (3, 2)).save(root / 'JPEGImages/a.jpg')
    image.save(root / 'SegmentationClass/a.png')
    (root / 'labelmap.txt').write_text(text)
    return FolderSource('JPEGImages', 'SegmentationClass', labelmap='labelmap.txt')


def read(root: Path, source: FolderSource, classes: list[str] = CLASSES) -> np.ndarray:
    mask = source.samples(Context(classes, [[1, 2, 3]] * len(classes), root=root))[0].mask
    assert mask is not None
    return np.asarray(mask.read())


def coloured(labels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.array(COLOURS, dtype=np.uint8)[labels])


def indexed(labels: np.ndarray) -> Image.Image:
    """A mask whose indices are in another order than the classes."""
    image = Image.fromarray(np.array([7, 0, 5], dtype=np.uint8)[labels], 'P')
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[[7, 0, 5]] = COLOURS[:3]
    image.putpalette(palette.tobytes())
    return image


@pytest.mark.parametrize('kind', [coloured, indexed])
def test_colours_are_classes_by_their_names(tmp_path: Path, kind: object) -> None:
    source = write(tmp_path, kind(LABELS))  # type: ignore[operator]
    assert np.array_equal(read(tmp_path, source), LABELS)
    assert np.array_equal(read(tmp_path, source, ['background', 'dog', 'cat']), np.array([0, 2, 1])[LABELS])


def test_names_may_be_mapped_and_colours_ignored(tmp_path: Path) -> None:
    write(tmp_path, coloured(np.array([[0, 1, 2], [3, 3, 0]])))
    source = FolderSource(
        'JPEGImages',
        'SegmentationClass',
        labelmap='labelmap.txt',
        category_map={'cat': 'pet', 'dog': None},
        ignore_colours=[COLOURS[3]],
    )
    assert read(tmp_path, source, ['background', 'pet']).tolist() == [[0, 1, 255], [255, 255, 0]]


def test_a_colour_without_a_name_is_reported(tmp_path: Path) -> None:
    source = write(tmp_path, coloured(np.array([[3, 1, 2]])))
    with pytest.raises(DataError, match=r'a.png has the colour \(255, 255, 255\), which is not in the labelmap'):
        read(tmp_path, source)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('cat', "the line 'cat' must look like cat:128,0,0::"),
        ('cat:::', "the line 'cat:::' must look like"),
        ('cat:1,2::', 'must look like'),
        ('cat:1,2,300::', 'must look like'),
        ('cat:1,2,x::', 'must look like'),
        ('cat:1,2,3::\ncat:1,2,4::', "'cat' is listed twice"),
        ('cat:1,2,3::\ndog:1,2,3::', "'cat' and 'dog' have the same colour"),
        ('# nothing', 'lists no class'),
        ('cta:1,2,3::', "has the category 'cta', which is not in data.classes; did you mean 'cat'"),
    ],
)
def test_a_labelmap_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, write(tmp_path, coloured(LABELS), text))
    assert message in str(error.value)
    assert 'labelmap.txt' in str(error.value)


def test_incompatible_settings_are_rejected() -> None:
    for options in ({'category_map': {'a': 'b'}}, {'labelmap': 'a.txt', 'reduce_zero_label': True}):
        with pytest.raises(ConfigError):
            FolderSource('a', 'b', **options)
