"""The embedded data set: generated scenes of waste on a table, in eleven classes of recyclables.

Scenes have textured backgrounds, shadows, uneven light, noise and overlapping objects. They are written once, as JPEG
and PNG files, so that a run decodes them like any other data.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import Float32Array, UInt8Array
from seglight.files import cache_dir

Rng = np.random.Generator

VERSION = 1  #: part of the cache folder's name; increase it when the drawing changes
SIZE = 192  #: height and width of the images
COUNTS = {'train': 240, 'val': 48, 'test': 16}


@dataclass(frozen=True)
class Material:
    """How the objects of a class look: outline, size, colours and surface."""

    outline: Literal['box', 'ellipse', 'blob', 'bar']
    radius: tuple[int, int]
    colours: tuple[tuple[int, int, int], ...]
    surface: Literal['plain', 'lines', 'dots', 'stripes', 'shine', 'wrinkles', 'patches']
    opacity: float = 1.0


#: The classes after Background, in the order of their labels.
MATERIALS = {
    'General trash': Material('blob', (14, 34), ((110, 85, 60), (90, 95, 70)), 'patches'),
    'Paper': Material('box', (18, 40), ((235, 230, 215), (225, 225, 230)), 'lines'),
    'Paper pack': Material('box', (16, 32), ((190, 150, 100), (200, 60, 60)), 'stripes'),
    'Metal': Material('ellipse', (12, 26), ((165, 168, 172), (140, 145, 155)), 'shine'),
    'Glass': Material('ellipse', (12, 28), ((70, 150, 90), (120, 80, 40)), 'shine', 0.65),
    'Plastic': Material('bar', (16, 34), ((60, 130, 220), (240, 160, 40)), 'shine'),
    'Styrofoam': Material('box', (14, 32), ((245, 245, 245), (235, 240, 245)), 'dots'),
    'Plastic bag': Material('blob', (20, 42), ((205, 215, 225), (150, 190, 220)), 'wrinkles', 0.75),
    'Battery': Material('bar', (8, 14), ((40, 40, 45), (180, 140, 50)), 'stripes'),
    'Clothing': Material('blob', (20, 42), ((150, 40, 80), (50, 60, 120)), 'stripes'),
}


def demo_folder() -> Path:
    """Return the folder of the data set; generate it on first use.

    It is generated under a temporary name and renamed, so that an interrupted run leaves nothing incomplete and two
    runs can start at once.
    """
    folder = cache_dir() / f'demo-v{VERSION}'
    if folder.is_dir():
        return folder
    print(f'Generating the embedded data set, once, in {folder}', file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix='.demo-'))
    try:
        generate(temporary)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # unless another run has generated it meanwhile
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def generate(root: Path, seed: int = 0, counts: dict[str, int] = COUNTS, size: int = SIZE) -> None:
    """Write `img_dir/{train,val,test}/*.jpg` and `ann_dir/{train,val}/*.png` below `root`.

    Args:
        root: an empty folder.
        seed: the same seed generates the same files.
        counts: number of images in each split; `test` gets no masks.
        size: height and width of the images.
    """
    for split_index, (split, count) in enumerate(counts.items()):
        images, masks = root / 'img_dir' / split, root / 'ann_dir' / split
        images.mkdir(parents=True)
        if split != 'test':
            masks.mkdir(parents=True)
        for index in range(count):
            image, mask = draw_scene(np.random.default_rng((seed, split_index, index)), size)
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(images / f'{index:04d}.jpg'), bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])
            if split != 'test':
                cv2.imwrite(str(masks / f'{index:04d}.png'), mask)


def draw_scene(rng: Rng, size: int) -> tuple[UInt8Array, UInt8Array]:
    """Draw one scene.

    Returns:
        The image, uint8 `[size, size, 3]` RGB, and its mask, uint8 `[size, size]`.
    """
    image = _background(rng, size)
    mask = np.zeros((size, size), dtype=np.uint8)
    materials = list(MATERIALS.values())
    labels = rng.integers(1, len(materials) + 1, size=rng.integers(4, 9))
    for label in sorted(labels, key=lambda label: -materials[label - 1].radius[1]):
        _place(rng, image, mask, int(label), materials[label - 1])
    light = 1 + 0.25 * _noise(rng, size, 3)[..., None] + 0.02 * rng.standard_normal((size, size, 1))
    blurred = cv2.GaussianBlur(image * light.astype(np.float32), (3, 3), 0.6)
    noisy = blurred + rng.normal(0, 4, image.shape)
    return noisy.clip(0, 255).astype(np.uint8), mask


def _place(rng: Rng, image: Float32Array, mask: UInt8Array, label: int, material: Material) -> None:
    """Draw one object with its shadow into the image, and its label into the mask."""
    size = len(mask)
    inside = _outline(rng, size, material)
    shadow = cv2.GaussianBlur(np.roll(inside, (4, 5), (0, 1)).astype(np.float32), (0, 0), 4)
    image *= 1 - 0.35 * (shadow * ~inside)[..., None]
    surface = _surface(rng, size, material)
    image[inside] = material.opacity * surface[inside] + (1 - material.opacity) * image[inside]
    mask[inside] = label


def _outline(rng: Rng, size: int, material: Material) -> npt.NDArray[np.bool_]:
    """Return the pixels of an object with random position and pose, bool `[size, size]`."""
    radius = rng.integers(*material.radius)
    flatness = rng.uniform(0.3, 0.45) if material.outline == 'bar' else rng.uniform(0.6, 1)
    if material.outline in ('box', 'bar'):
        points = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) + rng.uniform(-0.12, 0.12, (4, 2))
    else:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        rough = 0.3 if material.outline == 'blob' else 0.0
        waves = [rng.normal(0, rough / k) * np.sin(k * angles + rng.uniform(0, 6)) for k in range(2, 6)]
        points = np.stack([np.cos(angles), np.sin(angles)], 1) * (1 + np.sum(waves, axis=0))[:, None]
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    placed = (points * (radius, radius * flatness)) @ rotation.T + rng.uniform(0.05 * size, 0.95 * size, 2)
    canvas = np.zeros((size, size), dtype=np.uint8)
    cv2.fillPoly(canvas, [placed.round().astype(np.int32)], 1)
    return canvas.astype(bool)


def _surface(rng: Rng, size: int, material: Material) -> Float32Array:
    """Return a texture of the whole image's size, float32 `[size, size, 3]` in 0 to 255."""
    first, second = (np.array(colour, dtype=np.float32) for colour in rng.permutation(material.colours))
    base = first + rng.normal(0, 10, 3)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    turn = rng.uniform(0, np.pi)
    along = x * np.cos(turn) + y * np.sin(turn)
    across = y * np.cos(turn) - x * np.sin(turn)
    patterns: dict[str, Any] = {
        'plain': np.zeros_like(x),
        'lines': -0.3 * (np.sin(along * 1.3) > 0.6),
        'dots': 0.12 * (np.sin(along * 1.5) * np.sin(across * 1.5)),
        'stripes': (np.sin(along * 0.45 + rng.uniform(0, 6)) > 0.2).astype(np.float32),
        'shine': 0.5 * np.sin(across * 0.12 + rng.uniform(0, 6)) ** 6 - 0.1,
        'wrinkles': 0.3 * np.abs(_noise(rng, size, 16)) ** 0.5 - 0.15,
        'patches': (_noise(rng, size, 14) > 0).astype(np.float32),
    }
    pattern = patterns[material.surface][..., None]
    two_coloured = material.surface in ('stripes', 'patches')
    surface = base * (1 - pattern) + second * pattern if two_coloured else base * (1 + pattern)
    return np.asarray(surface, dtype=np.float32)


def _background(rng: Rng, size: int) -> Float32Array:
    """Return the background: concrete, wood or grass, float32 `[size, size, 3]` in 0 to 255."""
    colour = np.array([(128, 124, 118), (150, 115, 80), (95, 115, 70)][rng.integers(3)]) + rng.normal(0, 12, 3)
    grain = 0.12 * _noise(rng, size, 8) + 0.10 * _noise(rng, size, 48)
    planks = 0.06 * (np.sin(np.arange(size) * rng.uniform(0.1, 0.3)) > 0.9)
    return np.asarray((1 + grain - planks)[..., None] * colour, dtype=np.float32)


def _noise(rng: Rng, size: int, cells: int) -> Float32Array:
    """Return smooth noise around 0 from a grid of `cells` x `cells`, float32 `[size, size]`."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32)
