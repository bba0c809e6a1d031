"""Assign the images of a competition to folds, and write the lists that all models share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seglight.competition.out_of_fold.plan import PLAN, Plan, data_arguments
from seglight.data import SegmentationDataModule
from seglight.data.archives.index import address_of
from seglight.data.dataset import warn_of_left_out
from seglight.data.demo import demo_folder
from seglight.data.sources import Sample
from seglight.data.sources.images import named_images
from seglight.data.splits import LISTS, Split, groups_of, list_texts, pixels_of, validation_mask
from seglight.errors import DataError, UsageError, collected_warnings, one_line
from seglight.files import as_bytes, write_atomically

#: The list with the paths of the images to predict in the folder of a fold; beside `train.txt` and `val.txt`.
IMAGES = 'images.txt'


def fold_folder(folder: Path, fold: int) -> Path:
    """Return the folder with the lists of a fold, counted from 1."""
    return folder / 'split' / f'fold{fold}'


def are_written(folder: Path, folds: int) -> bool:
    """Return whether an earlier command has written the lists of all folds."""
    return (fold_folder(folder, folds) / IMAGES).is_file()


def write_lists(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the lists of all folds, in order, so that the last one shows that all are complete."""
    for path, text in texts.items():
        write_atomically(folder / 'split' / path, as_bytes(text))


def copy_lists(source: Path, target: Path, folds: int) -> None:
    """Copy the lists of all folds to another folder."""
    for fold in range(1, folds + 1):
        for name in (*LISTS.values(), IMAGES):
            data = (fold_folder(source, fold) / name).read_bytes()
            write_atomically(fold_folder(target, fold) / name, data)


def fold_lists(plan: Plan) -> dict[str, str]:
    """Return the texts of the lists of all folds by path, the last of which is `IMAGES` of the last fold.

    Raises:
        UserError: if the images cannot be used, differ between the models, are too few for the folds, or have the same
            name in a fold.
    """
    samples, root = _common_samples(plan)
    splittable = _splittable(samples)
    presence = pixels_of(splittable, len(plan.classes)) > 0
    _check_classes(plan, splittable, presence, root)
    texts: dict[str, str] = {}
    for fold in range(1, plan.folds + 1):
        chosen = validation_mask(splittable, _split(plan, fold), presence, plan.data['seed'], root)
        val = [sample for sample, is_chosen in zip(splittable, chosen, strict=True) if is_chosen]
        if not val:  # few groups of unequal classes can leave one out
            raise UsageError(f'--folds must be smaller, got {plan.folds}: fold {fold} would have no images')
        named_images([sample.image for sample in val], 'data.train')  # as the prediction will name them
        held = {sample.image.absolute() for sample in val}
        train = [sample for sample in samples if sample.image.absolute() not in held]
        images = ''.join(f'{sample.image.absolute()}\n' for sample in val)
        for name, text in {**list_texts(train, val, root), IMAGES: images}.items():
            texts[f'fold{fold}/{name}'] = text
    return texts


def splittable_samples(plan: Plan) -> list[Sample]:
    """Return the usable samples of the first model that are validated on, sorted by path, each image once.

    Raises:
        DataError: for an image that cannot be validated on; see `_splittable`.
    """
    return _splittable(_samples(plan, next(iter(plan.models))).samples)


def _splittable(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that are validated on; of several with the same image, the first.

    Raises:
        DataError: names an image that another source keeps in train, or that is in an archive at an address.
    """
    found: dict[Path, Sample] = {}
    for sample in samples:
        if not sample.only_train:
            found.setdefault(sample.image.absolute(), sample)
    kept = next((sample for sample in samples if sample.only_train and sample.image.absolute() in found), None)
    if kept is not None:
        text = f'{kept.image} is in two sources of data.train, one of which has only_train: true; take it out of one'
        raise DataError(text)
    if address := next(filter(None, (address_of(sample.image) for sample in found.values())), None):
        raise DataError(f'{address} cannot be split into folds, which predict its images: copy it to this machine')
    return list(found.values())


def _split(plan: Plan, fold: int) -> Split:
    return Split(fold=f'{fold} of {plan.folds}', group=plan.group)


class _Found(NamedTuple):
    """The usable samples of `data.train` of a model, sorted by path; the root of its data; and why others are left out.

    The lists of the folds do not name those that are left out, so that no run reports them.
    """

    samples: list[Sample]
    root: Path
    left_out: list[str]


def _samples(plan: Plan, name: str) -> _Found:
    """Return the samples of a model."""
    arguments = data_arguments(plan.models[name])
    module = data_module(plan, name, split={'fold': f'1 of {plan.folds}'})
    module.prepare_data()
    with collected_warnings():  # each run prints its own
        module.setup('fit')
    samples = [sample for dataset in module.datasets.values() for sample in dataset.samples]
    root = arguments.get('root')
    folder = demo_folder() if root is None else Path(root)
    return _Found(sorted(samples, key=lambda sample: sample.image), folder, module.left_out)


def data_module(plan: Plan, name: str, **changes: Any) -> SegmentationDataModule:
    """Return the data module of a model.

    Args:
        plan: the plan.
        name: of the model.
        changes: arguments to replace.

    Raises:
        UsageError: if the plan has an argument that it does not know.
    """
    try:
        return SegmentationDataModule(**{**data_arguments(plan.models[name]), **changes})
    except TypeError as error:
        raise UsageError(f'cannot load the data of {name} in {PLAN}: {one_line(error)}') from error


def _common_samples(plan: Plan) -> tuple[list[Sample], Path]:
    """Return the samples of the first model; those of the others must be the same images, apart from `only_train`.

    Warns of each sample that is left out.

    Raises:
        UsageError: names two models and an image.
    """
    first, *others = plan.models
    samples, root, left_out = _samples(plan, first)
    warn_of_left_out(left_out)
    for other in others:
        found = _samples(plan, other)
        warn_of_left_out(line for line in found.left_out if line not in left_out)
        if different := _listed(samples, root) ^ _listed(found.samples, found.root):
            raise UsageError(
                f"data.train of {first} and {other} must have the same images: only one has '{min(different)}'"
            )
    return samples, root


def _listed(samples: Sequence[Sample], root: Path) -> set[str]:
    """Return the paths of the images to validate on, as written in lists."""
    return set(next(iter(list_texts(_splittable(samples), [], root).values())).splitlines())


def _check_classes(plan: Plan, samples: Sequence[Sample], presence: npt.NDArray[np.bool_], root: Path) -> None:
    """Reject more folds than images, or groups of images, of a class.

    Raises:
        UsageError: names the rarest class.
    """
    what = 'image' if plan.group is None else 'group'
    rarest = min(_counts(plan, samples, presence, root), default=None)
    if rarest is None or rarest[0] >= plan.folds:
        return
    count, name = rarest
    cure = f'use --folds {count}' if count > 1 else 'add images of it, or leave it out of data.classes'
    raise UsageError(
        f"--folds must be at most the number of {what}s of each class, got {plan.folds}: '{name}' is in {count}; {cure}"
    )


def _counts(
    plan: Plan, samples: Sequence[Sample], presence: npt.NDArray[np.bool_], root: Path
) -> Iterator[tuple[int, str]]:
    """Yield the number of images or groups, and the name, of each class that occurs."""
    groups = np.array(groups_of(samples, _split(plan, 1), root))
    for name, shown in zip(plan.classes, presence.T, strict=True):
        if count := len(np.unique(groups[shown]) if plan.group else groups[shown]):
            yield count, name
