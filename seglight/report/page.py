"""The HTML pages: one reports a run, one compares runs."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from seglight.array_types import Floats
from seglight.data.value_range import parse_range
from seglight.errors import warn
from seglight.files import write_atomically
from seglight.report import alternatives, plots
from seglight.report.alternatives import Alternative
from seglight.report.evaluation import Evaluation, Example, mean_known
from seglight.report.findings import find
from seglight.report.opening import ANCHORS, failing_classes, hardest_images, verdict, wrong_share
from seglight.report.pictures import example_picture
from seglight.report.run import Curve, Run, differences, previous_best, read_run
from seglight.report.wording import percent

#: Maximum length of the names of runs in a file name.
MAX_BYTES = 200

#: The values of the template; a page omits those that stay empty.
EMPTY: dict[str, Any] = {
    'subtitle': '',
    'verdict': '',
    'failing': None,
    'hardest': [],
    'findings': None,
    'figures': [],
    'notes': [],
    'sections': [],
    'examples': [],
    'classes': [],
    'tables': [],
    'texts': [],
    'confusion_width': 0,
}


class Plot(NamedTuple):
    """An image of the page.

    Attributes:
        title: its heading.
        source: its data URL.
        alternative: what it shows, in words and as a table, which may have no rows.
        text: a line below the title.
        wide: whether it may scroll sideways.
        anchor: the target of links to it.
    """

    title: str
    source: str
    alternative: Alternative
    text: str = ''
    wide: bool = False
    anchor: str = ''


def write_report(folder: Path, evaluation: str = 'fit', images: Sequence[Path] | None = None) -> Path:
    """Write the report of a run to its folder and return the path.

    Args:
        folder: the run's folder.
        evaluation: the file to show from the folder `evaluation`; `fit` is the best validation in training.
        images: the folders whose images may be shown, since an untrusted run could name any file; None for all.

    Raises:
        UserError: if a file of the run is damaged.
    """
    path = folder / ('report.html' if evaluation == 'fit' else f'report_{evaluation}.html')
    run = read_run(folder, evaluation)
    if hidden := outside(run, images):
        warn(f'{hidden} images of {folder} are outside the working folder and not shown; --images FOLDER allows others')
    return write_values(path, report_values(run, images))


def write_comparison(folders: Sequence[Path]) -> Path:
    """Write a page that compares runs to the folder of the last one and return the path.

    Raises:
        UserError: if a file of a run is damaged.
    """
    runs = [read_run(folder) for folder in folders]
    name = '_'.join(run.name for run in runs)
    if len(os.fsencode(name)) > MAX_BYTES:
        name = f'{len(runs)}_runs_{hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()}'
    return write_values(folders[-1] / f'compare_{name}.html', comparison_values(runs))


def report_values(run: Run, images: Sequence[Path] | None = None) -> dict[str, Any]:
    """Return the template's values for the report of a run."""
    values = {
        **EMPTY,
        'title': f'Report of {run.name}',
        'heading': run.name,
        'subtitle': str(run.environment.get('command', '')),
        'sections': [('Training', _training_plots(run.curves))],
        'texts': [
            ('Config', yaml.safe_dump(run.config, sort_keys=False) if run.config else ''),
            ('Environment', yaml.safe_dump(run.environment, sort_keys=False) if run.environment else ''),
        ],
    }
    if run.evaluation is None:
        values['notes'] = ['This run was not validated, so there are no metrics, classes and images.']
        return values
    found = run.evaluation
    earlier = previous_best(run)
    values['figures'] = _figures(found)
    values['verdict'] = verdict(found, earlier)
    values['failing'] = failing_classes(found)
    values['findings'] = find(run, found)
    values['notes'] = [f'Metrics, classes and images are from {run.title}.']
    values['sections'].append(('Classes', _class_plots(run, found, earlier)))
    values['classes'] = list(zip(found.classes, found.palette, strict=True))
    values['examples'] = []
    for title, examples in (('best', found.best), ('worst', found.worst)):
        numbered = list(enumerate(examples, start=1))
        shown = [each for each in numbered if images is None or _is_below(Path(each[1].path), images)]
        values['examples'].append((f'The {len(examples)} {title}', _pictures(shown, title, run, found)))
    anchors = {picture.anchor for _, pictures in values['examples'] for picture in pictures}
    values['hardest'] = hardest_images(found, anchors)
    values['confusion_width'] = 17 * len(found.classes)
    if not any(pictures for _, pictures in values['examples']):
        values['examples'] = []
        if not outside(run, images):
            values['notes'].append('The image files no longer exist, so no images are shown.')
    if hidden := outside(run, images):
        values['notes'].append(f'{hidden} images are outside the allowed folders (--images) and not shown.')
    return values


