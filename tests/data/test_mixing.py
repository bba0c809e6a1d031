"""CutMix, Mosaic and CopyPaste: image and mask stay aligned."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglight.data.dataset import SegmentationDataset
from seglight.data.mixing import CopyPaste, CutMix, Mix, Mosaic, build_mixes
from seglight.data.sources import Context, FolderSource
from seglight.data.transforms import build_pipeline
from seglight.errors import ConfigError, DataError

CLASSES = [str(index) for index in range(8)]
CROP = [{'type': 'RandomCrop', 'height': 16, 'width': 16}, {'type': 'HorizontalFlip', 'p': 0.5}]


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images whose pixels are 20 times the labels; image i has the labels 0 and i, of different sizes."""
    root = tmp_path_factory.mktemp('mix')
    for kind in ('img', 'ann'):
        (root / kind).mkdir()
    for index in range(8):
        mask = np.zeros((20 + index, 24), dtype=np.uint8)
        mask[5:15, 5:20] = index
        cv2.imwrite(str(root / f'ann/{index}.png'), mask)
        cv2.imwrite(str(root / f'img/{index}.png'), np.stack([20 * mask + 20] * 3, -1))
    return root


def dataset(root: Path, mixes: list[Mix], transforms: list[Any] | None = None) -> SegmentationDataset:
    samples = FolderSource('img', 'ann').samples(Context(CLASSES, root=root))
    pipeline = build_pipeline(CROP if transforms is None else transforms, 'key', classes=CLASSES)
    presence = np.eye(8, dtype=bool)
    presence[:, 0] = True
    for mix in mixes:
        mix.prepare(CLASSES, presence)
    return SegmentationDataset(samples, pipeline, CLASSES, training=True, mixes=mixes)


@pytest.mark.parametrize('transforms', [CROP, []])
@pytest.mark.parametrize('mix', [CutMix(p=1), Mosaic(p=1), CopyPaste(['6', '7'], p=1)], ids=['cut', 'mosaic', 'paste'])
def test_a_mix_keeps_image_and_mask_aligned_and_the_size(root: Path, mix: Mix, transforms: list[Any]) -> None:
    data, plain = dataset(root, [mix], transforms), dataset(root, [], transforms)
    changed = 0
    for index in range(8):
        item: Any = data[index]
        before: Any = plain[index]
        assert item['image'].shape == before['image'].shape
        content = item['mask'] != 255
        assert (item['image'][0][content] == 20 * item['mask'][content] + 20).all()
        assert (item['image'][0][~content] == 0).all()
        changed += not torch.equal(item['mask'], before['mask'])
    assert changed >= 3


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([CutMix(), CutMix(alpha=0.2), Mosaic(), Mosaic(center_range=[0, 1]), CopyPaste(['6', '7'])]),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=4, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_every_pixel_of_a_mix_is_a_pixel_of_one_source_at_its_place(
    mix: Mix, sizes: list[tuple[int, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mix.prepare(CLASSES, np.ones((1, 8), dtype=bool))
    pairs = []
    for number, size in enumerate(sizes):  # the source in one channel, the label in another, the label 255 included
        mask = rng.choice(np.array([0, 6, 7, 255], np.uint8), size)
        pairs.append((np.stack([np.full(size, 10 + number, np.uint8), mask, 3 * mask], -1), mask))
    before = [(image.copy(), mask.copy()) for image, mask in pairs]
    image, mask = mix.join(pairs[0], pairs[1:], rng, padding=254)
    assert image.shape == (*sizes[0], 3)
    assert mask.shape == sizes[0]
    assert image.dtype == mask.dtype == np.uint8
    for now, then in zip(pairs, before, strict=True):
        assert all((a == b).all() for a, b in zip(now, then, strict=True))
    for (row, column), label in np.ndenumerate(mask):
        number = int(image[row, column, 0]) - 10
        if label == 254:
            assert (image[row, column] == 0).all()
        else:
            assert (image[row, column] == pairs[number][0][row, column]).all()
            assert label == pairs[number][1][row, column]
            assert not (isinstance(mix, CopyPaste) and number > 0 and label not in (6, 7))


def test_only_the_classes_that_were_asked_for_are_pasted(root: Path) -> None:
    data, plain = dataset(root, [CopyPaste(['7'], p=1)], []), dataset(root, [], [])
    new = [
        set(np.unique(np.asarray(data[index]['mask']))) - set(np.unique(np.asarray(plain[index]['mask'])))
        for index in range(7)
    ]
    assert new == [{7}] * 7


def test_a_mix_is_drawn_for_a_share_of_the_samples_by_seed_epoch_and_index(root: Path) -> None:
    data, plain = dataset(root, [Mosaic(p=0.5)], []), dataset(root, [], [])
    changed = []
    for epoch in range(25):
        data.set_epoch(epoch)
        changed += [not torch.equal(data[index]['image'], plain[index]['image']) for index in range(8)]
    assert 60 < sum(changed) < 120  # 100 are drawn, some change nothing
    assert torch.equal(data[3]['image'], data[3]['image'])


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ({'type': 'CutMx'}, "data.mixes.0: unknown mix 'CutMx' (CutMix, Mosaic, CopyPaste); did you mean 'CutMix'"),
        ({'type': 'CutMix', 'p': 2}, 'data.mixes.0: CutMix cannot be built: p must be a number from 0 to 1, got 2'),
        ({'type': 'CutMix', 'p': 'a'}, "data.mixes.0.p: expected float, got 'a'"),
        ({'type': 'CutMix', 'alpha': 0}, 'alpha must be above 0, got 0'),
        ({'type': 'Mosaic', 'center_range': 0.5}, 'data.mixes.0.center_range: expected Sequence[float], got 0.5'),
        ({'type': 'CopyPaste'}, 'CopyPaste cannot be built'),
        ({'type': 'CopyPaste', 'classes': 'cat'}, "data.mixes.0.classes: expected Sequence[str], got 'cat'"),
        ({'type': 'CopyPaste', 'classes': []}, 'classes must be a list of names in data.classes, got []'),
    ],
)
def test_a_faulty_mix_is_named(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_mixes([spec], 'data.mixes')
    assert message in str(error.value)


def test_pasting_needs_a_class_that_some_image_shows() -> None:
    with pytest.raises(ConfigError, match=r"'9' of CopyPaste is not in data\.classes"):
        CopyPaste(['9']).prepare(CLASSES, np.ones((2, 8), dtype=bool))
    with pytest.raises(DataError, match='No training image shows 3'):
        CopyPaste(['3']).prepare(CLASSES, np.zeros((2, 8), dtype=bool))
