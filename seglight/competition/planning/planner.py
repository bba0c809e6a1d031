"""The steps of a plan: sizes, batch, memory format, epochs, weights and loading, each with its reason."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seglight.array_types import Size
from seglight.competition.out_of_fold.plan import data_arguments
from seglight.competition.planning import rules
from seglight.competition.planning.fingerprint import take
from seglight.competition.planning.memory_format import KEY as MEMORY_FORMAT
from seglight.competition.planning.memory_format import choose_memory_format
from seglight.competition.planning.plan_file import Choice
from seglight.competition.planning.transforms import training_transforms, validation_transforms
from seglight.competition.planning.trials import Trials, time_loading
from seglight.config.settings import merge
from seglight.cores import cores
from seglight.counting import counted, duration
from seglight.data import SegmentationDataModule
from seglight.data.dataset import warn_of_left_out
from seglight.data.report import root_weights
from seglight.errors import collected_warnings, warn
from seglight.files import cache_dir

#: Keys of the sizes, of validation, and of the length of a run; a user sets each group as a whole.
TRANSFORMS, VAL_TRANSFORMS, BATCH = 'data.train_transforms', 'data.val_transforms', 'data.batch_size'
WEIGHTS = 'model.segmentor.decode_head.loss_decode.class_weight'
LENGTH = ('trainer.max_epochs', 'trainer.max_steps', 'trainer.max_time', 'model.zoo_schedule')
VALIDATION = ('trainer.check_val_every_n_epoch', 'trainer.val_check_interval')

#: Area of the crops with which a step is measured first, and the two batches.
PROBE_AREA, PROBES = 512 * 512, (2, 4)


@dataclass
class Planner:
    """The steps of a plan, each of which adds choices.

    Attributes:
        config: the resolved config.
        own: the dotted keys that the user has set.
        seconds: for the run.
        trials: runs a few steps.
        choices: by dotted key.
    """

    config: dict[str, Any]
    own: frozenset[str]
    seconds: float
    trials: Trials
    choices: dict[str, Choice] = field(default_factory=dict)

    def plan(self) -> float:
        """Make all choices, and return the seconds that the run takes."""
        data = data_arguments(self.config)
        module = _module(data)
        warn_of_left_out(module.left_out)
        samples = module.datasets['train'].samples
        self.found = take(samples, len(data['classes']))
        self._choose_weights()
        self._choose_sizes(module)
        self._choose_memory_format()
        self._choose_balance()
        self._choose_loading(data)
        return self._choose_epochs(len(module.datasets['val']) if 'val' in module.datasets else 0)

    def _is_own(self, *keys: str) -> bool:
        return any(key in self.own for key in keys)

    def _choose(self, key: str, value: Any, reason: str) -> None:
        """Add a choice, unless the user has set the key."""
        if not self._is_own(key):
            self.choices[key] = Choice(value, reason)

    def _keys(self) -> dict[str, Any]:
        """Return all choices as nested keys."""
        values: dict[str, Any] = {}
        for key, choice in self.choices.items():
            values = merge(values, _nested(key, choice.value))
        return values

    def _choose_weights(self) -> None:
        """Weigh the classes in a softmax cross-entropy of a single decode head."""
        head = self.config['model']['segmentor'].get('decode_head')
        loss = head.get('loss_decode') if isinstance(head, dict) else None
        if not isinstance(loss, dict) or loss.get('type') != 'CrossEntropyLoss' or loss.get('use_sigmoid'):
            return
        pixels = self.found.pixels.sum(0)
        share = pixels / max(1, pixels.sum())
        names = self.config['data']['classes']
        rarest = int(np.where(share > 0, share, np.inf).argmin())
        ends = (f'{100 * share[at]:.3g} % ({names[at]})' for at in (int(share.argmax()), rarest))
        reason = f'one over the root of the share of the pixels, at most {rules.MAX_WEIGHT:g}: from {" to ".join(ends)}'
        self._choose(WEIGHTS, rules.capped(root_weights(pixels)), reason)

    def _choose_sizes(self, module: SegmentationDataModule) -> None:
        """Choose crop, scale and batch by the time and memory of two trials."""
        sizes = self._possible_crops(module)
        probe = next((size for size in sizes if size[0] * size[1] <= PROBE_AREA), sizes[-1])
        probes = []
        for batch in PROBES:
            keys = merge(self._keys(), {'data': {'batch_size': batch, 'num_workers': self._workers()}})
            if not self._is_own(TRANSFORMS):
                keys = merge(keys, {'data': {'train_transforms': self._training(probe, 1.0, 1.25)}})
            probes.append((batch, self.trials.run(keys, steps=4, warmup=1)))
        cost = self.trials.cost(probe, probes[0], probes[1])
        budget = rules.Budget(self.seconds, probes[0][1].free)
        batches = [self.config['data']['batch_size']] if self._is_own(BATCH) else list(rules.BATCHES)
        pixels = float(self.found.sizes.prod(1).sum())
        self.crop, self.batch = rules.choose_size(sizes, batches, cost, budget, pixels)
        self._write_sizes(cost, budget)

    def _possible_crops(self, module: SegmentationDataModule) -> list[Size]:
        """Return the crops to choose from: that of the user's transforms, that of the model, or several."""
        fixed = (self.config['model']['segmentor'].get('backbone') or {}).get('img_size')
        if self._is_own(TRANSFORMS):
            return [module.training_size(4)]
        if fixed:
            return [(fixed, fixed) if isinstance(fixed, int) else (int(fixed[0]), int(fixed[1]))]
        return rules.crops(rules.crop_bounds(self.found))

    def _workers(self) -> int:
        given: int | None = self.config['data']['num_workers']
        return min(1, cores() - 1) if given is None or not self._is_own('data.num_workers') else given

    def _write_sizes(self, cost: rules.Cost, budget: rules.Budget) -> None:
        found, crop, batch = self.found, self.crop, self.batch
        height, width = found.size
        scale = rules.working_scale(found, crop) if not self._is_own(TRANSFORMS, VAL_TRANSFORMS) else 1.0
        spread = rules.jitter(found)
        reduced = f', which cover too little of an image: reduced by {scale}' if scale < 1 else ''
        reason = (
            f'{counted(found.images, "image")}, median {width}x{height}, median object {found.length:.0f} pixels long, '
            f'sizes within a class vary by {spread}: crops of {crop[1]}x{crop[0]}{reduced}'
        )
        self._choose(TRANSFORMS, self._training(crop, scale, spread), reason)
        if scale < 1:
            reduced_too = validation_transforms(self.config['data']['val_transforms'], scale)
            self._choose(VAL_TRANSFORMS, reduced_too, f'as in training, images are reduced by {scale}')
        steps = budget.seconds / cost.step(crop, batch)
        free = '' if budget.bytes == math.inf else f' of the {budget.bytes / 1e9:.3g} GB free'
        memory = f' and {cost.memory(crop, batch) / 1e9:.2g} GB{free}'
        share = 100 * crop[0] * crop[1] * batch / float(found.sizes.prod(1).sum())
        reason = (
            f'a step takes about {cost.step(crop, batch):.2g} s, so there is time for {steps:.0f} steps{memory}; '
            f'a batch has {share:.2g} % of all pixels'
        )
        self._choose(BATCH, batch, reason)

    def _training(self, crop: Size, scale: float, spread: float) -> list[dict[str, Any]]:
        return training_transforms(self.config['data']['train_transforms'], crop, scale, spread)

    def _choose_memory_format(self) -> None:
        if not self._is_own(MEMORY_FORMAT):
            keys = merge(self._keys(), {'data': {'num_workers': self._workers()}})

            def step(channels_last: bool) -> float:
                return self.trials.run(merge(keys, _nested(MEMORY_FORMAT, channels_last)), steps=6, warmup=2).step

            self.choices[MEMORY_FORMAT] = choose_memory_format(step)

    def _choose_balance(self) -> None:
        threshold = rules.balance_threshold(self.found)
        shares = self.found.presence.mean(0)
        rarest = int(np.where(shares > 0, shares, np.inf).argmin())
        name = self.config['data']['classes'][rarest]
        reason = f'the rarest class, {name}, is in {100 * shares[rarest]:.3g} % of {counted(self.found.masks, "mask")}'
        self._choose('data.class_balance', threshold, reason)

    def _choose_loading(self, data: dict[str, Any]) -> None:
        """Choose workers and cache by the times to load an image and to train on it."""
        keys = merge(self._keys(), {'data': {'cache': None}})
        loading = time_loading(_module(merge(data, keys['data'])).datasets['train'])
        step = self.trials.run(merge(keys, {'data': {'num_workers': self._workers()}}), steps=4, warmup=1).step
        per_image = step / self.batch
        count = rules.choose_workers(loading.whole * self.batch, step, cores())
        reason = (
            f'loading an image takes {1000 * loading.whole:.1f} ms, training on it {1000 * per_image:.1f} ms; '
            f'{counted(cores(), "core")}'
        )
        self._choose('data.num_workers', count, reason)
        decoded = float(self.found.sizes.prod(1).sum()) * 4
        free = shutil.disk_usage(_existing(cache_dir())).free
        cache = rules.choose_cache(decoded, loading.decoding, per_image, free)
        reason = (
            f'decoding takes {1000 * loading.decoding:.1f} ms of loading; decoded, the training set has '
            f'{decoded / 1e9:.2g} GB, and the disk has {free / 1e9:.3g} GB free'
        )
        self._choose('data.cache', cache, reason)

    def _choose_epochs(self, validated: int) -> float:
        """Choose the epochs by a last trial with everything else, and return the seconds of the run."""
        trial = self.trials.run(self._keys(), steps=10, warmup=2)
        balance = self.choices.get('data.class_balance')
        threshold = balance.value if balance else self.config['data']['class_balance']
        samples = rules.samples_per_epoch(self.found, threshold) / trial.processes
        batches = rules.batches_per_epoch(samples, self.batch)
        training = batches * trial.step
        validation = math.ceil(validated / trial.processes / self.batch) * trial.validation
        epochs, every = rules.choose_epochs(self.seconds, training, validation)
        if self._is_own(*LENGTH):
            given = self._given_epochs(batches)
        else:
            given = None
            reason = f'{counted(batches, "step")} of {trial.step:.2g} s are {training:.3g} s for an epoch'
            self._choose('trainer.max_epochs', epochs, reason)
            if self.config['trainer']['max_steps'] not in (-1, None):
                self._choose('trainer.max_steps', -1, 'the epochs end the run')
        if validated and not self._is_own(*VALIDATION):
            reason = f'a validation takes {validation:.3g} s, an epoch without it {training:.3g} s'
            self._choose(VALIDATION[0], every, reason)
            if not self._is_own('checkpoint.unit'):
                self._choose('checkpoint.interval', every, 'a checkpoint with each validation')
        needed = (given or epochs) * (training + validation / every)
        if needed > 1.1 * self.seconds:
            warn(f'the run takes about {duration(needed)}, more than --hours {self.seconds / 3600:g}')
        return needed

    def _given_epochs(self, batches: int) -> float | None:
        """Return the epochs of a length that the user has set, of steps or epochs; None if it is a time or unlimited.

        Args:
            batches: of an epoch, several of which may be accumulated for a step.
        """
        trainer = self.config['trainer']
        max_steps, max_epochs = (int(trainer[name] or -1) for name in ('max_steps', 'max_epochs'))
        lengths = [float(max_epochs)] if max_epochs > 0 else []
        if max_steps > 0:
            lengths.append(max_steps / math.ceil(batches / trainer['accumulate_grad_batches']))
        return min(lengths, default=None)


def _module(arguments: dict[str, Any]) -> SegmentationDataModule:
    """Return the data module with the samples of train and val."""
    module = SegmentationDataModule(**arguments)
    module.prepare_data()
    with collected_warnings():  # it is loaded more than once
        module.setup('fit')
    return module


def _nested(key: str, value: Any) -> dict[str, Any]:
    *groups, name = key.split('.')
    nested: dict[str, Any] = {name: value}
    for group in reversed(groups):
        nested = {group: nested}
    return nested


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
