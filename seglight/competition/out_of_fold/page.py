"""The HTML page that compares the models of a competition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seglight.competition.out_of_fold.scores import Scores, percent
from seglight.report.page import EMPTY, difference_of_classes, iou_of_classes, write_values


def write_page(path: Path, title: str, scores: Scores, pairs: Sequence[tuple[str, str]] | None = None) -> Path:
    """Write the page that compares models out of fold, and return its path.

    Args:
        path: the file.
        title: the heading.
        scores: of all models.
        pairs: models to compare, the earlier one first; by default each with the first of all.
    """
    rows = scores.of_all()
    if pairs is None:
        first, *others = rows
        pairs = [(first, other) for other in others]
    classes = list(scores.classes)
    shown = [iou_of_classes('IoU out of fold', classes, {model: row.iou for model, row in rows.items()})]
    shown += [
        difference_of_classes(f'{later} compared with {earlier}', classes, rows[later].iou - rows[earlier].iou)
        for earlier, later in pairs
    ]
    values = {
        **EMPTY,
        'title': title,
        'heading': title,
        'subtitle': 'Each image is predicted by the model of the fold that was not trained on it.',
        'figures': [(f'mIoU of {model}', f'{percent(row.miou)} %') for model, row in rows.items()],
        'sections': [('Classes', shown)],
        'tables': [('IoU by model and fold, %', ['model', 'fold', 'mIoU', *classes], scores.cells())],
    }
    return write_values(path, values)
