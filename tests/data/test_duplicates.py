"""Near-duplicates are found among images that look alike in nothing but kind."""

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance
from scipy import ndimage
from scipy.fft import dctn
from scipy.sparse.csgraph import connected_components

from seglight.data.duplicates import Prints, fingerprints, perceptual_hash, similar_groups, thumbnail


def scene(seed: int) -> Image.Image:
    """An image with structure on several scales, as photographs have it; darker at the bottom."""
    rng = np.random.default_rng(seed)
    size = 120, 160
    fields = [
        scale
        * ndimage.zoom(rng.standard_normal((-(-size[0] // scale), -(-size[1] // scale), 3)), (scale, scale, 1), order=1)
        for scale in (8, 20, 40)
    ]
    total = sum(field[: size[0], : size[1]] for field in fields)
    total += np.linspace(40, -40, size[0])[:, None, None]
    return Image.fromarray(np.clip(110 + 0.9 * total, 0, 255).astype(np.uint8))


def still(seed: int) -> Image.Image:
    """An image of a few things before a plain and noisy background."""
    rng = np.random.default_rng(seed)
    image = Image.new('RGB', (256, 256), (int(rng.integers(120, 200)),) * 3)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 4)):
        angles, radii = np.sort(rng.uniform(0, 2 * np.pi, 6)), rng.uniform(15, 60, 6)
        points = rng.integers(40, 216, 2) + radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
        draw.polygon([(x, y) for x, y in points.tolist()], fill=tuple(rng.integers(0, 255, 3).tolist()))
    noisy = np.asarray(image) + rng.normal(0, 12, (256, 256, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, quality: int = 30) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=quality)
    return Image.open(buffer).convert('RGB')


#: What copies went through.
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    'same': lambda image: image,
    'encoded': encoded,
    'half': lambda image: image.resize((80, 60)),
    'other_shape': lambda image: image.resize((200, 200)),
    'brighter': lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    'darker': lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    'contrast': lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    'grey': lambda image: image.convert('L'),
}


def shares(folder: Path, planted: Sequence[tuple[int, Image.Image]]) -> tuple[float, float]:
    """Return the precision and the recall of the pairs of copies."""
    paths = [folder / f'{index}.png' for index in range(len(planted))]
    for path, (_, image) in zip(paths, planted, strict=True):
        image.save(path)
    groups = similar_groups(fingerprints(paths))
    numbers = np.array([number for number, _ in planted])
    pairs = np.triu(np.ones((len(paths), len(paths)), bool), 1)
    truth = (numbers[:, None] == numbers) & pairs
    found = (groups[:, None] == groups) & pairs
    hits = (truth & found).sum()
    return hits / found.sum(), hits / truth.sum()


def test_planted_copies_are_found_and_nothing_else(tmp_path: Path) -> None:
    planted = [(number, scene(number)) for number in range(80)]
    planted += [(number, change(scene(number))) for number, change in enumerate(5 * list(CHANGES.values()))]
    precision, recall = shares(tmp_path, planted)
    assert precision == 1
    assert recall >= 0.95


def test_copies_of_things_before_a_plain_background_are_found(tmp_path: Path) -> None:
    planted = [(number, still(number)) for number in range(80)]
    planted += [(number, encoded(still(number), quality)) for number, quality in enumerate(10 * [95, 85, 70, 40])]
    precision, recall = shares(tmp_path, planted)
    assert precision == 1
    assert recall >= 0.9


def test_plain_and_unreadable_images_are_no_duplicates(tmp_path: Path) -> None:
    for name, colour in (('a', 0), ('b', 0), ('c', 200)):
        Image.new('L', (40, 30), colour).save(tmp_path / f'{name}.png')
    (tmp_path / 'd.png').write_bytes(b'damaged')
    assert len(set(similar_groups(fingerprints(sorted(tmp_path.iterdir()))).tolist())) == 4
    assert similar_groups(fingerprints([])).tolist() == []


def test_the_hash_is_that_of_the_cosine_transform() -> None:
    small = thumbnail(np.asarray(scene(1)))
    low = dctn(small.astype(float), norm='ortho')[1:9, 1:9]
    bits = ''.join(str(int(bit)) for bit in (low > np.median(low)).ravel())
    assert perceptual_hash(small) == int(bits, 2)


def test_lookups_find_all_pairs_that_differ_in_seven_bits_and_no_others() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 600, dtype=np.uint64)
    for at in range(300):  # 4 to 11 changed bits
        changed = sum(1 << int(bit) for bit in rng.permutation(64)[: 4 + at % 8])
        hashes[300 + at] = hashes[at] ^ np.uint64(changed)
    same = np.broadcast_to(rng.integers(0, 256, (32, 32), dtype=np.uint8), (600, 32, 32))  # so that bits decide
    groups = similar_groups(Prints(hashes, same))
    distances = np.array([[int(a ^ b).bit_count() for b in hashes] for a in hashes])
    expected = connected_components(distances <= 7)[1]
    assert ((groups[:, None] == groups) == (expected[:, None] == expected)).all()


@pytest.mark.parametrize('alike', [0, 5000])
def test_the_time_is_nearly_linear_also_if_many_are_alike(alike: int) -> None:
    def seconds(count: int) -> float:
        rng = np.random.default_rng(1)
        hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
        similar = alike * count // 20_000
        hashes[:similar] = hashes[0] ^ (np.uint64(1) << rng.integers(0, 64, similar, dtype=np.uint64))
        thumbnails = np.broadcast_to(rng.integers(0, 256, (32, 32), dtype=np.uint8), (count, 32, 32))
        start = time.process_time()
        groups = similar_groups(Prints(hashes, thumbnails))
        if similar:
            assert len(set(groups[:similar].tolist())) == 1
        return time.process_time() - start

    assert seconds(20_000) < 3 * 4 * max(seconds(5000), 0.1)  # all pairs would take 16 times as long
