"""Tables, the confusion matrix and images of a validation, for W&B."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seglight.data.images import read_image
from seglight.data.value_range import ValueRange
from seglight.report.evaluation import Evaluation, Example


def media(
    evaluation: Evaluation,
    fixed: Sequence[Example],
    worst: Sequence[Example],
    value_range: ValueRange | None = None,
) -> dict[str, Any]:
    """Return the tables and images of a validation for W&B."""
    import wandb

    rows = zip(evaluation.classes, evaluation.iou, evaluation.accuracy, evaluation.confusion.sum(1), strict=True)
    classes = wandb.Table(
        columns=['class', 'IoU', 'accuracy', 'pixels'],
        data=[[name, float(iou), float(accuracy), int(pixels)] for name, iou, accuracy, pixels in rows],
    )
    cells = [
        [label, predicted, int(count)]
        for label, row in zip(evaluation.classes, evaluation.confusion, strict=True)
        for predicted, count in zip(evaluation.classes, row, strict=True)
    ]
    names = ['Actual', 'Predicted', 'nPredictions']
    # wandb.plot.confusion_matrix draws this, too, but it needs lists of samples, not counts.
    confusion = wandb.plot_table(
        'wandb/confusion_matrix/v1',
        wandb.Table(columns=[*names], data=cells),
        {name: name for name in names},
        {'title': 'Confusion of pixels'},
    )
    return {
        'val/classes': classes,
        'val/confusion': confusion,
        'val/images': [masked_image(example, evaluation, value_range) for example in fixed],
        'val/worst': [masked_image(example, evaluation, value_range) for example in worst],
    }


def masked_image(example: Example, evaluation: Evaluation, value_range: ValueRange | None = None) -> Any:
    """Return a `wandb.Image` with labels and prediction as masks that can be toggled."""
    import wandb

    labels = {**dict(enumerate(evaluation.classes)), evaluation.ignore_index: 'ignored'}
    masks = {'ground_truth': example.mask, 'prediction': example.prediction}
    return wandb.Image(
        read_image(Path(example.path), value_range),
        caption=example.name if example.iou != example.iou else f'{example.name}: mIoU {100 * example.iou:.1f} %',
        masks={name: {'mask_data': mask, 'class_labels': labels} for name, mask in masks.items()},
        file_type='jpg',
    )
