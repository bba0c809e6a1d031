"""The scores of models on folds: mIoU and the IoU of each class, for each fold and for all images together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seglight.array_types import Floats
from seglight.console import tabulated
from seglight.files import csv_text
from seglight.report.evaluation import Counts, class_iou, mean_known

#: The name of the row with the images of all folds.
ALL = 'all'


@dataclass(frozen=True)
class Row:
    """The scores of a model on one fold, or on all.

    Attributes:
        model: name of the model.
        fold: number of the fold, or `ALL`.
        iou: IoU of each class, float64 `[C]`, NaN for a class that neither occurs nor is predicted.
    """

    model: str
    fold: str
    iou: Floats

    @property
    def miou(self) -> float:
        """Mean IoU of the classes that occur."""
        return mean_known(self.iou)


@dataclass(frozen=True)
class Scores:
    """The confusions of models on folds, and what follows from them.

    Attributes:
        classes: names of the C classes.
        confusions: of each model, int64 `[folds, C, C]`, a row for each label.
    """

    classes: Sequence[str]
    confusions: Mapping[str, Counts]

    def rows(self) -> Iterator[Row]:
        """Yield the scores of each model: of each fold, then of all images, whose pixels are counted together."""
        for model, folds in self.confusions.items():
            for number, confusion in enumerate(folds, start=1):
                yield Row(model, str(number), class_iou(confusion))
            yield Row(model, ALL, class_iou(folds.sum(0)))

    def of_all(self) -> dict[str, Row]:
        """Return the scores of each model on all images."""
        return {row.model: row for row in self.rows() if row.fold == ALL}

    def csv(self) -> str:
        """Return the rows as CSV with values from 0 to 1, empty for classes that never occur."""
        rows: list[list[object]] = [['model', 'fold', 'mIoU', *self.classes]]
        for row in self.rows():
            cells = ('' if np.isnan(value) else f'{value:.6f}' for value in [row.miou, *row.iou])
            rows.append([row.model, row.fold, *cells])
        return csv_text(rows)

    def cells(self) -> list[list[str]]:
        """Return the rows of a table in percent: model, fold, mIoU, and the IoU of each class."""
        return [[row.model, row.fold, *map(percent, [row.miou, *row.iou])] for row in self.rows()]

    def table(self) -> str:
        """Return a table for the terminal: a line for each class and for mIoU, a column for each model.

        Each cell shows the value on all images; that of mIoU also its range over the folds.
        """
        best = self.of_all()
        ranges = {name: self._range(folds) for name, folds in self.confusions.items()}
        lines = [['', *best]]
        lines += [[name, *(percent(row.iou[at]) for row in best.values())] for at, name in enumerate(self.classes)]
        lines += [['mIoU', *(percent(row.miou) for row in best.values())], ['folds', *ranges.values()]]
        return '\n'.join(tabulated(lines, right=range(1, len(best) + 1), indent='  '))

    def _range(self, folds: Counts) -> str:
        """Return the lowest and the highest mIoU of the folds."""
        values = [mean_known(class_iou(confusion)) for confusion in folds]
        return f'{percent(min(values))} to {percent(max(values))}'


def percent(share: float) -> str:
    """Return a share in percent with two digits, a dash for NaN."""
    return '-' if np.isnan(share) else f'{100 * share:.2f}'
