"""The sources of train, val and test, and the samples that a stage gets from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglight.data.checks import masks_without_image
from seglight.data.sources import Context, Sample, Samples, Source, Use, find_samples
from seglight.data.splits import Split, pixels_of, read_lists, split_samples
from seglight.errors import DataError


@dataclass(frozen=True)
class SplitSources:
    """The sources of each split, and how to split train.

    Attributes:
        sources: with their uses, for `train`, `val` and `test`.
        split: how to split train into train and val; None if val has its own sources.
        full: whether to train on train and val.
        seed: of the split.
    """

    sources: Mapping[str, Sequence[tuple[Source, Use]]]
    split: Split | None = None
    full: bool = False
    seed: int = 42

    def samples(self, stage: str, context: Context, faults: list[str] | None = None) -> dict[str, Samples]:
        """Return the samples of each split that a stage needs; with `full`, fit has no val.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.
            context: the classes, colours and root of the data.
            faults: receives the messages about unusable sources, whose samples are then missing.

        Raises:
            DataError: if a source is unusable, unless `faults` is given.
        """
        if stage == 'predict':
            return {'test': find_samples(self.sources['test'], context, masks=False)}
        found = {name: self._found(name, context, faults) for name in self._names(stage)}
        if self.split is not None and found['train']:
            try:
                found = self._split(found['train'], self.split, context)
            except DataError as error:
                if faults is None:
                    raise
                faults.append(str(error))
        if stage != 'fit':
            return {'val': found['val']}
        if self.full:
            return {'train': Samples.joined(found.values())}
        return found

    def apart(self, name: str, context: Context) -> list[tuple[Use, Samples]]:
        """Return the samples of each source of `train`, `val` or `test`, before any split; no val if train is split.

        Raises:
            DataError: if a source is unusable.
        """
        if name == 'val' and self.split is not None:
            return []
        return [(each[1], find_samples([each], context, masks=name != 'test')) for each in self.sources[name]]

    def _names(self, stage: str) -> Sequence[str]:
        """Return the keys of the sources to read for a stage that needs masks."""
        if self.split is not None:
            return ('train',)
        return ('train', 'val') if stage == 'fit' else ('val',)

    def _found(self, name: str, context: Context, faults: list[str] | None) -> Samples:
        """Return the samples of the sources of train or val."""
        if faults is None:
            return find_samples(self.sources[name], context, masks=True)
        messages: list[str] = []
        samples = find_samples(self.sources[name], context, masks=True, faults=messages)
        faults += [f'{name}: {message}' for message in messages]
        return samples

    def _split(self, samples: Samples, split: Split, context: Context) -> dict[str, Samples]:
        """Split the samples of train into train and val."""
        if split.folder is not None:
            train, val = read_lists(Path(split.folder), samples, context.root)
        else:
            presence = pixels_of(samples, len(context.classes)) > 0
            train, val = split_samples(samples, split, presence, self.seed, context.root)
        return {'train': train, 'val': val}

    def unused_masks(self, samples: Mapping[str, Sequence[Sample]], context: Context) -> list[Path]:
        """Return the masks of train and val that belong to no image; none if lists select the images.

        Args:
            samples: of each split, before any was left out.
            context: the classes, colours and root of the data.
        """
        if self.split is not None and self.split.folder is not None:
            return []
        sources = [*self.sources['train'], *(self.sources['val'] if self.split is None else ())]
        folders = [source.mask_folder(context) for source, _ in sources]
        all_samples = Samples.joined(map(Samples.of, samples.values()))
        return masks_without_image([folder for folder in folders if folder is not None], all_samples)
