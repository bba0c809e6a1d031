"""What to try next, by rules over the measurements of a run; each finding states the figures that it is based on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seglight.array_types import Floats
from seglight.report.evaluation import Counts, Evaluation
from seglight.report.run import Curve, Run, flat
from seglight.report.wording import enumerated, percent, small

RARE = 0.01  #: share of the training pixels below which a class is rare
CONFUSED = 0.1  #: share of a class's pixels predicted as one other class that is worth a line
PAIRS = 3  #: maximum number of confused pairs
EXCESS = 2  #: a class predicted on so many times its labelled pixels is predicted too often
SHIFT = 3  #: ratio of a class's shares in training and validation that is worth a line
SHIFTED_SHARE = 0.005  #: a class with smaller shares in both is rare, and its ratio is chance
RISE = 1.05  #: the validation loss at the end, relative to its minimum, that shows overfitting
FALL = 0.02  #: decrease of the mIoU since its maximum that shows it, too
GROWTH = 0.01  #: increase of the mIoU over the last third of the run, from which more training may help
VALIDATIONS = 4  #: minimum number of validations for a trend
IMAGES = 4  #: minimum number of images, of which the worst can be exceptions
OVERCONFIDENT = 0.05  #: mean confidence above the accuracy that is worth a line

#: What favours rare classes, by the config key that sets it.
_BALANCING = {
    'class_weight': 'higher weights in the loss (class_weight: balanced in loss_decode)',
    'class_balance': 'more frequent images of rare classes (for example data.class_balance: 0.1)',
}


class Finding(NamedTuple):
    """A measured fact with its figures, and what to try."""

    fact: str
    advice: str


def find(run: Run, found: Evaluation) -> list[Finding]:
    """Return what the measurements of a run suggest, data first, since no training makes up for wrong data.

    Args:
        run: its curves and its config.
        found: its evaluation.
    """
    return [
        *_never_learned(found),
        *_not_measured(found),
        *_exceptional_images(found),
        *_never_predicted(found),
        *_rare(run, found),
        *_confused(found),
        *_predicted_too_often(found),
        *_shifted(run, found),
        *_overfitting(run.curves),
        *_unfinished(run.curves),
        *_overconfident(found),
    ]


def shares(pixels: Counts) -> Floats:
    """Return the share of each class, float64 `[C]`; all 0 if nothing was counted."""
    return np.asarray(pixels / max(1, pixels.sum()), dtype=np.float64)


def _named(found: Evaluation, selected: npt.NDArray[np.bool_]) -> list[int]:
    """Return the indices of the selected classes, bool `[C]`, the lowest IoU first."""
    return sorted(np.flatnonzero(selected).tolist(), key=lambda index: float(found.iou[index]))


def _never_learned(found: Evaluation) -> Iterator[Finding]:
    unseen = (found.train_pixels == 0) & (found.confusion.sum(1) > 0)
    if found.train_pixels.any() and unseen.any():
        names = enumerated(found.classes[index] for index in np.flatnonzero(unseen))
        yield Finding(
            f'{names}: 0 pixels in the first epoch of training, but some in validation.',
            'A model cannot learn a class that it never sees: check its name and its label, or split the data again.',
        )


def _not_measured(found: Evaluation) -> Iterator[Finding]:
    unseen = found.confusion.sum(1) == 0
    if unseen.any() and not unseen.all():
        names = enumerated(found.classes[index] for index in np.flatnonzero(unseen))
        yield Finding(
            f'{names}: 0 labelled pixels in validation, so nothing is known about these classes.',
            'Move images that show them to the validation data, or split the data again.',
        )


def _exceptional_images(found: Evaluation) -> Iterator[Finding]:
    known = found.image_iou[~np.isnan(found.image_iou)]
    if len(known) < IMAGES:
        return
    median = float(np.median(known))
    low = int((known < median / 2).sum())
    if low:
        worst = enumerated(f'{example.name} ({percent(example.iou)})' for example in found.worst[:PAIRS])
        verb = 'has' if low == 1 else 'have'
        yield Finding(
            f'{low} of {len(known)} images {verb} less than half of the median mIoU, {percent(median)}; '
            f'the worst: {worst}.',
            'Look at their labels first. Where the prediction looks right and the errors are large areas, '
            'the mask is wrong: correct it. Otherwise add images like these to the training data.',
        )


def _never_predicted(found: Evaluation) -> Iterator[Finding]:
    labelled, trained = found.confusion.sum(1), shares(found.train_pixels)
    missed = _named(found, (labelled > 0) & (found.confusion.sum(0) == 0))
    if missed:
        names = enumerated(f'{found.classes[index]} ({small(trained[index])})' for index in missed)
        yield Finding(
            f'Never predicted, with the share of the training pixels: {names}.',
            'Check the labels of these classes; if they are right, give the classes higher weights, or train longer.',
        )


def _rare(run: Run, found: Evaluation) -> Iterator[Finding]:
    share = shares(found.train_pixels)
    rare = _named(found, (share > 0) & (share < RARE) & (found.iou < found.miou))
    if not rare:
        return
    names = enumerated(
        f'{found.classes[index]} ({small(share[index])} of the pixels, IoU {percent(found.iou[index])})'
        for index in rare
    )
    untried = [advice for key, advice in _BALANCING.items() if not _sets(run, key)]
    yield Finding(
        f'Rare in training, and below the mean IoU of {percent(found.miou)}: {names}.',
        f'Try {" or ".join(untried)}.' if untried else 'Weights and sampling already favour them: add images of them.',
    )


def _sets(run: Run, name: str) -> bool:
    """Return whether the config sets a key with this last name."""
    return any(key.split('.')[-1] == name and value not in ('null', '') for key, value in flat(run.config).items())


def _confused(found: Evaluation) -> Iterator[Finding]:
    confused = found.confused
    pairs = [divmod(int(place), len(found.classes)) for place in np.argsort(-confused, axis=None, kind='stable')]
    listed = [(label, other) for label, other in pairs[:PAIRS] if confused[label, other] >= CONFUSED]
    if listed:
        text = '; '.join(
            f'{found.classes[label]} as {found.classes[other]}, {percent(confused[label, other], 1)} of its pixels'
            for label, other in listed
        )
        yield Finding(
            f'Most often confused: {text}.',
            'Compare the labels of both classes in the worst images: annotate by one rule, or join classes that '
            'people confuse, too. If the labels are right, add images that show both.',
        )


def _predicted_too_often(found: Evaluation) -> Iterator[Finding]:
    labelled, predicted = found.confusion.sum(1), found.confusion.sum(0)
    excess = _named(found, (labelled > 0) & (predicted >= EXCESS * labelled) & (found.iou < found.miou))
    if excess:
        names = enumerated(
            f'{found.classes[index]} ({predicted[index] / labelled[index]:.1f} times its labelled pixels)'
            for index in excess
        )
        yield Finding(
            f'Predicted too often: {names}.',
            'Lower the weights of these classes in the loss, or add images without them.',
        )


def _shifted(run: Run, found: Evaluation) -> Iterator[Finding]:
    if _sets(run, 'class_balance'):  # the training images are sampled with other frequencies on purpose
        return
    train, val = shares(found.train_pixels), shares(found.confusion.sum(1))
    both = (train > 0) & (val > 0) & (np.maximum(train, val) >= SHIFTED_SHARE)
    shifted = _named(found, both & (np.maximum(train, val) >= SHIFT * np.minimum(train, val)))
    if shifted:
        names = enumerated(
            f'{found.classes[index]} ({small(train[index])} and {small(val[index])})' for index in shifted
        )
        yield Finding(
            f'Not as frequent in training as in validation: {names} of the pixels.',
            'Check that both come from the same kind of images; otherwise split the data again (data.split).',
        )


def _overfitting(curves: dict[str, Curve]) -> Iterator[Finding]:
    losses, training = curves.get('val/loss', []), curves.get('train/loss', [])
    advice = (
        'The model memorises the training images: try stronger augmentation (data.train_transforms), more weight '
        'decay, a smaller model, or fewer epochs. The best checkpoint is from before that.'
    )
    if len(losses) >= VALIDATIONS and len(training) >= 2:
        step, lowest = min(losses, key=lambda point: point[1])
        last = losses[-1][1]
        before = _mean([value for at, value in training if at <= step][-VALIDATIONS:])
        after = _mean([value for _, value in training][-VALIDATIONS:])
        if last >= RISE * lowest and after < before:
            yield Finding(
                f'Overfitting: after step {step} the validation loss rose from {lowest:.4g} to {last:.4g}, '
                f'while the training loss fell from {before:.4g} to {after:.4g}.',
                advice,
            )
            return
    means = curves.get('val/mIoU', [])
    if len(means) >= VALIDATIONS:
        step, best = max(means, key=lambda point: point[1])
        if means[-1][1] <= best - FALL:
            yield Finding(
                f'The mIoU fell from {percent(best)} at step {step} to {percent(means[-1][1])} at the end.', advice
            )


def _unfinished(curves: dict[str, Curve]) -> Iterator[Finding]:
    means = curves.get('val/mIoU', [])
    if len(means) < VALIDATIONS:
        return
    step, before = means[-1 - len(means) // 3]
    last = means[-1][1]
    if last == max(value for _, value in means) and last >= before + GROWTH:
        yield Finding(
            f'The mIoU still rose at the end: from {percent(before)} at step {step} to {percent(last)}.',
            'Train longer (--trainer.max_epochs).',
        )


def _overconfident(found: Evaluation) -> Iterator[Finding]:
    total = max(1, int(found.bin_counts.sum()))
    confidence, accuracy = found.bin_confidence.sum() / total, found.bin_hits.sum() / total
    if confidence - accuracy >= OVERCONFIDENT:
        yield Finding(
            f'Overconfident: the mean confidence is {percent(confidence)}, the accuracy {percent(accuracy)}.',
            'Choose thresholds of pseudo labels with care; label smoothing in the loss, or an ensemble, corrects it.',
        )


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float('inf')
