"""What the plots show, in words and tables, for readers who cannot see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seglight.array_types import Floats
from seglight.counting import counted
from seglight.report.evaluation import BINS, Evaluation
from seglight.report.findings import shares
from seglight.report.run import Curve
from seglight.report.wording import percent

LISTED = 5  #: maximum number of classes that a row of the confusion matrix names
NEGLIGIBLE = 0.005  #: smaller shares of a row are not named


class Alternative(NamedTuple):
    """A sentence with the essence of a plot, and its values as a table; the first column names the rows."""

    summary: str
    head: list[str]
    rows: list[list[str]]


def of_curves(curves: Mapping[str, Curve], label: str, in_percent: bool = False, axis: str = 'step') -> Alternative:
    """Describe `curves_plot`: where each curve starts, ends, and has its extremes."""

    def written(value: float) -> str:
        return percent(value) if in_percent else f'{value:.4g}'

    def at(point: tuple[int, float]) -> str:
        return f'{written(point[1])} at {axis} {point[0]}'

    rows = [
        [name, at(curve[0]), *(at(extreme(curve, key=lambda point: point[1])) for extreme in (min, max)), at(curve[-1])]
        for name, curve in curves.items()
    ]
    ends = '; '.join(f'{name} from {written(curve[0][1])} to {written(curve[-1][1])}' for name, curve in curves.items())
    shown = '' if label == '%' else f'{label.removesuffix(", %")} over {axis}s: '
    return Alternative(f'{shown}{ends}', ['curve', 'first', 'lowest', 'highest', 'last'], rows)


def of_bars(values: Mapping[str, float], label: str) -> Alternative:
    """Describe `bars_plot`."""
    low, high = (extreme(values, key=lambda name: values[name]) for extreme in (min, max))
    rows = [[name, f'{value:.2f}'] for name, value in values.items()]
    return Alternative(f'from {values[low]:.2f} for {low} to {values[high]:.2f} for {high}', ['key', label], rows)


def of_points(points: Sequence[tuple[float, float, bool]], axis: str, label: str) -> Alternative:
    """Describe `points_plot`: the values in the order of the x axis."""
    rows = [[f'{x:.4g}', f'{y:.4g}'] for x, y, _ in sorted(points)]
    x, y, _ = max(points, key=lambda point: point[1])
    return Alternative(f'{label} over {axis}: the highest is {y:.4g} at {x:.4g}', [axis, label], rows)


def of_classes(classes: Sequence[str], columns: Mapping[str, Floats]) -> Alternative:
    """Describe `iou_plot`."""
    rows = [[name, *(percent(float(iou[index])) for iou in columns.values())] for index, name in enumerate(classes)]
    ranges = '; '.join(f'{name} {_range(classes, iou)}' for name, iou in columns.items())
    return Alternative(ranges, ['class', *(f'IoU of {name}' for name in columns)], rows)


def _range(classes: Sequence[str], iou: Floats) -> str:
    known = np.flatnonzero(~np.isnan(iou)).tolist()
    if not known:
        return 'without a class that occurs'
    low, high = (extreme(known, key=lambda index: float(iou[index])) for extreme in (min, max))
    return f'from {percent(iou[low])} for {classes[low]} to {percent(iou[high])} for {classes[high]}'


def of_difference(classes: Sequence[str], difference: Floats) -> Alternative:
    """Describe `difference_plot`."""
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    texts = ['absent' if np.isnan(value) else f'{100 * value:+.2f}' for value in difference]
    rows = [[name, text] for name, text in zip(classes, texts, strict=True)]
    return Alternative(
        f'{counted(better, "class")} gained, {worse} lost', ['class', 'difference, percentage points'], rows
    )


def of_confusion(evaluation: Evaluation) -> Alternative:
    """Describe `confusion_plot`: of each class, what its pixels are most often taken for."""
    confused = evaluation.confused
    rows = []
    for index, name in enumerate(evaluation.classes):
        others = [other for other in np.argsort(-confused[index], kind='stable') if confused[index, other] > NEGLIGIBLE]
        text = ', '.join(
            f'{evaluation.classes[other]} {percent(confused[index, other], 1)}' for other in others[:LISTED]
        )
        rows.append([name, percent(float(evaluation.accuracy[index]), 1), text or 'none'])
    label, other = np.unravel_index(confused.argmax(), confused.shape)
    largest = (
        f'{percent(confused[label, other], 1)} of {evaluation.classes[label]} predicted as {evaluation.classes[other]}'
    )
    return Alternative(f'the largest confusion is {largest}', ['labelled', 'correct', 'predicted instead'], rows)


def of_frequency(evaluation: Evaluation) -> Alternative:
    """Describe `frequency_plot`."""
    counts = {
        'training': evaluation.train_pixels,
        'validation': evaluation.confusion.sum(1),
        'predicted': evaluation.confusion.sum(0),
    }
    columns = {name: shares(pixels) for name, pixels in counts.items() if pixels.sum()}
    rows = [
        [name, *(f'{100 * share[index]:.3g} %' for share in columns.values())]
        for index, name in enumerate(evaluation.classes)
    ]
    val = shares(counts['validation'])
    order = np.argsort(val)
    summary = ', '.join(f'{evaluation.classes[at]} {100 * val[at]:.3g} %' for at in (order[-1], order[0]))
    return Alternative(f'the most and the least frequent class in validation: {summary}', ['class', *columns], rows)


def of_calibration(evaluation: Evaluation) -> Alternative:
    """Describe `calibration_plot`, for the bins that have pixels."""
    total = max(1, int(evaluation.bin_counts.sum()))
    rows = [
        [
            f'{100 * index / BINS:.0f} to {100 * (index + 1) / BINS:.0f} %',
            percent(float(evaluation.bin_confidence[index] / count), 1),
            percent(float(evaluation.bin_hits[index] / count), 1),
            percent(float(count / total), 1),
        ]
        for index, count in enumerate(evaluation.bin_counts.tolist())
        if count
    ]
    confidence, accuracy = (float(sums.sum() / total) for sums in (evaluation.bin_confidence, evaluation.bin_hits))
    summary = f'mean confidence {percent(confidence, 1)}, accuracy {percent(accuracy, 1)}'
    return Alternative(summary, ['confidence', 'mean', 'accuracy', 'share of the pixels'], rows)
