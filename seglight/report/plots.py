"""The plots of a report, drawn by matplotlib as PNG data URLs."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seglight.array_types import Floats
from seglight.figures import drawn
from seglight.report.evaluation import BINS, Evaluation
from seglight.report.run import Curve

#: Inches; on a page 390 pixels wide, a text of 10 points is still 10 pixels high.
WIDTH = 5.2
MAX_LEGEND = 16  #: names in a legend
MAX_POINTS = 1500  #: points of a curve; more do not fit on a screen
NUMBERED_CLASSES = 12  #: up to this many classes, the cells of a confusion matrix show their values


def curves_plot(curves: dict[str, Curve], label: str, percent: bool = False, axis: str = 'step') -> str:
    """Plot values over optimizer steps.

    Args:
        curves: by their names in the legend, which is left out if there are many.
        label: of the y axis.
        percent: whether the values are fractions to show in percent.
        axis: label of the x axis.

    Returns:
        A data URL, as from every plot function in this module.
    """
    figure, axes = _figure(3.0)
    for name, curve in curves.items():
        steps, values = zip(*_thinned(curve), strict=True)
        scaled = np.multiply(values, 100 if percent else 1)
        axes.plot(steps, scaled, label=name, linewidth=1.3, marker='o' if len(steps) < 30 else '', markersize=3)
    axes.set_xlabel(axis)
    axes.set_ylabel(label)
    axes.ticklabel_format(axis='y', scilimits=(-3, 4))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if percent:
        axes.set_ylim(bottom=0)
    if 1 < len(curves) <= MAX_LEGEND:
        axes.legend(fontsize=8)
    return _data_url(figure)


def bars_plot(values: dict[str, float], label: str) -> str:
    """Plot values from 0 as bars, one for each name."""
    figure, axes = _figure(0.9 + len(values) * 0.27)
    axes.bar_label(axes.barh(np.arange(len(values)), list(values.values()), 0.7), fmt='%.2f', padding=2, fontsize=7)
    _class_rows(axes, list(values), label)
    axes.margins(x=0.12)
    return _data_url(figure)


def points_plot(points: Sequence[tuple[float, float, bool]], axis: str, label: str, log: bool = False) -> str:
    """Plot points, hollow where the third value is false.

    Args:
        points: x, y, and whether the point is filled.
        axis: label of the x axis.
        label: of the y axis.
        log: whether the x axis is logarithmic.
    """
    figure, axes = _figure(3.0)
    for filled in (True, False):
        chosen = [(x, y) for x, y, is_filled in points if is_filled == filled]
        if chosen:
            colour = 'tab:blue' if filled else 'none'
            places, heights = zip(*chosen, strict=True)
            axes.scatter(places, heights, s=26, facecolors=colour, edgecolors='tab:blue')
    axes.set_xscale('log' if log else 'linear')
    axes.set_xlabel(axis)
    axes.set_ylabel(label)
    return _data_url(figure)


def iou_plot(classes: Sequence[str], columns: dict[str, Floats]) -> str:
    """Plot the IoU of each class as bars, in one colour for each entry of `columns`, float `[C]` in 0 to 1."""
    figure, axes = _figure(0.9 + len(classes) * (0.14 + 0.13 * len(columns)))
    thickness = 0.8 / len(columns)
    for index, (name, iou) in enumerate(columns.items()):
        places = np.arange(len(classes)) + (index - (len(columns) - 1) / 2) * thickness
        bars = axes.barh(places, np.nan_to_num(100 * iou), thickness * 0.92, label=name)
        texts = ['absent' if np.isnan(value) else f'{100 * value:.1f}' for value in iou]
        axes.bar_label(bars, texts, padding=2, fontsize=7)
    _class_rows(axes, classes, 'IoU, %')
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    if len(columns) > 1:
        axes.legend(fontsize=8, loc='lower left', bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    return _data_url(figure)


def difference_plot(classes: Sequence[str], difference: Floats, label: str) -> str:
    """Plot the difference in IoU of each class, float `[C]` in -1 to 1: green for gains, red for losses."""
    figure, axes = _figure(0.9 + len(classes) * 0.27)
    values = np.nan_to_num(100 * difference)
    bars = axes.barh(np.arange(len(classes)), values, 0.7, color=np.where(values < 0, 'tab:red', 'tab:green').tolist())
    texts = ['absent' if np.isnan(value) else f'{100 * value:+.1f}' for value in difference]
    axes.bar_label(bars, texts, padding=2, fontsize=7)
    axes.axvline(0, color='black', linewidth=0.8)
    axes.margins(x=0.18)
    _class_rows(axes, classes, label)
    return _data_url(figure)


def confusion_plot(evaluation: Evaluation) -> str:
    """Plot the confusion matrix, each row normalised to 100 %."""
    labelled = evaluation.confusion.sum(1, keepdims=True)
    shares = 100 * evaluation.confusion / np.maximum(labelled, 1)
    count = len(evaluation.classes)
    size = max(WIDTH, 1.6 + 0.17 * count)
    figure, axes = _figure(size * 0.95, size)
    axes.imshow(shares, cmap='Blues', vmin=0, vmax=100)
    axes.grid(False)
    ticks = np.arange(count)
    small = 8 if count <= NUMBERED_CLASSES else 7
    axes.set_xticks(ticks, evaluation.classes, rotation=90, fontsize=small)
    axes.set_yticks(ticks, evaluation.classes, fontsize=small)
    axes.set_xlabel('predicted')
    axes.set_ylabel('labelled')
    if count <= NUMBERED_CLASSES:
        for row, column in np.argwhere(shares >= 0.5):
            colour = 'white' if shares[row, column] > 60 else 'black'
            axes.text(column, row, f'{shares[row, column]:.0f}', ha='center', va='center', fontsize=7, color=colour)
    return _data_url(figure)


def calibration_plot(evaluation: Evaluation) -> str:
    """Plot pixel accuracy over the confidence of predictions, and the fraction of pixels in each bin."""
    figure, axes = _figure(3.4)
    filled = evaluation.bin_counts > 0
    confidence = evaluation.bin_confidence[filled] / evaluation.bin_counts[filled]
    accuracy = evaluation.bin_hits[filled] / evaluation.bin_counts[filled]
    middles = (np.arange(BINS) + 0.5) / BINS * 100
    share = 100 * evaluation.bin_counts / max(1, evaluation.bin_counts.sum())
    axes.bar(middles, share, 92 / BINS, color='lightgrey', label='share of the pixels')
    axes.plot([0, 100], [0, 100], color='black', linewidth=0.8, linestyle='--', label='perfectly calibrated')
    axes.plot(100 * confidence, 100 * accuracy, marker='o', markersize=4, label='accuracy')
    axes.set_xlabel('confidence, %')
    axes.set_ylabel('%')
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8, loc='lower left', bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    return _data_url(figure)


def frequency_plot(evaluation: Evaluation) -> str:
    """Plot the fraction of pixels of each class: in training masks, validation masks and predictions."""
    counts = {
        'labelled, training': evaluation.train_pixels,
        'labelled, validation': evaluation.confusion.sum(1),
        'predicted, validation': evaluation.confusion.sum(0),
    }
    shown = {name: 100 * values / values.sum() for name, values in counts.items() if values.sum()}
    figure, axes = _figure(1.0 + len(evaluation.classes) * 0.42)
    thickness = 0.8 / max(1, len(shown))
    for index, (name, share) in enumerate(shown.items()):
        places = np.arange(len(share)) + (index - (len(shown) - 1) / 2) * thickness
        bars = axes.barh(places, share, thickness * 0.92, label=name)
        axes.bar_label(bars, [f'{value:.3g}' for value in share], padding=2, fontsize=6.5)
    _class_rows(axes, evaluation.classes, 'share of the pixels, %')
    axes.margins(x=0.12)
    axes.legend(fontsize=8, loc='lower left', bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    return _data_url(figure)


def _class_rows(axes: Axes, classes: Sequence[str], label: str) -> None:
    """Give each class a row, the first on top."""
    axes.set_yticks(np.arange(len(classes)), classes, fontsize=8)
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.grid(axis='y', visible=False)


def _figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Return an empty figure; created without pyplot, which would keep a reference and need a display."""
    figure = Figure(figsize=(width, height), layout='constrained', facecolor='none')
    axes = figure.add_subplot(facecolor='none')
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    return figure, axes


def _thinned(curve: Curve) -> Curve:
    """Return at most `MAX_POINTS` points: means of neighbouring points, so that no point is lost."""
    if len(curve) <= MAX_POINTS:
        return curve
    parts = np.array_split(np.asarray(curve), MAX_POINTS)
    return [(int(part[-1, 0]), float(part[:, 1].mean())) for part in parts]


def _data_url(figure: Figure) -> str:
    """Return a figure as the data URL of a PNG."""
    return 'data:image/png;base64,' + base64.b64encode(drawn(figure, dpi=160)).decode()
