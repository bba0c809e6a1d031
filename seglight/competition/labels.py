"""Rank images and regions of a training on folds by how much out-of-fold predictions contradict their labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from seglight.competition.label_quality.page import write_page
from seglight.competition.label_quality.ranking import LabelQuality, Ranked, exchanged, worst_regions
from seglight.competition.label_quality.suspects import Region
from seglight.competition.out_of_fold.plan import Plan, open_folds
from seglight.competition.out_of_fold.predictions import OutOfFold, check_complete
from seglight.console import labelled, tabulated
from seglight.counting import counted
from seglight.errors import UsageError, say
from seglight.files import as_bytes, csv_text, write_atomically

#: Numbers of images and of exchanged classes that are printed.
SHOWN = 10


def rank_labels(name: str, images: int = 24, trust_checkpoint: bool = False) -> Path:
    """Rank the labels of a training on folds, print the worst, and write two tables and a page.

    Args:
        name: the folder of `seglight folds`, or its name in `work_dirs`; gets `labels.csv` with the images,
            `label_regions.csv` with the regions, and `labels.html` with pictures.
        images: number of pictures of images, and of regions, on the page.
        trust_checkpoint: whether the folder is your own; its plan may then name classes of any package.

    Returns:
        The page.

    Raises:
        UserError: if a run or its predictions are missing.
    """
    if images < 1:
        raise UsageError(f'--images must be at least 1, got {images}')
    folder, plan = open_folds(name, trust_checkpoint)
    check_complete(folder, plan)
    quality = LabelQuality(OutOfFold(folder, plan))
    ranked = list(quality.ranked())
    if not ranked:
        raise UsageError(f'{folder}: every pixel of all images is ignored, so there is nothing to rank')
    write_atomically(folder / 'labels.csv', as_bytes(_images_csv(ranked, plan)))
    write_atomically(folder / 'label_regions.csv', as_bytes(_regions_csv(ranked, plan)))
    for line in summary(ranked, plan):
        say(line)
    say(labelled('Images', folder / 'labels.csv'))
    say(labelled('Regions', folder / 'label_regions.csv'))
    return write_page(folder / 'labels.html', folder.name, quality, ranked, images)


def summary(ranked: Sequence[Ranked], plan: Plan) -> list[str]:
    """Return the lines for the terminal: the images with the lowest scores, and the classes that are exchanged."""
    rows = [['image', 'score', 'suspect', 'worst region']]
    for each in ranked[:SHOWN]:
        share = f'{100 * each.suspect / each.labelled:.1f} %'
        worst = f'{_exchange(each.regions[0], plan)} ({each.regions[0].pixels} pixels)' if each.regions else '-'
        rows.append([each.held.name, f'{each.score:.4f}', share, worst])
    lines = tabulated(rows, right=(1, 2), indent='  ')
    suspicious = sum(bool(each.regions) for each in ranked)
    lines.append(f'{counted(suspicious, "image")} of {len(ranked)} with suspect regions')
    for (given, predicted), pixels in exchanged(ranked)[:SHOWN]:
        lines.append(f'  {plan.classes[given]} is predicted as {plan.classes[predicted]}: {counted(pixels, "pixel")}')
    return lines


def _exchange(region: Region, plan: Plan) -> str:
    return f'{plan.classes[region.given]}, predicted {plan.classes[region.predicted]}'


def _images_csv(ranked: Iterable[Ranked], plan: Plan) -> str:
    """Return the table of the images."""
    rows = [['image', 'fold', 'score', 'suspect', 'label', 'prediction']]
    for each in ranked:
        worst = each.regions[0] if each.regions else None
        names = ['', ''] if worst is None else [plan.classes[worst.given], plan.classes[worst.predicted]]
        share = f'{each.suspect / each.labelled:.6f}'
        rows.append([str(each.held.image), str(each.held.fold), f'{each.score:.6f}', share, *names])
    return csv_text(rows)


def _regions_csv(ranked: Iterable[Ranked], plan: Plan) -> str:
    """Return the table of the regions."""
    rows = [
        [
            str(held.image), plan.classes[region.given], plan.classes[region.predicted], str(region.pixels),
            f'{region.weight / region.pixels:.4f}', *map(str, region.box),
        ]
        for held, region in worst_regions(ranked)
    ]  # fmt: skip
    head = ['image', 'label', 'prediction', 'pixels', 'margin', 'left', 'top', 'width', 'height']
    return csv_text([head, *rows])
