"""Samples: decoding, checks, augmentation and its randomness."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from seglight.batch import collate
from seglight.data.dataset import SegmentationDataset
from seglight.data.images import image_size, read_image
from seglight.data.masks import read_mask
from seglight.data.mixing import CutMix, Mix, Mosaic
from seglight.data.sampling import EpochSampler
from seglight.data.sources import Context, FolderSource
from seglight.data.sources.folders import find_images
from seglight.data.transforms import build_pipeline
from seglight.errors import DataError, UserError

CLASSES = [str(index) for index in range(11)]
CROP = [{'type': 'RandomCrop', 'height': 32, 'width': 32}, {'type': 'HorizontalFlip', 'p': 0.5}]


def dataset(root: Path, transforms: list[Any] | None = None, training: bool = True) -> SegmentationDataset:
    samples = FolderSource('img_dir/train', 'ann_dir/train').samples(Context(CLASSES, root=root))
    pipeline = build_pipeline(CROP if transforms is None else transforms, 'transforms', classes=CLASSES)
    return SegmentationDataset(samples, pipeline, CLASSES, training)


def images(data: SegmentationDataset, workers: int, epochs: int) -> torch.Tensor:
    """The images of some epochs, in the order of the files."""
    loader = DataLoader(
        data, batch_size=2, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0, shuffle=False
    )
    result = []
    for epoch in range(epochs):
        data.set_epoch(epoch)
        result += [batch['image'] for batch in loader]
    return torch.cat(result)


def test_a_sample_is_what_pillow_and_the_mask_file_hold(data_root: Path) -> None:
    item: Any = dataset(data_root, [])[3]
    path = Path(item['meta']['path'])
    # Two JPEG decoders may differ by rounding, not by more, and not in the order of the channels.
    expected = np.asarray(Image.open(path).convert('RGB')).transpose(2, 0, 1).astype(int)
    assert np.abs(item['image'].numpy().astype(int) - expected).mean() < 1
    assert (item['mask'].numpy() == np.asarray(Image.open(data_root / 'ann_dir/train' / f'{path.stem}.png'))).all()
    assert item['image'].dtype == item['mask'].dtype == torch.uint8
    assert (item['meta']['name'], item['meta']['size'], item['meta']['original_size']) == (
        path.stem,
        (64, 64),
        (64, 64),
    )


def test_images_and_masks_get_the_same_transform(tmp_path: Path) -> None:
    for kind in ('img_dir', 'ann_dir'):
        (tmp_path / kind / 'train').mkdir(parents=True)
    mask = np.random.default_rng(0).integers(0, 11, (8, 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    cv2.imwrite(str(tmp_path / 'ann_dir/train/a.png'), mask)
    cv2.imwrite(str(tmp_path / 'img_dir/train/a.png'), np.stack([20 * mask] * 3, -1))
    data = dataset(tmp_path, [*CROP, {'type': 'VerticalFlip', 'p': 0.5}, {'type': 'Transpose', 'p': 0.5}])
    for epoch in range(20):
        data.set_epoch(epoch)
        item: Any = data[0]
        assert (item['image'][0] == 20 * item['mask']).all()


def test_new_pixels_of_a_mask_are_ignored_and_no_label_is_invented(data_root: Path) -> None:
    data = dataset(data_root, [{'type': 'PadIfNeeded', 'min_height': 100, 'min_width': 100, 'position': 'top_left'}])
    mask = np.asarray(data[0]['mask'])
    assert (mask[64:] == 255).all()
    assert (mask[:, 64:] == 255).all()
    assert (mask[:64, :64] == np.asarray(Image.open(data_root / 'ann_dir/train/0000.png'))).all()


def test_augmentations_depend_on_seed_epoch_and_index_not_on_workers(data_root: Path) -> None:
    alone = images(dataset(data_root), workers=0, epochs=2)
    assert torch.equal(alone, images(dataset(data_root), workers=2, epochs=2))
    assert not torch.equal(alone[:8], alone[8:])
    other = dataset(data_root)
    other.seed = 43
    assert not torch.equal(alone, images(other, workers=0, epochs=2))


def test_the_transforms_of_a_sample_draw_independently(data_root: Path) -> None:
    flips = [{'type': 'HorizontalFlip', 'p': 0.5}, {'type': 'VerticalFlip', 'p': 0.5}]
    data, plain = dataset(data_root, flips), dataset(data_root, [])[0]['image']
    kinds = {(): 0, (2,): 0, (1,): 0, (1, 2): 0}
    for epoch in range(200):
        data.set_epoch(epoch)
        image = data[0]['image']
        kinds[next(dims for dims in kinds if torch.equal(plain.flip(dims) if dims else plain, image))] += 1
    assert min(kinds.values()) > 25  # 50 each are expected; streams from one seed would give (1,) and (2,) none


def test_the_sampler_shuffles_by_epoch_and_sets_that_of_the_dataset(data_root: Path) -> None:
    data = dataset(data_root)
    sampler = EpochSampler(data, 1, 0)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert int(data.epoch) == epoch
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(8))


def test_in_evaluation_the_mask_stays_as_in_its_file(data_root: Path) -> None:
    item: Any = dataset(data_root, [{'type': 'Resize', 'height': 32, 'width': 40}], training=False)[0]
    assert tuple(item['image'].shape) == (3, 32, 40)
    assert tuple(item['mask'].shape) == (64, 64)
    assert item['meta']['size'] == (32, 40)


def test_a_batch_is_padded_at_the_right_and_at_the_bottom() -> None:
    def item(height: int, width: int) -> Any:
        image = torch.full((3, height, width), 7, dtype=torch.uint8)
        return {'image': image, 'mask': image[0], 'meta': {'size': (height, width)}}

    batch = collate([item(4, 6), item(5, 3)])
    assert tuple(batch['image'].shape) == (2, 3, 5, 6)
    assert batch['image'][0, :, 4:].sum() == 0
    assert (batch['mask'][1, :, 3:] == 255).all()
    assert (batch['mask'][1, :, :3] == 7).all()


def test_palette_masks_are_read_as_their_indices(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(labels)
    image.putpalette([255, 0, 0] * 256)
    image.save(tmp_path / 'p.png')
    assert (read_mask(tmp_path / 'p.png') == labels).all()


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_the_size_in_the_header_is_that_of_the_decoded_image(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new('RGB', (20, 10)).save(tmp_path / 'a.jpg', exif=exif)
    assert image_size(tmp_path / 'a.jpg') == read_image(tmp_path / 'a.jpg').shape[:2]


def remove_mask(root: Path) -> None:
    (root / 'ann_dir/train/0003.png').unlink()


def damage(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).write_bytes(b'no image')

    return change


def relabel(value: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / 'ann_dir/train/0003.png'
        mask = np.array(Image.open(path))
        mask[5, 5] = value
        Image.fromarray(mask).save(path)

    return change


def resize_mask(root: Path) -> None:
    path = root / 'ann_dir/train/0003.png'
    Image.open(path).resize((32, 64)).save(path)


def colour_mask(root: Path) -> None:
    path = root / 'ann_dir/train/0003.png'
    Image.open(path).convert('RGB').save(path)


@pytest.mark.parametrize(
    ('break_it', 'message'),
    [
        (remove_mask, '0003.png does not exist'),
        (damage('img_dir/train/0003.jpg'), '0003.jpg cannot be read'),
        (damage('ann_dir/train/0003.png'), '0003.png cannot be read'),
        (relabel(11), '0003.png has the label 11, but data.classes names 11 classes (labels 0 to 10)'),
        (resize_mask, '0003.png is 32x64 pixels, its image'),
        (colour_mask, '0003.png has the mode RGB'),
    ],
)
@pytest.mark.parametrize('workers', [0, 1])
def test_a_bad_file_is_named_also_from_a_worker(
    own_data: Path, break_it: Callable[[Path], None], message: str, workers: int
) -> None:
    break_it(own_data)
    with pytest.raises(DataError) as error:
        images(dataset(own_data), workers, epochs=1)
    assert message in str(error.value)
    assert '\n' not in str(error.value)


def test_the_ignore_label_is_allowed(own_data: Path) -> None:
    relabel(255)(own_data)
    assert np.asarray(dataset(own_data, [])[3]['mask'])[5, 5] == 255


def test_empty_folders_are_rejected_and_equal_names_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='does not exist'):
        find_images(tmp_path / 'gone')
    with pytest.raises(DataError, match='contains no image'):
        find_images(tmp_path)
    for name in ('a.jpg', 'a.png'):
        Image.new('RGB', (4, 4)).save(tmp_path / name)
    faults = [sample.fault for sample in find_images(tmp_path)]
    assert faults[0] is None
    assert str(faults[1]).startswith(f'{tmp_path}/a.png has the name of a.jpg beside it')


def test_inner_folders_are_kept_in_names(tmp_path: Path) -> None:
    (tmp_path / 'in').mkdir()
    for name in ('in/a.jpg', 'a.jpg'):
        Image.new('RGB', (4, 4)).save(tmp_path / name)
    assert [sample.name for sample in find_images(tmp_path)] == ['a', 'in/a']


def test_an_error_of_the_users_is_one_line() -> None:
    try:
        raise DataError('a name with a\nline  break')
    except DataError:
        wrapped = ExceptionWrapper(where='in DataLoader worker process 0')
    with pytest.raises(DataError) as error:
        wrapped.reraise()
    assert str(error.value) == 'a name with a line  break'
    assert str(UserError('plain')) == 'plain'


def test_a_sample_that_is_seen_again_has_other_augmentations(data_root: Path) -> None:
    data = dataset(data_root)
    first, again = data[3], data[3 + len(data)]
    assert first['meta'] == again['meta']
    assert not torch.equal(first['image'], again['image'])


@pytest.mark.parametrize('workers', [0, 2])
def test_a_file_that_turns_bad_is_replaced_and_counted(
    own_data: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    data = dataset(own_data, [])
    data.on_bad_sample = 'skip'
    (own_data / 'img_dir/train/0003.jpg').write_bytes(b'no image')
    loaded = images(data, workers, epochs=2)
    assert torch.equal(loaded[3], loaded[4])
    assert int(data.skipped) == 2
    assert '0003.jpg cannot be read' in capfd.readouterr().err


def test_a_file_that_turns_bad_does_not_count_in_validation(own_data: Path) -> None:
    data = dataset(own_data, [], training=False)
    data.on_bad_sample = 'skip'
    (own_data / 'ann_dir/train/0003.png').write_bytes(b'no image')
    assert (np.asarray(data[3]['mask']) == 255).all()


def test_when_every_file_is_bad_it_is_an_error(own_data: Path) -> None:
    data = dataset(own_data, [])
    data.on_bad_sample = 'skip'
    for path in (own_data / 'img_dir/train').iterdir():
        path.write_bytes(b'')
    with pytest.raises(DataError, match='No sample of the data can be read'):
        data[0]


def test_padding_in_evaluation_is_found_by_the_size(data_root: Path) -> None:
    item = dataset(data_root, [{'type': 'PadTo', 'height': 80, 'width': 70}], training=False)[0]
    assert tuple(item['image'].shape) == (3, 80, 70)
    assert item['meta']['size'] == (64, 64)


def test_a_batch_keeps_the_memory_format_of_the_decoder(data_root: Path) -> None:
    batch = collate([dataset(data_root)[index] for index in range(2)])
    assert batch['image'].is_contiguous(memory_format=torch.channels_last)
    assert tuple(batch['image'].shape) == (2, 3, 32, 32)


def test_transforms_mixes_and_transforms_on_the_device_draw_different_numbers(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []
    sequence, generator = np.random.SeedSequence, np.random.default_rng

    def noted(key: Any, **options: Any) -> Any:
        used.append((key, options))
        return sequence(key, **options)

    monkeypatch.setattr('numpy.random.SeedSequence', noted)
    monkeypatch.setattr(
        'numpy.random.default_rng', lambda key: generator(noted(key) if isinstance(key, tuple) else key)
    )
    data = dataset(data_root)
    data.mixes = [Mosaic(1.0), CutMix(1.0)]
    data.device_transforms = build_pipeline([{'type': 'VerticalFlip'}], 'transforms', classes=CLASSES)
    for epoch in range(2):
        sampler = EpochSampler(data, 1, 0, np.ones(len(data)), data.seed)
        sampler.set_epoch(epoch)
        list(sampler)
        for index in range(2):
            data[index]
    streams = {tuple(sequence(key, **options).generate_state(4)) for key, options in used}
    assert len(used) == 2 * (1 + 2 * (1 + 2 + 3 + 1 + 1))  # order; transforms, mixes, their partners, on the device
    assert len(streams) == len(used)


@pytest.mark.parametrize('mix', [Mosaic(1.0), CutMix(1.0)])
def test_only_the_partner_of_a_mix_that_turns_bad_is_replaced(own_data: Path, mix: Mix) -> None:
    data = dataset(own_data, [])
    data.mixes, data.on_bad_sample = [mix], 'skip'
    whole = [data[index] for index in range(len(data))]
    (own_data / 'img_dir/train/0003.jpg').write_bytes(b'no image')
    mixed = [data[index] for index in range(len(data))]
    same = [torch.equal(item['image'], before['image']) for item, before in zip(mixed, whole, strict=True)]
    assert 0 < sum(same) < len(data)
    names = [item['meta']['name'] for item in whole]
    assert [item['meta']['name'] for item in mixed] == ['0004' if name == '0003' else name for name in names]
    (own_data / 'img_dir/train/0003.jpg').unlink()
    data.on_bad_sample = 'error'
    with pytest.raises(DataError, match=r'0003\.jpg does not exist'):
        list(map(data.__getitem__, range(len(data))))
