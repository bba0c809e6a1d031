"""The contact sheet: augmented training samples with their masks, and class frequencies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from seglight.data.device_transforms import transformed
from seglight.data.splits import pixels_of
from seglight.errors import UsageError
from seglight.figures import drawn
from seglight.palette import default_palette, overlay

if TYPE_CHECKING:
    from seglight.batch import Item
    from seglight.data.datamodule import SegmentationDataModule

COLUMNS = 4  #: maximum number of samples in a row, each with its overlay
CLASSES = 40  #: maximum number of bars; of more classes, the most and least frequent ones are shown
WIDTH = 16.0  #: of the page, in inches
HEIGHT = 6.0  #: maximum height of a sample, in inches
SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp', '.pdf', '.svg')

Counts = npt.NDArray[np.int64]


def check_request(path: Path, count: int) -> None:
    """Check the path of a contact sheet and its number of samples.

    Raises:
        UsageError: for an unsupported suffix, or less than one sample.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--output must end with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, got '{path}'")
    if count < 1:
        raise UsageError(f'--images must be at least 1, got {count}')


def contact_sheet(module: SegmentationDataModule, count: int, suffix: str = '.png') -> bytes:
    """Return an image file with the first samples of the first epoch, as training uses them.

    Args:
        module: a data module after `setup('fit')`.
        count: maximum number of samples.
        suffix: of the image file, one of `SUFFIXES`.
    """
    dataset = module.datasets['train']
    palette = module.palette or default_palette(len(module.classes))
    items = [dataset[index] for index in list(module.train_sampler())[:count]]
    if module.device_transforms is not None:
        items = [transformed(module.device_transforms, item) for item in items]
    rows = -(-len(items) // COLUMNS)
    columns = -(-len(items) // rows)
    # All cells have the same aspect ratio (height over width), the median of the samples.
    shape = float(np.median([item['image'].shape[1] / (2 * item['image'].shape[2]) for item in items]))
    shape = min(shape, HEIGHT * columns / WIDTH)
    samples_height = rows * (WIDTH / columns * shape + 0.3)
    pixels = pixels_of(dataset.samples, len(module.classes)).astype(np.int64)
    order, absent = _shown(pixels.sum(0))
    bars_height = 1.0 + 0.2 * len(order)
    figure = Figure(figsize=(WIDTH, samples_height + bars_height), layout='constrained')
    parts: Any = figure.subfigures(2, 1, height_ratios=[samples_height, bars_height])
    _draw_samples(parts[0].subplots(rows, columns, squeeze=False), items, palette, shape)
    _draw_bars(parts[1], pixels, order, module.classes, palette)
    if absent:
        parts[1].supxlabel(_absence(absent, module.classes), fontsize=8)
    return drawn(figure, suffix[1:].lower())


def _draw_samples(grid: Any, items: list[Item], palette: list[list[int]], shape: float) -> None:
    """Draw each sample beside its overlay, centred in a cell whose height is `shape` times its width."""
    for axes in grid.flat[len(items) :]:
        axes.axis('off')
    for axes, item in zip(grid.flat, items, strict=False):
        image, mask = item['image'].permute(1, 2, 0).numpy(), item['mask']
        shown = image if mask is None else overlay(image, mask.numpy(), palette, 0.6)
        pair = np.concatenate([image, shown], axis=1)
        axes.imshow(pair)
        width = max(pair.shape[1], pair.shape[0] / shape)
        for limit, middle, length in (
            (axes.set_xlim, pair.shape[1], width),
            (axes.set_ylim, pair.shape[0], -width * shape),
        ):
            limit((middle - length) / 2 - 0.5, (middle + length) / 2 - 0.5)
        axes.set(xticks=[], yticks=[], facecolor='0.95')
        axes.spines[:].set_visible(False)
        axes.set_title(_short(item['meta']['name'], 240 // grid.shape[1]), fontsize=7)


def _shown(pixels: Counts) -> tuple[list[int | None], list[int]]:
    """Return the labels of the bars, with None for a gap, and the labels that no image shows.

    Args:
        pixels: number of pixels of each class, `[C]`.
    """
    if len(pixels) <= CLASSES:
        return list(range(len(pixels))), []
    order: list[int | None] = [int(label) for label in np.argsort(-pixels, kind='stable') if pixels[label]]
    absent = [int(label) for label in np.flatnonzero(pixels == 0)]
    half = CLASSES // 2
    return order if len(order) <= CLASSES else [*order[:half], None, *order[-half:]], absent


def _absence(absent: list[int], names: list[str]) -> str:
    """Return a caption with the first classes that no image shows."""
    more = f' and {len(absent) - 8} more' if len(absent) > 8 else ''
    return f'In no image: {", ".join(_short(names[label], 30) for label in absent[:8])}{more}'


def _draw_bars(
    figure: Any, pixels: Counts, order: list[int | None], names: list[str], palette: list[list[int]]
) -> None:
    """Draw the share of each class in the pixels and images of the training files.

    Args:
        figure: the part of the page.
        pixels: number of pixels of each class in each image, `[N, C]`.
        order: labels from top to bottom; None for a gap with the number of classes left out.
        names: of all classes.
        palette: an RGB colour in 0 to 255 for each class.
    """
    shares = {'share of the pixels': pixels.sum(0) / max(pixels.sum(), 1), 'share of the images': (pixels > 0).mean(0)}
    bars = [(row, label) for row, label in enumerate(order) if label is not None]
    left_out = int((pixels.sum(0) > 0).sum()) - len(bars)
    texts = [f'... {left_out} more ...' if label is None else _short(names[label], 30) for label in order]
    for axes, (title, share) in zip(figure.subplots(1, 2, sharey=True), shares.items(), strict=True):
        for row, label in bars:
            value = 100 * share[label]
            axes.barh(row, value, color=np.array(palette[label]) / 255, edgecolor='grey', linewidth=0.5)
            axes.text(value, row, f' {value:.3g}', va='center', fontsize=6)
        axes.set_title(f'{title} (%)', fontsize=8)
        axes.set_yticks(range(len(order)), texts, fontsize=7)
        axes.tick_params(axis='x', labelsize=7)
        axes.spines[['top', 'right']].set_visible(False)
        axes.set_xlim(0, 110 * max(share.max(), 1e-6))
        axes.set_ylim(len(order) - 0.4, -0.6)


def _short(name: str, length: int) -> str:
    """Return a name, shortened at its beginning if it is too long."""
    return name if len(name) <= length else f'...{name[3 - length :]}'
