"""The start of a report: how good the model is, which classes fail, and on which images."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from seglight.report.evaluation import Evaluation, Example
from seglight.report.findings import shares
from seglight.report.run import Run
from seglight.report.wording import percent, small

CLASSES = 5  #: maximum number of classes that fail, and of images
ANCHORS = '{group}-{number}'  #: the target of links to the picture of an example


class Hard(NamedTuple):
    """An image with a low IoU; `anchor` is empty if the page has no picture of it."""

    name: str
    iou: str
    wrong: str
    anchor: str


def verdict(found: Evaluation, earlier: Run | None) -> str:
    """Return how good a model is in one or two sentences, also compared with the best earlier run."""
    if np.isnan(found.miou):
        return 'No pixel of the validation masks is labelled, so nothing can be said about the model.'
    correct = found.confusion.diagonal().sum() / found.confusion.sum()
    known = found.iou[~np.isnan(found.iou)]
    half = int((known < 0.5).sum())
    text = (
        f'{percent(float(correct))} of the pixels are right, and the mean IoU of {len(known)} classes is '
        f'{percent(found.miou)}; {half or "none"} of them {"is" if half == 1 else "are"} below 50 %.'
    )
    if earlier and earlier.evaluation:
        change = 100 * (found.miou - earlier.evaluation.miou)
        return f'{text} The mean IoU is {abs(change):.2f} points {"below" if change < 0 else "above"} {earlier.name}.'
    return text


def failing_classes(found: Evaluation) -> tuple[list[str], list[list[str]]] | None:
    """Return the head and the rows of a table of the classes below the mean IoU, the lowest first; None without any."""
    below = np.flatnonzero(found.iou < found.miou).tolist()
    worst = sorted(below, key=lambda index: float(found.iou[index]))[:CLASSES]
    if not worst:
        return None
    confused, trained = found.confused, shares(found.train_pixels)
    head = ['class', 'IoU', 'found', 'precision', 'most often taken for']
    rows = []
    for index in worst:
        other = int(confused[index].argmax())
        share = confused[index, other]
        taken = f'{found.classes[other]}, {percent(float(share), 1)}' if share > 0 else 'none'
        precision = found.precision[index]
        right = 'never predicted' if np.isnan(precision) else percent(float(precision), 1)
        values = (found.iou[index], found.accuracy[index])
        rows.append([found.classes[index], *(percent(float(value), 1) for value in values), right, taken])
        if found.train_pixels.any():
            rows[-1].append(small(trained[index]))
    return [*head, *(['training pixels'] if found.train_pixels.any() else [])], rows


def hardest_images(found: Evaluation, anchors: Collection[str]) -> list[Hard]:
    """Return the images with the lowest IoU.

    Args:
        found: the evaluation.
        anchors: of the pictures on the page.
    """
    hardest = []
    for number, example in enumerate(found.worst[:CLASSES], start=1):
        anchor = ANCHORS.format(group='worst', number=number)
        wrong = percent(wrong_share(example, found), 1)
        hardest.append(Hard(example.name, percent(example.iou, 1), wrong, anchor if anchor in anchors else ''))
    return hardest


def wrong_share(example: Example, found: Evaluation) -> float:
    """Return the share of an image's labelled pixels that are predicted wrongly, NaN without any."""
    labelled = example.mask != found.ignore_index
    return float((example.prediction != example.mask)[labelled].mean()) if labelled.any() else float('nan')
