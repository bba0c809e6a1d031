"""A picture of what the model sees: augmented training samples with their masks, and how frequent the classes are."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from seglight.data.splits import pixels_of
from seglight.palette import default_palette, overlay

if TYPE_CHECKING:
    from seglight.data.datamodule import SegmentationDataModule

COLUMNS = 4  #: samples in a row, each an image beside its overlay


def contact_sheet(module: SegmentationDataModule, count: int) -> bytes:
    """Return a PNG of the first samples of the first epoch, in the order and with the augmentations of training.

    Args:
        module: a data module that is set up for `fit`.
        count: how many samples, at most.
    """
    dataset = module.datasets['train']
    palette = module.palette or default_palette(len(module.classes))
    items = [dataset[index] for index in list(module.train_sampler())[:count]]
    rows = -(-len(items) // COLUMNS)
    height, width = items[0]['meta']['size']
    row, bars = 2 * height / width + 0.3, 0.8 + 0.22 * len(module.classes)  # inches; an image is two wide
    figure = Figure(figsize=(4 * COLUMNS, row * rows + bars), layout='constrained')
    parts: Any = figure.subfigures(2, 1, height_ratios=[row * rows, bars])
    above, below = parts
    for place, axes in enumerate(above.subplots(rows, COLUMNS, squeeze=False).flat):
        axes.axis('off')
        if place < len(items):
            item = items[place]
            image = item['image'].permute(1, 2, 0).numpy()
            mask = item['mask']
            drawn = image if mask is None else overlay(image, mask.numpy(), palette, 0.6)
            axes.imshow(np.concatenate([image, drawn], axis=1))
            axes.set_title(item['meta']['name'], fontsize=7)
    _draw_bars(below, module, palette)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()


def _draw_bars(figure: Any, module: SegmentationDataModule, palette: list[list[int]]) -> None:
    """Draw the share of each class in the pixels and in the images of the training files."""
    pixels = pixels_of(module.datasets['train'].samples, len(module.classes))
    shares = {'share of the pixels': pixels.sum(0) / max(pixels.sum(), 1), 'share of the images': (pixels > 0).mean(0)}
    places = np.arange(len(module.classes))
    for axes, (title, share) in zip(figure.subplots(1, 2, sharey=True), shares.items(), strict=True):
        axes.barh(places, 100 * share, color=np.array(palette) / 255, edgecolor='grey', linewidth=0.5)
        axes.set_yticks(places, module.classes, fontsize=7)
        axes.set_title(f'{title} (%)', fontsize=8)
        axes.tick_params(axis='x', labelsize=7)
        for place, value in zip(places, share, strict=True):
            axes.text(100 * value, place, f' {100 * value:.3g}', va='center', fontsize=6)
    figure.axes[0].invert_yaxis()
