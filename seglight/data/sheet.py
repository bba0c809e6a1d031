"""A picture of what the model sees: augmented training samples with their masks, and how frequent the classes are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from seglight.data.splits import pixels_of
from seglight.errors import UsageError
from seglight.palette import default_palette, overlay

if TYPE_CHECKING:
    from seglight.batch import Item
    from seglight.data.datamodule import SegmentationDataModule

COLUMNS = 4  #: samples in a row at most, each an image beside its overlay
CLASSES = 40  #: bars at most; of more classes these are the most and the least frequent
WIDTH = 16.0  #: of the page, in inches
HEIGHT = 6.0  #: of a sample at most
SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp', '.pdf', '.svg')

Counts = npt.NDArray[np.int64]


def check_request(path: Path, count: int) -> None:
    """Check where a contact sheet is to be written and how many samples it is to have.

    Raises:
        ConfigError: for a suffix of no picture, or less than one sample.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--output ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, unlike '{path}'")
    if count < 1:
        raise UsageError(f'--images must be at least 1, got {count}')


def contact_sheet(module: SegmentationDataModule, count: int, suffix: str = '.png') -> bytes:
    """Return a picture of the first samples of the first epoch, in the order and with the augmentations of training.

    Args:
        module: a data module that is set up for `fit`.
        count: how many samples, at most.
        suffix: of the picture's file, one of `SUFFIXES`.
    """
    dataset = module.datasets['train']
    palette = module.palette or default_palette(len(module.classes))
    items = [dataset[index] for index in list(module.train_sampler())[:count]]
    rows = -(-len(items) // COLUMNS)
    columns = -(-len(items) // rows)
    # Every sample is fitted into a cell of one shape (height over width), that of most of them.
    shape = float(np.median([item['image'].shape[1] / (2 * item['image'].shape[2]) for item in items]))
    shape = min(shape, HEIGHT * columns / WIDTH)
    samples = rows * (WIDTH / columns * shape + 0.3)
    pixels = pixels_of(dataset.samples, len(module.classes)).astype(np.int64)
    order, absent = _shown(pixels.sum(0))
    bars = 1.0 + 0.2 * len(order)
    figure = Figure(figsize=(WIDTH, samples + bars), layout='constrained')
    parts: Any = figure.subfigures(2, 1, height_ratios=[samples, bars])
    _draw_samples(parts[0].subplots(rows, columns, squeeze=False), items, palette, shape)
    _draw_bars(parts[1], pixels, order, module.classes, palette)
    if absent:
        parts[1].supxlabel(_absence(absent, module.classes), fontsize=8, parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix[1:].lower())
    return buffer.getvalue()


def _draw_samples(grid: Any, items: list[Item], palette: list[list[int]], shape: float) -> None:
    """Draw each sample beside its overlay, in the middle of a cell whose height is `shape` times its width."""
    for axes in grid.flat[len(items) :]:
        axes.axis('off')
    for axes, item in zip(grid.flat, items, strict=False):
        image, mask = item['image'].permute(1, 2, 0).numpy(), item['mask']
        drawn = image if mask is None else overlay(image, mask.numpy(), palette, 0.6)
        pair = np.concatenate([image, drawn], axis=1)
        axes.imshow(pair)
        width = max(pair.shape[1], pair.shape[0] / shape)
        for limit, middle, length in (
            (axes.set_xlim, pair.shape[1], width),
            (axes.set_ylim, pair.shape[0], -width * shape),
        ):
            limit((middle - length) / 2 - 0.5, (middle + length) / 2 - 0.5)
        axes.set(xticks=[], yticks=[], facecolor='0.95')
        axes.spines[:].set_visible(False)
        axes.set_title(_short(item['meta']['name'], 240 // grid.shape[1]), fontsize=7, parse_math=False)


def _shown(pixels: Counts) -> tuple[list[int | None], list[int]]:
    """Return the labels of the bars, where None stands for those left out, and those that no image shows.

    Args:
        pixels: how many there are of each class, `[C]`.
    """
    if len(pixels) <= CLASSES:
        return list(range(len(pixels))), []
    order: list[int | None] = [int(label) for label in np.argsort(-pixels, kind='stable') if pixels[label]]
    absent = [int(label) for label in np.flatnonzero(pixels == 0)]
    half = CLASSES // 2
    return order if len(order) <= CLASSES else [*order[:half], None, *order[-half:]], absent


def _absence(absent: list[int], names: list[str]) -> str:
    """Return a line that names some of the classes that no image shows."""
    more = f' and {len(absent) - 8} more' if len(absent) > 8 else ''
    return f'In no image: {", ".join(_short(names[label], 30) for label in absent[:8])}{more}'


def _draw_bars(
    figure: Any, pixels: Counts, order: list[int | None], names: list[str], palette: list[list[int]]
) -> None:
    """Draw the share of each class in the pixels and in the images of the training files.

    Args:
        figure: the part of the page.
        pixels: how many there are of each class in each image, `[N, C]`.
        order: labels from top to bottom; None for a gap that says how many are left out.
        names: of all classes.
        palette: an RGB colour in 0 to 255 for each class.
    """
    shares = {'share of the pixels': pixels.sum(0) / max(pixels.sum(), 1), 'share of the images': (pixels > 0).mean(0)}
    places = [(place, label) for place, label in enumerate(order) if label is not None]
    left_out = int((pixels.sum(0) > 0).sum()) - len(places)
    texts = [f'... {left_out} more ...' if label is None else _short(names[label], 30) for label in order]
    for axes, (title, share) in zip(figure.subplots(1, 2, sharey=True), shares.items(), strict=True):
        for place, label in places:
            value = 100 * share[label]
            axes.barh(place, value, color=np.array(palette[label]) / 255, edgecolor='grey', linewidth=0.5)
            axes.text(value, place, f' {value:.3g}', va='center', fontsize=6)
        axes.set_title(f'{title} (%)', fontsize=8)
        axes.set_yticks(range(len(order)), texts, fontsize=7, parse_math=False)
        axes.tick_params(axis='x', labelsize=7)
        axes.spines[['top', 'right']].set_visible(False)
        axes.set_xlim(0, 110 * max(share.max(), 1e-6))
        axes.set_ylim(len(order) - 0.4, -0.6)


def _short(name: str, length: int) -> str:
    """Return a name whose beginning is cut off where it is too long."""
    return name if len(name) <= length else f'...{name[3 - length :]}'
