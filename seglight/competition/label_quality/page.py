"""The HTML page with the images and regions whose labels are suspect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from seglight.competition.label_quality.ranking import LabelQuality, Ranked, exchanged, worst_regions
from seglight.competition.label_quality.suspects import Region
from seglight.competition.out_of_fold.predictions import Held
from seglight.data.images import read_image
from seglight.data.value_range import parse_range
from seglight.errors import DataError
from seglight.palette import default_palette
from seglight.report.alternatives import Alternative
from seglight.report.page import EMPTY, Plot, write_values
from seglight.report.pictures import error_map, four_panels
from seglight.report.wording import percent

#: Minimum height and width of a picture of a region, and its margin, as a share of the region.
MIN_SIDE, MARGIN = 96, 0.5

Box = tuple[slice, slice]


def write_page(path: Path, name: str, quality: LabelQuality, ranked: Sequence[Ranked], count: int) -> Path:
    """Write the page and return its path.

    Args:
        path: the file.
        name: the heading.
        quality: of the labels.
        ranked: all images, the one with the lowest score first.
        count: maximum of pictures of images, and of regions.
    """
    classes = quality.plan.classes
    palette = quality.plan.data['palette'] or default_palette(len(classes))
    images = ((each.held, f'{each.held.name}   score {each.score:.4f}', None) for each in ranked[:count])
    regions = (
        (held, f'{held.name}   {classes[region.given]}, predicted {classes[region.predicted]}', region)
        for held, region in worst_regions(ranked)[:count]
    )
    exchange = [[classes[given], classes[predicted], str(pixels)] for (given, predicted), pixels in exchanged(ranked)]
    values = {
        **EMPTY,
        'title': f'Labels of {name}',
        'heading': f'Labels of {name}',
        'subtitle': 'Predictions of models that were not trained on the image; red is suspect, not proven wrong.',
        'figures': [
            ('images', str(len(ranked))),
            ('with suspect regions', str(sum(bool(each.regions) for each in ranked))),
        ],
        'classes': list(zip(classes, palette, strict=True)),
        'examples': [
            ('Images with the lowest scores', list(_pictures(quality, images, palette))),
            ('Regions', list(_pictures(quality, regions, palette))),
        ],
        'tables': [('Exchanged classes', ['label', 'prediction', 'pixels'], exchange)],
    }
    return write_values(path, values)


def _pictures(
    quality: LabelQuality, shown: Iterable[tuple[Held, str, Region | None]], palette: list[list[int]]
) -> Iterator[Plot]:
    """Yield a picture of each image, or of a region of it, with its title; none of an image that cannot be read.

    It has the image, its labels, its prediction, and the suspect pixels in red.
    """
    value_range = parse_range(quality.plan.data['image_range'])
    for held, title, region in shown:
        labels, probabilities = held.mask.read(), quality.probabilities(held)
        predicted = probabilities.argmax(0).astype(np.uint8)
        suspect = quality.suspect(held, probabilities)
        try:
            image = read_image(held.image, value_range)
        except DataError:
            continue
        marked = error_map(image, labels, np.where(suspect, predicted, labels), quality.ignore_index)
        at = (slice(None), slice(None)) if region is None else surroundings(region, labels.shape)
        drawn = four_panels(image[at], labels[at], predicted[at], marked[at], palette)
        yield Plot(title, drawn, Alternative(f'{percent(float(suspect[at].mean()))} of the pixels are suspect', [], []))


def surroundings(region: Region, shape: tuple[int, ...]) -> Box:
    """Return the rows and columns of a region with its margin in an image of height and width `shape`."""
    left, top, width, height = region.box
    side = max(MIN_SIDE, round((1 + 2 * MARGIN) * max(width, height)))
    rows, columns = (
        slice(max(0, middle - side // 2), min(size, middle + side - side // 2))
        for middle, size in zip((top + height // 2, left + width // 2), shape, strict=True)
    )
    return rows, columns
