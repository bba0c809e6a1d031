"""Likely mistakes in the data, judged by the statistics of masks and images; printed by `fit` and `data check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seglight.data.facts import LabelCounts, SplitFacts
from seglight.data.sources import Context, Source, Use
from seglight.data.sources.base import Ignored
from seglight.data.sources.folders import FolderSource

NAMED = 5  #: maximum number of classes that a message names

#: Shares of ignored pixels above which they may belong to an absent class, and above which they are always reported.
SUSPICIOUS, LARGE = 0.001, 0.05

Sources = Mapping[str, Sequence[tuple[Source, Use]]]


def judge(facts: Mapping[str, SplitFacts], sources: Sources, context: Context) -> list[str]:
    """Return messages about data that make training useless or its metrics misleading, the worst first.

    Args:
        facts: statistics of train and val.
        sources: the sources of each split.
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
    """A source, how it is used, and its context."""

    source: Source
    use: Use
    context: Context

    def why_ignored(self, name: str) -> Ignored | None:
        """Return why pixels are ignored that may belong to the class `name`."""
        return self.source.why_ignored(self.context, name)

    def set(self, setting: str) -> str:
        """Return the advice to set something in this source."""
        if self.use.named and isinstance(self.source, FolderSource):
            folders = f'img_dir: {self.source.img_dir}, ann_dir: {self.source.ann_dir}'
            return f'set {self.use.key}: {{type: FolderSource, {folders}, {setting}}}'
        return f'set {setting} in {self.use.key}'

    def has_labels_from_one(self, labels: LabelCounts) -> bool:
        """Return whether label 0 is missing in masks that are read without `reduce_zero_label`, but others are not."""
        unshifted = isinstance(self.source, FolderSource) and not self.source.reduce_zero_label
        return unshifted and not labels.pixels[0] and bool(labels.pixels[1 : len(self.context.classes)].any())


Origins = Mapping[str, _Origin]


def _origins(sources: Sources, context: Context) -> Origins:
    """Return the sources by their config keys."""
    return {use.key: _Origin(source, use, context) for each in sources.values() for source, use in each}


@dataclass(frozen=True)
class _Split:
    """A split, with the wording for messages about it."""

    name: str
    facts: SplitFacts
    origins: Origins
    context: Context

    @property
    def total(self) -> LabelCounts:
        """The label counts of all its sources."""
        return self.facts.total()

    def shown(self, labels: LabelCounts) -> Any:
        """Return the classes that have pixels, bool `[C]`."""
        return labels.pixels[: len(self.context.classes)] > 0

    def names(self, selected: Any) -> list[str]:
        """Return the names of the selected classes, bool `[C]`."""
        return [name for name, is_selected in zip(self.context.classes, selected, strict=True) if is_selected]

    def ignored(self, labels: LabelCounts) -> float:
        """Return the share of the ignored pixels."""
        return labels.share(self.context.ignore_index)

    def masks(self, start: str, plural: str) -> str:
        """Return the subject of a message: all masks, or the number of masks read."""
        read = self.total.masks
        if read < self.facts.samples:
            return f'{plural} {read} {self.name} masks that were read (of {self.facts.samples})'
        return f'{start} {self.name} mask{"s" if start == "all" else ""}'


def explain_labels(facts: SplitFacts, sources: Sources, context: Context) -> list[str]:
    """Return what labels outside the classes mean, if many masks of a source have them, and what to set."""
    count, origins = len(context.classes), _origins(sources, context)
    lines = []
    for key, labels in facts.labels.items():
        found = [int(label) for label in np.flatnonzero(labels.pixels)]
        unknown = [label for label in found if label >= count and label != context.ignore_index]
        common = unknown and 2 * max(labels.shown[label] for label in unknown) >= labels.masks
        if not unknown or key not in origins or not (common or (unknown == [count] and 0 not in found)):
            continue
        subject, origin = f'the masks of {key} have the labels {_numbers(found)}', origins[key]
        if unknown == [count] and 0 not in found:
            lines.append(f'{subject}, which start at 1, not at 0; {origin.set("reduce_zero_label: true")}')
        elif unknown == [count]:
            lines.append(
                f'{subject}, one more than data.classes names; add the class of label 0 (the background?), or, if '
                f'label 0 is not a class, {origin.set("reduce_zero_label: true")}'
            )
        elif len(found) <= count:
            pairs = enumerate(zip(found, context.classes, strict=False))
            moved = ', '.join(f'{label}: {name}' for place, (label, name) in pairs if label != place)
            lines.append(f'{subject}; {origin.set(f"label_map: {{{moved}}}")}, if that is what they mean')
    return lines


