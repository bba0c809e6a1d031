"""Likely mistakes in the data, and the key that fixes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglight.data.facts import SplitFacts, count_labels, is_plain
from seglight.data.judgement import judge
from seglight.data.sources import CocoSource, Context, FolderSource, Source, Use

CLASSES = ['background', 'object', 'edge']


def facts(*masks: list[int] | tuple[str, list[int]], samples: int | None = None, split: str = 'train') -> SplitFacts:
    """Facts of masks by their labels, each of a source of `data.{split}` or of the key that is given."""
    result = SplitFacts(len(masks) if samples is None else samples)
    for mask in masks:
        key, labels = mask if isinstance(mask, tuple) else (f'data.{split}', mask)
        result.add_mask(key, count_labels(np.array([labels], dtype=np.uint8)))
    return result


def judged(
    train: SplitFacts,
    val: SplitFacts | None = None,
    classes: list[str] = CLASSES,
    source: Source | None = None,
    **sources: Source,
) -> list[str]:
    built = {'train': [(source or FolderSource('i', 'a'), Use('data.train', named=source is None))]}
    built['train'] += [(each, Use(f'data.train.{name[1:]}')) for name, each in sources.items()]
    built['val'] = [(source or FolderSource('j', 'b'), Use('data.val', named=source is None))]
    return judge({'train': train} if val is None else {'train': train, 'val': val}, built, Context(classes))


FIX = 'set data.train: {type: FolderSource, img_dir: i, ann_dir: a, label_map: {255: object}}'


def test_sound_masks_are_not_judged() -> None:
    assert judged(facts([0, 1], [0, 2, 255]), facts([0, 1, 2], split='val')) == []
    assert judged(SplitFacts()) == []


def test_masks_of_0_and_255_with_two_classes() -> None:
    train, val = facts([0, 255], [0, 0, 0, 255]), facts([0, 255], split='val')
    assert judged(train, val, CLASSES[:2]) == [
        "no training mask shows 'object'; 33.3% of data.train is ignored: 255 is the ignored label; if that is "
        f"'object', {FIX}; data.val likewise"
    ]


def test_masks_of_0_and_1_and_255_with_three_classes() -> None:
    (line,) = judged(facts([0, 1, 1, 255], [0, 1]))
    assert line.startswith("no training mask shows 'edge'; 16.7% of data.train is ignored: 255 is the ignored label")
    assert 'label_map: {255: edge}' in line


def test_masks_of_255_in_val_alone() -> None:
    lines = judged(facts([0, 1]), facts([0, 255], split='val'), CLASSES[:2])
    assert lines == [
        "no val mask shows 'object', so the mIoU of val does not measure it; 50.0% of data.val is ignored: 255 is the "
        "ignored label; if that is 'object', "
        'set data.val: {type: FolderSource, img_dir: j, ann_dir: b, label_map: {255: object}}'
    ]


def test_masks_of_0_and_255_beside_masks_of_0_and_1() -> None:
    extra = FolderSource('more', 'more')
    lines = judged(facts([0, 1], ('data.train.1', [0, 0, 0, 255])), classes=CLASSES[:2], s1=extra)
    assert lines == [
        "the masks of data.train.1 show 'background' only, 25.0% of their pixels are ignored: 255 is the ignored "
        "label; if that is 'object', set label_map: {255: object} in data.train.1"
    ]


def test_a_label_that_is_ignored_on_purpose_gives_no_hint() -> None:
    source = FolderSource('i', 'a', label_map={255: None})
    assert judged(facts([0, 1, 255]), source=source) == ["no training mask shows 'edge'"]


def test_masks_that_count_from_one() -> None:
    source = FolderSource('i', 'a')
    assert (
        judged(facts([1, 2, 3]), source=source)
        == [
            'the masks of data.train have the labels 1 to 3, which start at 1, not at 0; '
            'set reduce_zero_label: true in data.train',
            "no training mask shows 'background'; the masks of data.train have no label 0; if their label 1 is "
            "'background', set reduce_zero_label: true in data.train",
        ][:2]
    )
    (line,) = judged(facts([1, 2, 2]), source=source)
    assert "have no label 0; if their label 1 is 'background', set reduce_zero_label: true" in line


def test_zero_label_that_is_reduced_although_it_is_a_class() -> None:
    source = FolderSource('i', 'a', reduce_zero_label=True)
    (line,) = judged(facts([255, 0, 1]), source=source)  # the files have 0, 1, 2
    assert line == (
        "no training mask shows 'edge'; 33.3% of data.train is ignored: reduce_zero_label ignores label 0; "
        "if that is 'edge', set reduce_zero_label: false in data.train"
    )


def test_one_class_more_than_are_named() -> None:
    line = judged(facts([0, 1, 2, 3]))[0]
    assert 'the masks of data.train have the labels 0 to 3, one more than data.classes names' in line
    assert 'add the class of label 0' in line


def test_grey_values_in_place_of_labels() -> None:
    line = judged(facts([0, 128, 255], [0, 128]))[0]
    assert line.startswith('the masks of data.train have the labels 0, 128, 255; set data.train: {type: FolderSource')
    assert 'label_map: {128: object, 255: edge}' in line


def test_a_single_wrong_mask_is_not_explained() -> None:
    assert judged(facts([0, 1, 2], [0, 1, 2], [0, 1, 77])) == []


def test_nothing_but_ignored_pixels() -> None:
    (line,) = judged(facts([255, 255], [255]))
    assert line.startswith('every pixel of all training masks is ignored, nothing can be learned; 255 is the ignored')


def test_background_of_coco_that_is_ignored() -> None:
    lines = judged(facts([0, 1, 2, 255]), source=CocoSource('a.json'))
    assert lines == [
        "25.0% of data.train is ignored: pixels without an object are ignored, because objects of 'background' are "
        'drawn; set background: background in data.train, or null to keep ignoring it'
    ]
    assert judged(facts([0, 1, 2, 255]), source=CocoSource('a.json', background=None)) == []
    assert judged(facts([0, 1, *[2] * 30, 255]), source=CocoSource('a.json')) == []  # slivers between objects


def test_only_some_masks_were_read() -> None:
    (line,) = judged(facts([0, 1], [0, 1], samples=5000))
    assert line == "none of the 2 training masks that were read (of 5000) shows 'edge'"


def test_many_classes_are_counted() -> None:
    (line,) = judged(facts([0]), classes=['a', *(f'c{index}' for index in range(9))])
    assert line == "no training mask shows 'c0', 'c1', 'c2', 'c3', 'c4' and 4 more"


def test_images_of_one_colour() -> None:
    train = facts([0, 1, 2])
    for index in range(4):
        train.add_image(Path(f'{index}.jpg'), plain=index == 3)
    assert judged(train) == ['1 of 4 training images that were read have a single colour, such as 3.jpg']


def test_the_worst_comes_first() -> None:
    train = facts([0, 255], ('data.train.1', [0, 9]))
    train.add_image(Path('a.jpg'), plain=True)
    lines = judged(train, facts([0], split='val'), s1=FolderSource('x', 'y'))
    assert [line.split()[0] for line in lines] == ['the', 'no', 'all']


@pytest.mark.parametrize('value', [0, 255])
def test_a_single_pixel_of_another_colour_is_found(value: int) -> None:
    image: Any = np.full((5, 7, 3), value, dtype=np.uint8)
    assert is_plain(image)
    image[4, 6, 2] ^= 1
    assert not is_plain(image)