def outside(run: Run, images: Sequence[Path] | None) -> int:
    """Return the number of images of a run outside the folders whose images may be shown."""
    examples = [*run.evaluation.best, *run.evaluation.worst] if run.evaluation and images is not None else []
    return sum(not _is_below(Path(example.path), images or ()) for example in examples)


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    """Return whether a file, after resolving links, is in one of the folders."""
    try:
        return any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)
    except (OSError, ValueError, RuntimeError):  # NUL in a name, a cycle of links
        return False


def comparison_values(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the template's values for a comparison of runs."""
    evaluated = [(_label(run, runs), run.evaluation) for run in runs if run.evaluation]
    curves = {
        'Validation mIoU': ('val/mIoU', 'mIoU, %', True),
        'Training loss': ('train/loss', 'loss', False),
    }
    shared_plots = []
    for title, (name, axis, in_percent) in curves.items():
        found = {_label(run, runs): run.curves[name] for run in runs if name in run.curves}
        if found:
            alternative = alternatives.of_curves(found, axis, in_percent)
            shared_plots.append(Plot(title, plots.curves_plot(found, axis, in_percent), alternative))
    rates = {f'{_label(run, runs)} {name}': curve for run in runs for name, curve in run.curves.items() if _is_lr(name)}
    if rates:
        picture = plots.curves_plot(rates, 'learning rate')
        shared_plots.append(Plot('Learning rate', picture, alternatives.of_curves(rates, 'learning rate')))
    names = [_label(run, runs) for run in runs]
    rows = [[label, *(value for _, value in _figures(found))] for label, found in evaluated]
    return {
        **EMPTY,
        'title': ' and '.join(names),
        'heading': ' and '.join(names),
        'subtitle': 'The classes show the best validation of each run.',
        'verdict': _ranking(evaluated),
        'notes': [f'{_label(run, runs)} has no validation to compare.' for run in runs if run.evaluation is None],
        'sections': [('Curves', shared_plots), ('Classes', _difference_plots(evaluated))],
        'tables': [
            ('Metrics', ['run', *(name for name, _ in _figures(evaluated[0][1]))] if evaluated else [], rows),
            (
                'Config differences',
                ['key', *names],
                [[key, *values] for key, values in differences(list(runs))],
            ),
            (
                'Commands',
                ['run', 'command'],
                [[_label(run, runs), run.environment.get('command', '-')] for run in runs],
            ),
        ],
    }


def _ranking(evaluated: Sequence[tuple[str, Evaluation]]) -> str:
    """Return which run has the highest mIoU, and its lead over the next; empty with fewer than two."""
    known = [(found.miou, name) for name, found in evaluated if found.miou == found.miou]  # not NaN
    if len(known) < 2:
        return ''
    (best, name), (second, other) = sorted(known, reverse=True)[:2]
    return f'{name} has the highest mIoU, {percent(best)}; {100 * (best - second):.2f} points above {other}.'


def _training_plots(curves: dict[str, Curve]) -> list[Plot]:
    """Return the curves of losses, validation metrics and learning rates."""
    losses = {name.removeprefix('train/'): curve for name, curve in curves.items() if re.search('^train/.*loss', name)}
    losses |= {'validation': curves['val/loss']} if 'val/loss' in curves else {}
    figures = {name: curves[f'val/{name}'] for name in ('mIoU', 'mAcc', 'aAcc') if f'val/{name}' in curves}
    rates = {name: curve for name, curve in curves.items() if _is_lr(name)}
    groups = [('Loss', losses, 'loss', False), ('Validation', figures, '%', True), ('Schedule', rates, 'lr', False)]
    return [
        Plot(name, plots.curves_plot(group, label, percents), alternatives.of_curves(group, label, percents))
        for name, group, label, percents in groups
        if group
    ]


def _is_lr(name: str) -> bool:
    """Return whether a logged value is a learning rate, by the name that Lightning's monitor gives it."""
    return name.startswith('lr-')


def _class_plots(run: Run, found: Evaluation, earlier: Run | None) -> list[Plot]:
    """Return the plots per class, and the calibration."""
    columns = {run.name: found.iou}
    text = 'No earlier run next to this one has the same classes.'
    if earlier and earlier.evaluation:
        columns[earlier.name] = earlier.evaluation.iou
        text = f'Compared with the best earlier run, {earlier.name}, with mIoU {percent(earlier.evaluation.miou)}.'
    error = (
        f'Expected calibration error {percent(found.calibration_error)}, from every fourth pixel in both directions.'
    )
    shares = '% of the pixels labelled as each class.'
    first_epoch = 'Training: the first epoch, after augmentation.'
    return [
        iou_of_classes('IoU', found.classes, columns, text),
        Plot('Confusion', plots.confusion_plot(found), alternatives.of_confusion(found), shares, wide=True),
        Plot('Frequency', plots.frequency_plot(found), alternatives.of_frequency(found), first_epoch),
        Plot('Calibration', plots.calibration_plot(found), alternatives.of_calibration(found), error),
    ]


def iou_of_classes(title: str, classes: Sequence[str], columns: dict[str, Floats], text: str = '') -> Plot:
    """Return the bars of the IoU of each class, float64 `[C]` for each entry of `columns`."""
    return Plot(title, plots.iou_plot(classes, columns), alternatives.of_classes(classes, columns), text)


def difference_of_classes(title: str, classes: Sequence[str], difference: Floats) -> Plot:
    """Return the bars of a difference in IoU, float64 `[C]`."""
    picture = plots.difference_plot(classes, difference, 'difference in IoU, percentage points')
    return Plot(title, picture, alternatives.of_difference(classes, difference))


def _difference_plots(evaluated: Sequence[tuple[str, Evaluation]]) -> list[Plot]:
    """Return the IoU per class of the runs with the first run's classes, and each run's difference from the first."""
    if len(evaluated) < 2:
        return []
    first_name, first = evaluated[0]
    comparable = [(name, found) for name, found in evaluated if found.classes == first.classes]
    if len(comparable) < 2:
        return []
    differences_to_first = [
        difference_of_classes(f'{name} compared with {first_name}', first.classes, found.iou - first.iou)
        for name, found in comparable[1:]
    ]
    return [
        iou_of_classes('IoU', first.classes, {name: found.iou for name, found in comparable}),
        *differences_to_first,
    ]


def _figures(found: Evaluation) -> list[tuple[str, str]]:
    """Return the metrics that summarise an evaluation."""
    accuracy = found.confusion.diagonal().sum() / max(1, found.confusion.sum())
    return [
        ('mIoU', percent(found.miou)),
        ('mAcc', percent(mean_known(found.accuracy))),
        ('aAcc', percent(float(accuracy))),
        ('calibration error', percent(found.calibration_error)),
        ('images', str(len(found.names))),
    ]


def _pictures(examples: Iterable[tuple[int, Example]], group: str, run: Run, found: Evaluation) -> list[Plot]:
    """Return the pictures of the numbered examples whose images still exist."""
    value_range = parse_range((run.config.get('data') or {}).get('image_range'))
    drawn = ((number, example, example_picture(example, found, value_range)) for number, example in examples)
    return [
        Plot(
            f'{example.name}   mIoU {percent(example.iou)}',
            source,
            Alternative(f'{percent(wrong_share(example, found))} of the labelled pixels are predicted wrongly', [], []),
            anchor=ANCHORS.format(group=group, number=number),
        )
        for number, example, source in drawn
        if source
    ]


def _label(run: Run, runs: Sequence[Run]) -> str:
    """Return a run's name, or its folder if another run has the same name."""
    return run.name if sum(other.name == run.name for other in runs) == 1 else str(run.folder)


def write_values(path: Path, values: dict[str, Any]) -> Path:
    """Fill the template and write the page."""
    environment = Environment(
        loader=PackageLoader('seglight.report', '.'), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    write_atomically(path, environment.get_template('page.html').render(values).encode())
    return path