def _nothing_to_learn(split: _Split) -> list[str]:
    """Report that every pixel is ignored."""
    if not split.total.masks or split.total.pixels.sum() > split.total.pixels[split.context.ignore_index]:
        return []
    hints = [
        f'{ignored.cause}, {split.origins[key].set(ignored.setting)}'
        for key in split.facts.labels
        if key in split.origins and (ignored := split.origins[key].why_ignored(split.context.classes[-1]))
    ]
    return ['; '.join([f'every pixel of {split.masks("all", "the")} is ignored, nothing can be learned', *hints])]


def _absent(train: _Split, val: _Split) -> list[str]:
    """Report the classes that no training mask shows, and where their pixels may be."""
    names = train.names(~train.shown(train.total))
    if not train.total.masks or not names or not train.shown(train.total).any():
        return []
    hints = _hints(train, names[0])
    is_absent_in_val = names[0] in val.names(~val.shown(val.total))
    likewise = [key for key in val.facts.labels if key not in train.facts.labels]
    if hints and is_absent_in_val and likewise and _hints(val, names[0]):
        hints.append(f'{" and ".join(likewise)} likewise')
    return ['; '.join([f'{train.masks("no", "none of the")} shows {_list(names)}', *hints])]


def _hints(split: _Split, name: str) -> list[str]:
    """Return for each source where the pixels of an absent class may be."""
    found = [
        _hint(split, split.origins[key], labels, name)
        for key, labels in split.facts.labels.items()
        if key in split.origins
    ]
    return [hint for hint in found if hint]


def _hint(split: _Split, origin: _Origin, labels: LabelCounts, name: str) -> str:
    """Return where the pixels of an absent class may be in a source; empty if unknown."""
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
    """Report sources that show a single class and ignored pixels, which may belong to another class."""
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
                f'the masks of {key} show {_list(split.names(own))} only, {share:.1%} of their pixels are ignored: '
                f"{ignored.cause}; if that is '{name}', {split.origins[key].set(ignored.setting)}"
            )
    return lines


def _ignored_background(split: _Split) -> list[str]:
    """Report sources that ignore many pixels by default."""
    lines = []
    for key, labels in split.facts.labels.items():
        share = split.ignored(labels)
        ignored = split.origins[key].why_ignored(split.context.classes[0]) if key in split.origins else None
        if share > LARGE and ignored is not None and not ignored.chosen:
            wanted = split.origins[key].set(ignored.setting)
            lines.append(f'{share:.1%} of {key} is ignored: {ignored.cause}; {wanted}, or null to keep ignoring it')
    return lines


def _plain(split: _Split) -> list[str]:
    """Report images of a single colour."""
    plain, images = split.facts.plain, split.facts.images
    if not plain:
        return []
    count = f'all {images}' if len(plain) == images else f'{len(plain)} of {images}'
    return [f'{count} {split.name} images that were read have a single colour, such as {plain[0]}']


def _absent_in_val(train: _Split, val: _Split) -> list[str]:
    """Report the classes that training masks show, but no mask of val."""
    names = val.names(train.shown(train.total) & ~val.shown(val.total))
    if not val.total.masks or not names:
        return []
    line = f'{val.masks("no", "none of the")} shows {_list(names)}, so the mIoU of val does not measure it'
    return ['; '.join([line, *_hints(val, names[0])])]


def _list(names: Sequence[str]) -> str:
    """Return up to `NAMED` names in quotes, and the number of the remaining ones."""
    words = [f"'{name}'" for name in names[:NAMED]]
    words += [f'{len(names) - NAMED} more'] if len(names) > NAMED else []
    return ' and '.join([', '.join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _numbers(labels: Sequence[int]) -> str:
    """Return labels as text: a range as `first to last`, otherwise the first eight."""
    if len(labels) > 2 and list(labels) == list(range(labels[0], labels[-1] + 1)):
        return f'{labels[0]} to {labels[-1]}'
    return ', '.join(map(str, labels[:8])) + (f' and {len(labels) - 8} more' if len(labels) > 8 else '')
