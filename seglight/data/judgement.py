"""What makes a training meaningless, judged by what masks and images show; `fit` and `data check` print the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seglight.data.facts import LabelCounts, SplitFacts
from seglight.data.sources import Context, Source, Use
from seglight.data.sources.base import Ignored
from seglight.data.sources.folders import FolderSource

NAMED = 5  #: classes that a line names at most

#: Shares of the pixels from which ignored ones may be of a class that no mask shows, or deserve a line of their own.
SUSPICIOUS, MUCH = 0.001, 0.05


Sources = Mapping[str, Sequence[tuple[Source, Use]]]


def judge(facts: Mapping[str, SplitFacts], sources: Sources, context: Context) -> list[str]:
    """Return a line for each thing that makes a training meaningless or its figures misleading, the worst first.

    Args:
        facts: what is known of train and val.
        sources: of each split in the config.
        context: the classes and the ignored label.
    """
    origins = _origins(sources, context)
    train, val = (
        _Split(name, facts.get(split, SplitFacts()), origins, context)
        for split, name in (('train', 'training'), ('val', 'val'))
    )
    return [
        *(line for split in (train, val) for line in explain_labels(split.facts, sources, context)),
        *_nothing_to_learn(train),
        *_absent(train, val),
        *_one_class_of_several(train),
        *_ignored_background(train),
        *(line for split in (train, val) for line in _plain(split)),
        *_absent_in_val(train, val),
    ]


@dataclass(frozen=True)
class _Origin:
    """A source, how it is used, and what it needs to know."""

    source: Source
    use: Use
    context: Context

    def why_ignored(self, name: str) -> Ignored | None:
        """Return why pixels are ignored that may be of a class."""
        return self.source.why_ignored(self.context, name)

    def set(self, setting: str) -> str:
        """Return how a user gives the source a setting."""
        if self.use.named and isinstance(self.source, FolderSource):
            folders = f'img_dir: {self.source.img_dir}, ann_dir: {self.source.ann_dir}'
            return f'set {self.use.key}: {{type: FolderSource, {folders}, {setting}}}'
        return f'set {setting} in {self.use.key}'

    def has_labels_from_one(self, labels: LabelCounts) -> bool:
        """Tell whether label 0, and nothing else that matters, is missing in files of labels."""
        plain = isinstance(self.source, FolderSource) and not self.source.reduce_zero_label
        return plain and not labels.pixels[0] and bool(labels.pixels[1 : len(self.context.classes)].any())


Origins = Mapping[str, _Origin]


def _origins(sources: Sources, context: Context) -> Origins:
    """Return the sources by their keys."""
    return {use.key: _Origin(source, use, context) for each in sources.values() for source, use in each}


@dataclass(frozen=True)
class _Split:
    """A split as lines speak of it."""

    name: str
    facts: SplitFacts
    origins: Origins
    context: Context

    @property
    def total(self) -> LabelCounts:
        """The labels of all its sources."""
        return self.facts.total()

    def shown(self, labels: LabelCounts) -> Any:
        """Return which classes have pixels, bool `[C]`."""
        return labels.pixels[: len(self.context.classes)] > 0

    def names(self, which: Any) -> list[str]:
        """Return the names of the classes that are marked, bool `[C]`."""
        return [name for name, marked in zip(self.context.classes, which, strict=True) if marked]

    def ignored(self, labels: LabelCounts) -> float:
        """Return the share of the ignored pixels."""
        return labels.share(self.context.ignore_index)

    def masks(self, start: str, plural: str) -> str:
        """Return the masks that a line speaks of: all of them, or only those that were read."""
        read = self.total.masks
        if read < self.facts.samples:
            return f'{plural} {read} {self.name} masks that were read (of {self.facts.samples})'
        return f'{start} {self.name} mask{"s" if start == "all" else ""}'


def explain_labels(facts: SplitFacts, sources: Sources, context: Context) -> list[str]:
    """Return what labels of no class mean that masks of a source have in common, and what to set."""
    count, origins = len(context.classes), _origins(sources, context)
    lines = []
    for key, labels in facts.labels.items():
        found = [int(label) for label in np.flatnonzero(labels.pixels)]
        unknown = [label for label in found if label >= count and label != context.ignore_index]
        common = unknown and 2 * max(labels.shown[label] for label in unknown) >= labels.masks
        if not unknown or key not in origins or not (common or (unknown == [count] and 0 not in found)):
            continue
        masks, origin = f'the masks of {key} have the labels {_numbers(found)}', origins[key]
        if unknown == [count] and 0 not in found:
            lines.append(f'{masks}, which count from 1 and not from 0; {origin.set("reduce_zero_label: true")}')
        elif unknown == [count]:
            lines.append(
                f'{masks}, one more than data.classes names; name the class of label 0 there (the background?), or, '
                f'if label 0 is no class, {origin.set("reduce_zero_label: true")}'
            )
        elif len(found) <= count:
            pairs = enumerate(zip(found, context.classes, strict=False))
            moved = ', '.join(f'{label}: {name}' for place, (label, name) in pairs if label != place)
            lines.append(f'{masks}; {origin.set(f"label_map: {{{moved}}}")}, if that is what they mean')
    return lines


def _nothing_to_learn(split: _Split) -> list[str]:
    """Return that every pixel is ignored, where it is."""
    if not split.total.masks or split.total.pixels.sum() > split.total.pixels[split.context.ignore_index]:
        return []
    hints = [
        f'{ignored.cause}, {split.origins[key].set(ignored.setting)}'
        for key in split.facts.labels
        if key in split.origins and (ignored := split.origins[key].why_ignored(split.context.classes[-1]))
    ]
    return ['; '.join([f'every pixel of {split.masks("all", "the")} is ignored, nothing can be learned', *hints])]


def _absent(train: _Split, val: _Split) -> list[str]:
    """Return the classes that no training mask shows, and what else their pixels may be."""
    names = train.names(~train.shown(train.total))
    if not train.total.masks or not names or not train.shown(train.total).any():
        return []
    hints = _hints(train, names[0])
    absent_too = names[0] in val.names(~val.shown(val.total))
    likewise = [key for key in val.facts.labels if key not in train.facts.labels]
    if hints and absent_too and likewise and _hints(val, names[0]):
        hints.append(f'{" and ".join(likewise)} likewise')
    return ['; '.join([f'{train.masks("no", "none of the")} shows {_list(names)}', *hints])]


def _hints(split: _Split, name: str) -> list[str]:
    """Return what pixels of a class that no mask shows may be, source by source."""
    found = [
        _hint(split, split.origins[key], labels, name)
        for key, labels in split.facts.labels.items()
        if key in split.origins
    ]
    return [hint for hint in found if hint]


def _hint(split: _Split, origin: _Origin, labels: LabelCounts, name: str) -> str:
    """Return what pixels of a class that no mask shows may be in a source; nothing if that is unknown."""
    share = split.ignored(labels)
    ignored = origin.why_ignored(name) if share > SUSPICIOUS else None
    if ignored is not None:
        return f"{share:.1%} of {origin.use.key} is ignored: {ignored.cause}; if that is '{name}', " + origin.set(
            ignored.setting
        )
    if name == split.context.classes[0] and origin.has_labels_from_one(labels):
        wanted = origin.set('reduce_zero_label: true')
        return f"the masks of {origin.use.key} have no label 0; if their label 1 is '{name}', {wanted}"
    return ''


def _one_class_of_several(split: _Split) -> list[str]:
    """Return the sources that show one class and ignored pixels where others show more: these may be a class too."""
    shown = split.shown(split.total)
    lines = []
    for key, labels in split.facts.labels.items():
        own, share = split.shown(labels), split.ignored(labels)
        if key not in split.origins or own.sum() != 1 or shown.sum() < 2 or share <= SUSPICIOUS:
            continue
        name = split.names(shown & ~own)[0]
        ignored = split.origins[key].why_ignored(name)
        if ignored is not None:
            lines.append(
                f'the masks of {key} show {_list(split.names(own))} alone, {share:.1%} of their pixels are ignored: '
                f"{ignored.cause}; if that is '{name}', {split.origins[key].set(ignored.setting)}"
            )
    return lines


def _ignored_background(split: _Split) -> list[str]:
    """Return the sources that ignore many pixels without having been asked to."""
    lines = []
    for key, labels in split.facts.labels.items():
        share = split.ignored(labels)
        ignored = split.origins[key].why_ignored(split.context.classes[0]) if key in split.origins else None
        if share > MUCH and ignored is not None and not ignored.chosen:
            wanted = split.origins[key].set(ignored.setting)
            lines.append(f'{share:.1%} of {key} is ignored: {ignored.cause}; {wanted}, or null if it is not to count')
    return lines


def _plain(split: _Split) -> list[str]:
    """Return how many images have one colour."""
    plain, images = split.facts.plain, split.facts.images
    if not plain:
        return []
    count = f'all {images}' if len(plain) == images else f'{len(plain)} of {images}'
    return [f'{count} {split.name} images that were read have one colour each, such as {plain[0]}']


def _absent_in_val(train: _Split, val: _Split) -> list[str]:
    """Return the classes that training masks show and no mask of val does."""
    names = val.names(train.shown(train.total) & ~val.shown(val.total))
    if not val.total.masks or not names:
        return []
    line = f'{val.masks("no", "none of the")} shows {_list(names)}, so the mIoU of val does not measure it'
    return ['; '.join([line, *_hints(val, names[0])])]


def _list(names: Sequence[str]) -> str:
    """Return some names in quotes, with the number of the others."""
    words = [f"'{name}'" for name in names[:NAMED]]
    words += [f'{len(names) - NAMED} more'] if len(names) > NAMED else []
    return ' and '.join([', '.join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _numbers(labels: Sequence[int]) -> str:
    """Return labels; a row of them as its ends, and of many the first."""
    if len(labels) > 2 and list(labels) == list(range(labels[0], labels[-1] + 1)):
        return f'{labels[0]} to {labels[-1]}'
    return ', '.join(map(str, labels[:8])) + (f' and {len(labels) - 8} more' if len(labels) > 8 else '')
