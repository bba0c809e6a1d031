"""Checks of files before training: images of a single colour, labels of masks."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.data import SegmentationDataModule
from seglight.data.checks import quick_faults, read_header
from seglight.data.facts import SplitFacts
from seglight.data.header_columns import Header, read_headers
from seglight.data.sources import CocoSource, Context, Sample, Samples


def module(root: Path, classes: list[str]) -> SegmentationDataModule:
    return SegmentationDataModule(classes, root=str(root), num_workers=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Noise with masks of two classes, and one image of one colour among large ones."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 40), ('val', 2)):
        for index in range(count):
            for kind in ('img_dir', 'ann_dir'):
                (tmp_path / kind / split).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
            pixels = np.full_like(pixels, 90) if (split, index) == ('train', 7) else pixels
            Image.fromarray(pixels).save(tmp_path / f'img_dir/{split}/{index:02}.jpg')
            Image.fromarray((pixels[:, :, 0] > 200).astype(np.uint8)).save(tmp_path / f'ann_dir/{split}/{index:02}.png')
    return tmp_path


def test_what_masks_and_images_show_is_known_before_training(root: Path) -> None:
    data = module(root, ['a', 'b'])
    samples = data.samples('fit')['train']
    facts = SplitFacts()
    assert quick_faults(data.dataset('train', samples), facts) == {}
    masks = np.stack([np.asarray(Image.open(path)) for path in (root / 'ann_dir/train').iterdir()])
    total = facts.total()
    assert (facts.samples, total.masks) == (40, 40)
    assert total.pixels[:2].tolist() == [(masks == 0).sum(), (masks == 1).sum()]
    assert total.shown[:2].tolist() == [40, 39]
    assert facts.plain == [root / 'img_dir/train/07.jpg']
    assert facts.images < 40  # the others are large for their number of pixels


def test_setup_prints_each_warning_once(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = module(root, ['a', 'b', 'c'])
    data.setup('fit')
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("seglight: warning: no training mask shows 'c'")
    assert lines[1].startswith('seglight: warning: 1 of ')
    assert len(lines) == 2


@pytest.mark.parametrize('suffix', ['.jpg', '_mask.png', '.PNG'])
def test_masks_with_another_suffix_are_found_and_named(suffix: str, root: Path) -> None:
    for path in list((root / 'ann_dir/train').iterdir()):
        path.rename(path.with_name(f'{path.stem}{suffix}'))
    sample = module(root, ['a', 'b']).samples('fit', [])['train'][3]
    assert read_header(sample).fault == (
        f'{root}/img_dir/train/03.jpg has no mask: {root}/ann_dir/train/03.png does not exist, '
        f'but {root}/ann_dir/train/03{suffix} does; set mask_suffix: {suffix} in its source'
    )


def test_a_mask_whose_name_has_another_unicode_form_is_named(root: Path) -> None:
    """As in a zip file from macOS: `a` and a combining diaeresis instead of `ä`."""
    joined, apart = (unicodedata.normalize(form, 'ä') for form in ('NFC', 'NFD'))
    (root / 'img_dir/train/03.jpg').rename(root / f'img_dir/train/03{joined}.jpg')
    (root / 'ann_dir/train/03.png').rename(root / f'ann_dir/train/03{apart}.png')
    samples = module(root, ['a', 'b']).samples('fit', [])['train']
    (sample,) = (each for each in samples if each.name.startswith('03'))
    fault = read_header(sample).fault
    assert fault is not None
    assert fault.endswith(
        f'03{joined}.png does not exist, but {root}/ann_dir/train/03{apart}.png does, with the same letters in another '
        'Unicode form, as macOS writes them; rename it'
    )


def test_headers_are_read_again_only_where_files_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('seglight.data.sources.coco.source.LARGE', 0)
    monkeypatch.setattr('seglight.data.column_files.SETTLED', -10)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    (tmp_path / 'img').mkdir()
    for index in range(3):
        Image.new('RGB', (20, 16)).save(tmp_path / f'img/{index}.png')
    images = [{'id': each, 'file_name': f'{each}.png', 'height': 16, 'width': 20} for each in range(3)]
    content = {'images': images, 'categories': [{'id': 1, 'name': 'a'}], 'annotations': []}
    (tmp_path / 'a.json').write_text(json.dumps(content))
    read: list[str] = []

    def headers() -> dict[int, str]:
        read.clear()
        samples = Samples.of(CocoSource('a.json', 'img').samples(Context(['a'], root=tmp_path)))

        def reader(sample: Sample) -> Header:
            read.append(sample.name)
            return read_header(sample)

        return read_headers(samples, reader).faults

    monkeypatch.setattr('seglight.data.header_columns.COMPARED', 1)
    assert (headers(), sorted(read)) == ({}, ['0', '1', '2'])
    assert (headers(), read) == ({}, ['0'])  # the one that is compared
    Image.new('RGB', (8, 8)).save(tmp_path / 'new.png')
    (tmp_path / 'new.png').replace(tmp_path / 'img/2.png')
    faults = headers()
    assert list(faults) == [2]
    assert 'must have the same size' in faults[2]


def test_an_exif_orientation_explains_mismatched_sizes(root: Path) -> None:
    """For masks that were drawn without regard to the orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (40, 24), 'red').save(root / 'img_dir/train/03.jpg', exif=exif)
    Image.new('L', (40, 24)).save(root / 'ann_dir/train/03.png')
    sample = module(root, ['a', 'b']).samples('fit', [])['train'][3]
    fault = read_header(sample).fault
    assert fault is not None
    assert fault.endswith(
        'is 24x40; both must have the same size; the EXIF orientation of the image rotates it by 90 degrees: rotate '
        'the mask, too, or remove the EXIF orientation from the image'
    )
