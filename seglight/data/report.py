"""Statistics and faults of a data set, from all of its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np

from seglight.array_types import Floats, Ints
from seglight.cores import cores
from seglight.counting import counted
from seglight.data.checks import counted_labels, read_header
from seglight.data.dataset import SegmentationDataset
from seglight.data.facts import SplitFacts, count_labels, is_plain
from seglight.data.sources.base import Sample
from seglight.errors import DataError
from seglight.terminal import cell_width, padded


@dataclass
class SplitReport:
    """Statistics of a split.

    Attributes:
        sizes: number of images for each `(height, width)`.
        pixels: number of pixels of each class, int64 `[C]`.
        ignored: number of ignored pixels.
        images: number of images that show each class, int64 `[C]`.
        mean: RGB mean of all pixels in 0 to 255, `[3]`.
        std: RGB standard deviation of all pixels, `[3]`.
        faults: messages about the samples that cannot be used.
        facts: statistics for `seglight.data.judgement`.
    """

    sizes: Counter[tuple[int, int]]
    pixels: Ints
    ignored: int
    images: Ints
    mean: Floats
    std: Floats
    faults: list[str]
    facts: SplitFacts

    @property
    def count(self) -> int:
        """The number of usable images."""
        return self.sizes.total()

    def class_weights(self) -> Floats:
        """Return loss weights for the classes, float `[C]`, see `root_weights`."""
        return root_weights(self.pixels)


def root_weights(pixels: Ints) -> Floats:
    """Return loss weights for classes, float `[C]`.

    The inverse square root of the pixel share of each class, scaled to a mean of one over all pixels, so that the
    loss keeps its magnitude; 0 for a class without pixels.

    Args:
        pixels: number of pixels of each class, int64 `[C]`.
    """
    share = pixels / max(pixels.sum(), 1)
    weights = np.divide(1, np.sqrt(share), out=np.zeros_like(share), where=share > 0)
    scale = float((weights * share).sum()) or 1.0
    scaled: Floats = weights / scale
    return scaled


@dataclass
class _Examined:
    """Statistics of a sample, or its fault."""

    fault: str | None = None
    size: tuple[int, int] = (0, 0)
    labels: Ints = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    plain: bool = False
    sums: Floats = field(default_factory=lambda: np.zeros(3))
    squares: Floats = field(default_factory=lambda: np.zeros(3))


def examine(dataset: SegmentationDataset, num_classes: int) -> SplitReport:
    """Decode every image and mask of a split, on all cores."""
    with ThreadPoolExecutor(cores()) as pool:
        examined = list(pool.map(lambda sample: _examine(dataset, sample), dataset.samples))
    good = [each for each in examined if each.fault is None]
    labels = np.array([each.labels for each in good]).reshape(-1, 256)
    count = max(sum(each.size[0] * each.size[1] for each in good), 1)
    mean: Floats = np.sum([each.sums for each in good] or [np.zeros(3)], axis=0) / count
    squares: Floats = np.sum([each.squares for each in good] or [np.zeros(3)], axis=0) / count
    return SplitReport(
        sizes=Counter(each.size for each in good),
        pixels=labels[:, :num_classes].sum(0),
        ignored=int(labels[:, num_classes:].sum()),
        images=(labels[:, :num_classes] > 0).sum(0),
        mean=mean,
        std=np.sqrt(np.maximum(squares - mean**2, 0)),
        faults=[each.fault for each in examined if each.fault is not None],
        facts=_facts(dataset, examined),
    )


def _facts(dataset: SegmentationDataset, examined: Sequence[_Examined]) -> SplitFacts:
    """Return the statistics to judge, including masks with labels outside the classes."""
    facts = SplitFacts(sum(each.fault is None for each in examined))
    for sample, each in zip(dataset.samples, examined, strict=True):
        if each.labels.any():
            facts.add_mask(sample.source, each.labels)
        if each.fault is None:
            facts.add_image(sample.image, each.plain)
    return facts


def _examine(dataset: SegmentationDataset, sample: Sample) -> _Examined:
    """Read one sample."""
    fault = read_header(sample).fault
    if fault is not None:
        return _Examined(fault)
    try:
        image, mask = dataset.decode(sample)
    except DataError as error:
        labels = counted_labels(dataset, sample)[1]  # judged even if they are outside the classes
        return _Examined(str(error)) if labels is None else _Examined(str(error), labels=labels)
    pixels = image.shape[0] * image.shape[1]
    mean, deviation = (values[:, 0].astype(np.float64) for values in cv2.meanStdDev(image))
    return _Examined(
        None,
        (image.shape[0], image.shape[1]),
        np.zeros(256, dtype=np.int64) if mask is None else count_labels(mask),
        is_plain(image),
        mean * pixels,
        (deviation**2 + mean**2) * pixels,
    )


def describe(name: str, report: SplitReport, classes: Sequence[str]) -> str:
    """Return the statistics of a split as text: counts, sizes, mean and std, then a row for each class."""
    sizes = [f'{width}x{height} ({count})' for (height, width), count in report.sizes.most_common(3)]
    more = f' and {len(report.sizes) - 3} more sizes' if len(report.sizes) > 3 else ''
    total = max(int(report.pixels.sum()) + report.ignored, 1)
    lines = [
        f'{name}: {counted(report.count, "image")}, {", ".join(sizes)}{more}',
        f'  mean [{_numbers(report.mean, 2)}]  std [{_numbers(report.std, 2)}]  ignored {report.ignored / total:.2%}',
    ]
    width = max(cell_width(each) for each in (*classes, 'class'))
    lines.append(f'  {"class":<{width}}  {"pixels":>9}  {"images":>7}  {"weight":>6}')
    share = report.pixels / max(int(report.pixels.sum()), 1)
    rows = zip(classes, share, report.images, report.class_weights(), strict=True)
    lines += [
        f'  {padded(each, width)}  {part:>9.3%}  {images:>7}  {weight:>6.2f}' for each, part, images, weight in rows
    ]
    if name == 'train':
        lines.append(f'  class_weight: [{_numbers(report.class_weights(), 2)}]')
    return '\n'.join(lines)


def _numbers(values: Floats, digits: int) -> str:
    return ', '.join(f'{value:.{digits}f}' for value in values)
