"""The LightningDataModule over any source of images and masks."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
import numpy as np
import numpy.typing as npt
from pytorch_lightning import LightningDataModule
from pytorch_lightning.callbacks import BatchSizeFinder
from pytorch_lightning.overrides.distributed import UnrepeatedDistributedSampler
from pytorch_lightning.trainer.states import TrainerStatus
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.data import DataLoader, Dataset

from seglight.batch import Item, collate
from seglight.config.classes import construct
from seglight.counting import counted
from seglight.data.cache import SampleCache
from seglight.data.checks import masks_without_image, quick_faults, shared_images
from seglight.data.dataset import SegmentationDataset
from seglight.data.demo import demo_folder
from seglight.data.facts import SplitFacts
from seglight.data.judgement import explain_labels, judge
from seglight.data.labels import check_classes, check_colours
from seglight.data.loaders import default_workers, end_workers, make_loader, possible_workers
from seglight.data.mixing import build_mixes
from seglight.data.position import Position
from seglight.data.reading_notes import reading_notes
from seglight.data.sampling import EpochSampler, class_balance
from seglight.data.sources import Context, Sample, build_sources, find_samples
from seglight.data.splits import Split, divided, list_texts, pixels_of, read_lists
from seglight.data.tolerant import Tolerant, collate_good
from seglight.data.transforms import build_pipeline, pads_in_vain
from seglight.data.value_range import RangeSpec, parse_range
from seglight.errors import ConfigError, DataError, warn
from seglight.files import append_once, cache_dir
from seglight.steps import accumulated_batches, epoch_is_cut, resumes

Dicts = list[dict[str, Any]]
Spec = str | dict[str, Any] | list[str | dict[str, Any]]


class SegmentationDataModule(LightningDataModule):
    """Loads `{root}/{img_dir}/{train,val,test}` and `{root}/{ann_dir}/{train,val}`, or any other sources.

    `train`, `val` and `test` are names of folders; or sources, such as `{type: CocoSource, ann_file: a.json}` (see
    `seglight.data.sources`); or lists of either. `repeat` in a source says how often its samples are seen in an epoch,
    `only_train: true` keeps them from being validated on.

    Args:
        classes: names of the classes; label i of a mask is class i.
        palette: an RGB colour in 0 to 255 for each class; generated where not given.
        root: folder of the data set; without it a small one is generated (see `seglight.data.demo`).
        img_dir: folder of the images below `root`.
        ann_dir: folder of the masks below `root`.
        train: what to train on.
        val: what to validate and test on; not read where `split` is given.
        test: what to predict; needs no masks.
        split: divides what `train` names into train and val (see `seglight.data.splits.Split`).
        full: train on train and val, and validate nothing.
        train_transforms: albumentations for images and masks in training.
        val_transforms: albumentations for images in validation, test and predict, that keep the
            whole image in view (resizing, colours); masks are compared at their own size.
        mixes: CutMix, Mosaic, CopyPaste (see `seglight.data.mixing`), after the transforms of training.
        class_balance: share of the images below which a class is rare; images with rare classes are seen more often
            (see `seglight.data.sampling.class_balance`). None for every image as often.
        on_bad_sample: what to do about a file that cannot be used: `error`, or `skip` to leave it out and say so.
        batch_size: images in a batch.
        num_workers: loader processes; None for one less than the cores that each training process has, at most 8.
        cache: gigabytes of decoded images and masks that are kept on disk, for this and other runs; None for none.
        image_range: the values of black and white of images of more than 8 bits: `[black, white]`; or the value of
            white alone, where black is 0; or `{percentiles: [low, high]}` of each image. Without it 16 bits are divided
            by 256, and other types are refused. Images of 8 bits stay as they are.
        ignore_index: label of pixels that do not count.
        reduce_zero_label: whether label 0 of mask files is ignored and the others move down by one, as in mmseg; for
            folders, unless their source says it itself.
        seed: of split, order and augmentations; the command line sets it to `seed_everything`.
    """

    def __init__(
        self,
        classes: list[str],
        palette: list[list[int]] | None = None,
        root: str | None = None,
        img_dir: str = 'img_dir',
        ann_dir: str = 'ann_dir',
        train: Spec = 'train',
        val: Spec = 'val',
        test: Spec = 'test',
        split: dict[str, Any] | None = None,
        full: bool = False,
        train_transforms: Dicts | None = None,
        val_transforms: Dicts | None = None,
        mixes: Dicts | None = None,
        class_balance: float | None = None,
        on_bad_sample: Literal['error', 'skip'] = 'error',
        batch_size: int = 8,
        num_workers: int | None = None,
        cache: float | None = None,
        image_range: RangeSpec = None,
        ignore_index: int = 255,
        reduce_zero_label: bool = False,
        seed: int = 42,
    ) -> None:
        super().__init__()
        check_classes(classes, ignore_index)
        if palette is not None and len(palette) != len(classes):
            message = f'has {len(palette)} colours for the {len(classes)} names in data.classes'
            raise ConfigError('data.palette', f'{message}; give one for each, or null to have them generated')
        check_colours(palette or [], 'data.palette')
        for name, value, least, most in (
            ('batch_size', batch_size, 1, None),
            ('num_workers', num_workers, 0, None),
            ('ignore_index', ignore_index, 0, 255),
            ('class_balance', class_balance, 0, 1),
            ('cache', cache, 0, None),
            ('seed', seed, 0, 2**32 - 1),
        ):
            # Not so for what is no number, or an endless one.
            if value is not None and not (least <= value < math.inf and (most is None or value <= most)):
                bound = f'at least {least}' if most is None else f'{least} to {most}'
                raise ConfigError(f'data.{name}', f'must be {bound}, got {value}')
        self.classes = classes
        self.palette = palette
        self.root = root
        self.full = full
        self.split = None if split is None else construct(Split, split, 'split', 'data.split')
        self.class_balance = class_balance
        self.cache = cache
        self.value_range = parse_range(image_range)
        self.on_bad_sample = on_bad_sample
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.ignore_index = ignore_index
        self.reduce_zero_label = reduce_zero_label
        self.seed = seed
        self._sources = {
            'train': build_sources(train, 'data.train', img_dir, ann_dir),
            'val': build_sources(val, 'data.val', img_dir, ann_dir),
            'test': build_sources(test, 'data.test', img_dir, None),
        }
        pipeline = partial(build_pipeline, ignore_index=ignore_index, classes=classes)
        self._train_transforms = pipeline(train_transforms or [], 'data.train_transforms')
        self._val_transforms = pipeline(val_transforms or [], 'data.val_transforms', evaluation=True)
        self._mixes = build_mixes(mixes or [], 'data.mixes')
        self._repeats: npt.NDArray[np.float64] | None = None
        self.datasets: dict[str, SegmentationDataset] = {}
        self._facts: dict[str, SplitFacts] = {}
        self.left_out: list[str] = []  #: what is wrong with each sample that `on_bad_sample` left out
        self._loaders: list[DataLoader[Any]] = []
        # Where training starts: Lightning asks for batches before it tells.
        self.position = self.stored_position = Position()

    def prepare_data(self) -> None:
        """Generate the embedded data set where no `root` is given."""
        if self.root is None:
            demo_folder()

    def setup(self, stage: str) -> None:
        """Find the files that a stage needs and check that masks fit their images.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.

        Raises:
            DataError: for a missing folder or mask, an unreadable header, or different sizes.
        """
        found = self.samples(stage)
        for name, samples in found.items():
            self._facts[name] = SplitFacts()
            self.datasets[name] = self._usable(self.dataset(name, samples), self._facts[name])
        if stage == 'fit':
            for line in self.judgement(self._facts):
                rank_zero_only(warn)(line)
            self._warn_of_unused_masks(found)
            self._warn_of_shared_images()
            self._warn_of_what_is_left_out()
            self._prepare_training(self.datasets['train'])

    def on_exception(self, exception: BaseException) -> None:  # noqa: ARG002  (Lightning gives it)
        """End the loader processes; Lightning leaves those of validation, and Python would wait for them forever."""
        for loader in self._loaders:
            end_workers(loader)

    def teardown(self, stage: str) -> None:  # noqa: ARG002  (Lightning gives it)
        """Say how many samples turned out to be bad while the stage ran and were left out."""
        for name, dataset in self.datasets.items():
            if int(dataset.skipped):
                print(f'seglight: {int(dataset.skipped)} times a bad sample of {name} was left out', file=sys.stderr)
                dataset.skipped.zero_()

    def samples(self, stage: str, faults: list[str] | None = None) -> dict[str, list[Sample]]:
        """Return the samples of each split that a stage needs; with `full` there are none to validate.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.
            faults: gets what is wrong with a source that cannot be used, whose samples are then missing.

        Raises:
            DataError: if there are no `faults` to tell it.
        """
        context = self._context()
        if stage == 'predict':
            return {'test': find_samples(self._sources['test'], context, masks=False)}
        found = {}
        for name in ('train',) if self.split is not None else ('train', 'val') if stage == 'fit' else ('val',):
            new: list[str] | None = None if faults is None else []
            found[name] = find_samples(self._sources[name], context, masks=True, faults=new)
            if faults is not None:
                faults += [f'{name}: {fault}' for fault in new or []]
        if self.split is not None and found['train']:
            try:
                found = self._divided(found['train'], self.split)
            except DataError as error:
                if faults is None:
                    raise
                faults.append(str(error))
        if stage != 'fit':
            return {'val': found['val']}
        if self.full:
            return {'train': [sample for samples in found.values() for sample in samples]}
        return found

    def _divided(self, samples: list[Sample], split: Split) -> dict[str, list[Sample]]:
        """Divide the samples of `train` as `split` says."""
        if split.folder is not None:
            train, val = read_lists(Path(split.folder), samples, self._folder())
            return {'train': train, 'val': val}
        train, val = divided(samples, split, pixels_of(samples, len(self.classes)) > 0, self.seed)
        return {'train': train, 'val': val}

    def dataset(self, name: str, samples: Sequence[Sample]) -> SegmentationDataset:
        """Return the data set of a split with its transforms."""
        training = name == 'train'
        return SegmentationDataset(
            samples,
            self._train_transforms if training else self._val_transforms,
            self.classes,
            training,
            self.seed,
            self.ignore_index,
            self._mixes if training else (),
            self.on_bad_sample,
            SampleCache(cache_dir() / 'decoded', self.cache) if self.cache and name != 'test' else None,
            self.value_range,
        )

    def judgement(self, facts: Mapping[str, SplitFacts]) -> list[str]:
        """Return what makes a training on these data meaningless, the worst first (see `seglight.data.judgement`)."""
        return judge(facts, self._sources, self._context())

    def _usable(self, dataset: SegmentationDataset, facts: SplitFacts) -> SegmentationDataset:
        """Check a data set; samples that cannot be used are an error, or left out.

        Args:
            dataset: all samples.
            facts: gets what is found out about them.

        Raises:
            DataError: names the first fault and the number of the others.
        """
        faults = quick_faults(dataset, facts)
        if faults and self.on_bad_sample == 'error':
            others = len(faults) - 1
            verb = 'is' if others == 1 else 'are'
            more = f' ({counted(others, "more file")} {verb} wrong; `data check` lists them)' if others else ''
            meaning = explain_labels(facts, self._sources, self._context())
            raise DataError('; '.join([next(iter(faults.values())) + more, *meaning[:1]]))
        if len(faults) == len(dataset):
            raise DataError(f'No sample can be used: {next(iter(faults.values()), "there is none")}')
        dataset.samples = [sample for index, sample in enumerate(dataset.samples) if index not in faults]
        self.left_out += faults.values()
        for fault in faults.values():
            print(f'seglight: left out: {fault}', file=sys.stderr)
        return dataset

    def unused_masks(self, samples: Mapping[str, Sequence[Sample]]) -> list[Path]:
        """Return the masks of train and val that no image has; none where lists say which images are taken.

        Args:
            samples: of each split, before any was left out.
        """
        if self.split is not None and self.split.folder is not None:
            return []
        sources = self._sources['train'] + (self._sources['val'] if self.split is None else [])
        folders = [source.mask_folder(self._context()) for source, _ in sources]
        all_samples = [sample for split in samples.values() for sample in split]
        return masks_without_image([folder for folder in folders if folder is not None], all_samples)

    def _warn_of_unused_masks(self, samples: Mapping[str, Sequence[Sample]]) -> None:
        """Say so if masks have no image, which may be lost; training does without."""
        unused = self.unused_masks(samples)
        if unused:
            more = f' (and {len(unused) - 1} more masks; `data check` lists them)' if len(unused) > 1 else ''
            rank_zero_only(warn)(f'the mask {unused[0]} has no image{more}')

    def _warn_of_shared_images(self) -> None:
        """Say so if images of train are in val too, which makes the figures better than the model is."""
        shared = shared_images({name: dataset.samples for name, dataset in self.datasets.items()})
        if shared:
            more = f' (and {len(shared) - 1} more images)' if len(shared) > 1 else ''
            rank_zero_only(warn)(f'{shared[0]}{more}; validation metrics will be too optimistic')

    def _warn_of_what_is_left_out(self) -> None:
        """Say what of the training images and masks does not reach the model."""
        for line in reading_notes(self.datasets['train'].samples, self.value_range, self.classes).warnings:
            rank_zero_only(warn)(line)
        if pads_in_vain(self._val_transforms):
            rank_zero_only(warn)(
                'data.val_transforms ends with padding, which has no effect: inference pads images to what the model '
                'takes, and cuts off all other padding; remove it'
            )

    def _prepare_training(self, dataset: SegmentationDataset) -> None:
        """Find out how often each sample is seen and what the mixes need to know."""
        wanted = self.class_balance is not None or any(mix.needs_presence for mix in self._mixes)
        presence = pixels_of(dataset.samples, len(self.classes)) > 0 if wanted else None
        for mix in self._mixes:
            mix.prepare(self.classes, presence)
        repeats = np.array([sample.repeat for sample in dataset.samples])
        if self.class_balance is not None and presence is not None:
            repeats = repeats * class_balance(presence, self.class_balance)
        self._repeats = None if (repeats == 1).all() else repeats

    def records(self) -> dict[str, str]:
        """Return the text of the files that tell in a run's folder which images trained and validated."""
        train, val = (self.datasets[name].samples if name in self.datasets else [] for name in ('train', 'val'))
        return {f'split/{name}': text for name, text in list_texts(train, val, self._folder()).items()}

    def record_left_out(self, path: Path) -> None:
        """List in a file what is wrong with each sample that is left out: those known by now, and those to come.

        Loader processes write it too, so that it is there whatever ends the run.
        """
        if self.left_out:
            append_once(path, *self.left_out)
        for dataset in self.datasets.values():
            dataset.left_out = path

    def _context(self) -> Context:
        """Return what sources need to know."""
        return Context(self.classes, self.palette, self.ignore_index, self._folder(), self.reduce_zero_label)

    def _folder(self) -> Path:
        """Return the root of the data."""
        return Path(self.root) if self.root is not None else demo_folder()

    def state_dict(self) -> dict[str, int]:
        """Return where training is: the fields of `Position`."""
        if self.trainer is None:
            return self.position._asdict()
        loop = self.trainer.fit_loop
        epochs: Any = loop.epoch_progress.current
        in_epoch: Any = loop.epoch_loop.batch_progress.current
        of = self._train_batches()
        cut = epoch_is_cut(self.trainer)
        batches = 0 if epochs.processed == epochs.started and not cut else in_epoch.processed
        samples = batches * self.batch_size * self.trainer.world_size
        return Position(epochs.processed - cut, samples, batches, of, self.batch_size)._asdict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Begin training there, counted in batches of this run; without training data there is no such place.

        The batch size that Lightning's `BatchSizeFinder` found is kept where it is still among the callbacks.
        """
        if 'train' not in self.datasets:
            return
        finders = [each for each in getattr(self.trainer, 'callbacks', []) if isinstance(each, BatchSizeFinder)]
        if finders and resumes(self.trainer):
            self.batch_size = state_dict.get('batch_size', self.batch_size)
        processes = self._replicas()[0]
        of = self._train_batches()
        self.stored_position = Position.stored(state_dict, self.batch_size, processes, of)
        accumulated = accumulated_batches(self.trainer, state_dict['epoch']) if self.trainer else 1
        self.position = self.stored_position.counted_as(self.batch_size, processes, of, accumulated)
        # Lightning looks for a loader with a state, and warns for nothing.
        warnings.filterwarnings('ignore', message='You.re resuming from a checkpoint that ended before the epoch ended')

    def _train_batches(self) -> int:
        """Return the number of batches that each process trains on in an epoch, as Lightning limits it."""
        samples = len(EpochSampler(self.datasets['train'], *self._replicas(), self._repeats))
        batches = samples // self.batch_size or 1
        limit = self.trainer.limit_train_batches if self.trainer else 1.0
        return min(batches, limit) if isinstance(limit, int) else int(batches * limit)

    def train_dataloader(self) -> DataLoader[Item]:
        """Return the loader of shuffled and augmented training batches; an incomplete last one is dropped."""
        dataset, sampler = self.datasets['train'], self.train_sampler()
        # BatchNorm cannot train on a last batch of one image.
        return self._loader(dataset, sampler=sampler, drop_last=len(sampler) >= self.batch_size)

    def train_sampler(self) -> EpochSampler:
        """Return the sampler of the training batches, at the epoch that training starts with."""
        replicas, rank = self._replicas()
        sampler = EpochSampler(self.datasets['train'], replicas, rank, self._repeats, self.seed)
        sampler.go_on(self.position.epoch, self.position.samples // replicas)
        return sampler

    def val_dataloader(self) -> DataLoader[Item] | list[DataLoader[Item]]:
        """Return the loader of validation batches, in order; no image counts twice, for any number of processes.

        With `full` there is none: an empty list, which Lightning takes for no validation.
        """
        if 'val' not in self.datasets:
            return []
        dataset = self.datasets['val']
        replicas, rank = self._replicas()
        self._enough_for_all('val')
        sampler = UnrepeatedDistributedSampler(dataset, replicas, rank, shuffle=False) if replicas > 1 else None
        return self._loader(dataset, sampler=sampler)

    def test_dataloader(self) -> DataLoader[Item] | list[DataLoader[Item]]:
        """Return the loader of test batches: the validation images, which have masks."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[Item]:
        """Return the loader of the images to predict, in order; one that cannot be read does not end it."""
        self._enough_for_all('test')
        return self._loader(Tolerant(self.datasets['test']), collate_fn=collate_good)

    def _enough_for_all(self, name: str) -> None:
        """Refuse an image set that leaves a process without a batch; Lightning would then wait for it forever.

        Raises:
            ConfigError: if there are fewer images than processes, but not where nothing is to be done at all.
        """
        count, replicas = len(self.datasets[name]), self._replicas()[0]
        if 0 < count < replicas:
            images = f'data.{name} has {counted(count, "image")} to go through'
            message = f'{images}, fewer than the {replicas} processes, each of which needs one'
            raise ConfigError('trainer.devices', f'{message}; give --trainer.devices={count}, on one machine')

    def _replicas(self) -> tuple[int, int]:
        """Return the number of processes and the index of this one."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _loader(self, dataset: Dataset[Any], **options: Any) -> DataLoader[Item]:
        workers = default_workers(self._replicas()[0]) if self.num_workers is None else self.num_workers
        workers = possible_workers(workers)
        options.setdefault('collate_fn', partial(collate, ignore_index=self.ignore_index))
        in_run = self.trainer is not None and self.trainer.state.status == TrainerStatus.RUNNING
        loader = make_loader(dataset, self.batch_size, workers, self.seed, in_run, **options)
        self._loaders.append(loader)
        return loader
