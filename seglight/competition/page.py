"""The HTML page that compares the models of a competition."""

from __future__ import annotations

from pathlib import Path

from seglight.competition.scores import Scores, percent
from seglight.report.page import EMPTY, difference_of_classes, iou_of_classes, write_values


def write_page(path: Path, name: str, scores: Scores) -> Path:
    """Write the page that compares models out of fold, and return its path.

    Args:
        path: the file.
        name: the heading.
        scores: of all models.
    """
    rows = scores.of_all()
    first, *others = rows.values()
    classes = list(scores.classes)
    shown = [iou_of_classes('IoU out of fold', classes, {model: row.iou for model, row in rows.items()})]
    shown += [
        difference_of_classes(f'{other.model} compared with {first.model}', classes, other.iou - first.iou)
        for other in others
    ]
    values = {
        **EMPTY,
        'title': f'Folds of {name}',
        'heading': name,
        'subtitle': 'Each image is predicted by the model of the fold that was not trained on it.',
        'figures': [(f'mIoU of {model}', f'{percent(row.miou)} %') for model, row in rows.items()],
        'sections': [('Classes', shown)],
        'tables': [('IoU by model and fold, %', ['model', 'fold', 'mIoU', *classes], scores.cells())],
    }
    return write_values(path, values)
