"""A checkpoint, a file with weights and the settings of their training: find it, read it once, use it safely."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from torch import Tensor

from seglight.checkpoints.entries import check_entries
from seglight.checkpoints.exported import exported_entries, name_file
from seglight.checkpoints.from_mmseg import NOT_TAKEN_OVER, SUFFIX, mmseg_entries
from seglight.checkpoints.gate import admit_hyperparameters
from seglight.checkpoints.plain import plain_entries
from seglight.checkpoints.stored import Purpose, Stored, parse_stored, read_stored
from seglight.checkpoints.subclass import check_base_predicts, config_of, parameters_for, weights_for
from seglight.config.settings import Settings
from seglight.errors import CheckpointError, UserError, one_line, warn
from seglight.files import WORK_DIRS, in_work_dirs, newest, resumable
from seglight.own_modules import find_named
from seglight.runtimes.opening import checksum, is_exported
from seglight.weight_files import SAFETENSORS, check_records, opened, read_file, read_saved

if TYPE_CHECKING:
    from seglight.models.segmentor import Segmentor

#: The entry with the resolved config of its run, as YAML text.
CONFIG_ENTRY = 'config'

#: The entry with the environment of its run, as YAML text; see `seglight.environment`.
ENVIRONMENT_ENTRY = 'environment'

#: The entry with the latest metrics when it was written, a dict of floats.
METRICS_ENTRY = 'metrics'

#: The parts of the config that another command uses.
PARTS = ('model', 'data', 'seed_everything')

#: Entries about the model and the length of its training.
OF_THE_MODEL = ('state_dict', 'hyper_parameters', 'epoch', 'global_step', 'pytorch-lightning_version')

#: Bytes at the end of a file, where a zip stores the checksums of all its records.
_TAIL = 65536

AnySegmentor = TypeVar('AnySegmentor', bound='Segmentor')


class Checkpoint:
    """A checkpoint of seglight or mmseg, or an exported file, read at the first access and then kept.

    No code in the file runs: only tensors and plain values are read, and the settings in the file must pass the gate
    before anything is imported or built.

    Args:
        path: the file; `Checkpoint.find` also accepts other names.
        trust: whether the file is your own; it may then name classes of any package.
        mapped: leave the tensors on disk until they are used, for callers that need few of them. The file is then
            opened twice, because torch opens it itself.
    """

    def __init__(self, path: str | Path, trust: bool = False, mapped: bool = False) -> None:
        self.path = Path(path)
        self.trust = trust
        self.mapped = mapped
        self._contents: Any = None
        self._fingerprint = 0

    @classmethod
    def find(cls, name: str | Path, trust: bool = False, best: bool = True, mapped: bool = False) -> Checkpoint:
        """Return the checkpoint for a path, which may be relative to `work_dirs`.

        The folder of a run means its best checkpoint, or its newest if it has no best or `best` is false.

        Raises:
            CheckpointError: if it is not found.
        """
        return cls(_find(str(name), best), trust, mapped)

    def __str__(self) -> str:
        """Return the path, for messages."""
        return str(self.path)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the contents: another process reads the file itself."""
        kept = {name: value for name, value in self.__dict__.items() if name != 'entries'}
        return {**kept, '_contents': None}

    # Contents of the file

    @property
    def from_mmseg(self) -> bool:
        """Whether mmseg's training wrote it, judging by the file's suffix."""
        return self.path.suffix == SUFFIX

    @property
    def is_exported(self) -> bool:
        """Whether `seglight export` wrote it for another runtime; it then has settings, but no weights to load."""
        return is_exported(self.path)

    def contents(self, unpickle: bool = False) -> Any:
        """Return the whole contents of the file, in any layout; for files of weights, too.

        Args:
            unpickle: unpickle everything, not only tensors and plain values; this runs the code that the file names.

        Raises:
            CheckpointError: if the file is damaged, or loading it would run code.
        """
        if self._contents is None:
            self._read(unpickle)
        return self._contents

    def verify(self) -> None:
        """Read the file, and check each of its records against its checksum.

        Raises:
            CheckpointError: if it is empty, truncated or changed, or loading it would run code.
        """
        self.forget()
        self._read(verify=True)
        _ = self.entries

    def forget(self) -> None:
        """Free the memory; the next access reads the file again."""
        self._contents = None
        self.__dict__.pop('entries', None)

    @cached_property
    def entries(self) -> dict[str, Any]:
        """The checked entries, by seglight's names also for an mmseg checkpoint and an exported file.

        Raises:
            CheckpointError: if the file is not a checkpoint, is damaged, or loading it would run code.
        """
        if self.is_exported:
            return exported_entries(self.path)
        contents = plain_entries(self.path) if self.path.suffix == SAFETENSORS else self.contents()
        if self.from_mmseg:
            return mmseg_entries(contents, self.path)
        check_entries(contents, self.path)
        return cast(dict[str, Any], contents)

    @property
    def fingerprint(self) -> str:
        """The name, the size and a checksum (of the checksums in it), which identify the file."""
        if not self._fingerprint:
            is_zip = not (self.is_exported or self.path.suffix == SAFETENSORS)
            self._fingerprint = self._checksum() if is_zip else checksum(self.path)
        return f'{self.path.name}, {self.path.stat().st_size} bytes, checksum {self._fingerprint}'

    def _checksum(self) -> int:
        with opened(self.path) as file:
            return _checksum(file)

    def _read(self, unpickle: bool = False, verify: bool = False) -> None:
        self.require_weights()
        if self.path.suffix == SAFETENSORS:
            self._contents = read_file(self.path)
            return
        with opened(self.path) as file:
            if verify:
                check_records(file, self.path)
            self._fingerprint = _checksum(file)
            self._contents = read_saved(file, self.path, unpickle, self.mapped)

    def require_weights(self) -> None:
        """Refuse an exported file where weights are needed: only its runtime has them.

        Raises:
            CheckpointError: if it is one.
        """
        if self.is_exported:
            raise CheckpointError(f'{self.path} is an exported model: use the checkpoint that it was exported from')

    # Entries

    @property
    def weights(self) -> dict[str, Tensor]:
        """The tensors of the model, by name.

        Raises:
            CheckpointError: for an exported file.
        """
        self.require_weights()
        return cast(dict[str, Tensor], self.entries['state_dict'])

    @property
    def metrics(self) -> dict[str, float]:
        """The latest metrics when it was written."""
        return self.entries.get(METRICS_ENTRY) or {}

    @property
    def classes(self) -> list[str]:
        """Names of the classes that it was trained with; empty if it does not name them."""
        return list((self.entries.get('hyper_parameters') or {}).get('classes') or [])

    @property
    def config(self) -> str | None:
        """The resolved config of its run, as YAML; None if it does not store one."""
        return self.entries.get(CONFIG_ENTRY)

    @property
    def not_taken_over(self) -> list[str]:
        """Settings for testing in mmseg's config that seglight does not support."""
        return [one_line(str(setting))[:300] for setting in (self.entries.get(NOT_TAKEN_OVER) or [])[:20]]

    def tell_not_taken_over(self) -> None:
        """Warn of the settings for testing in mmseg's config that seglight does not support."""
        from pytorch_lightning.utilities import rank_zero_only  # late: `seglight info` does not need it

        for setting in self.not_taken_over:
            rank_zero_only(warn)(f"{self.path}: not supported: {setting}; metrics may differ from mmseg's")

    def mapping(self, entry: str) -> dict[str, Any]:
        """Return the YAML mapping in an entry; empty if there is no such entry.

        Raises:
            CheckpointError: if the text is not YAML.
        """
        return parse_stored(self.entries.get(entry) or '', f'{self.path}: {entry}').values

    def stored(
        self,
        parts: tuple[str, ...] | None = PARTS,
        required: bool = True,
        purpose: Purpose = 'training',
        val_loss: bool | None = False,
    ) -> Stored:
        """Return the settings of its training that pass the gate.

        Args:
            parts: the groups to return, None for all.
            required: whether a checkpoint without settings is an error.
            purpose: 'prediction' drops the settings that only training needs.
            val_loss: whether a prediction keeps the losses for a validation loss; None if the settings say so.

        Raises:
            CheckpointError: if it does not store settings and they are required.
        """
        text = self.config
        if text is None and purpose == 'prediction':
            text = config_of(self.entries)
        if text is None and not required:
            return Stored(Settings())
        if not isinstance(text, str):
            raise CheckpointError(f'{self.path} stores no config; pass the config of its training with --config')
        stored = read_stored(text, self.path, parts, self.trust, purpose, val_loss)
        if self.is_exported and stored.settings.values.get('model'):
            name_file(stored.settings.values['model'], self.path, self.trust)
        return stored

    @property
    def settings(self) -> Settings:
        """The settings of its training.

        Raises:
            CheckpointError: if it does not store any, or one does not pass the gate.
        """
        stored = self.stored()
        stored.check(Settings())
        return stored.settings

    # Building the model

    def budget(self) -> AbstractContextManager[None]:
        """Return a context that limits the size of models built in it to that of the weights, unless it is trusted."""
        from seglight.checkpoints.budget import within_budget  # late: it imports a rarely needed part of torch

        return nullcontext() if self.trust or self.is_exported else within_budget(self.path, self.weights)

    def module(self, cls: type[Segmentor] | None = None) -> Segmentor:
        """Return its `Segmentor` on the CPU, in eval mode.

        Args:
            cls: the subclass that trained it, which is needed only if it changes predictions.

        Raises:
            CheckpointError: if it cannot be built or loaded.
        """
        from seglight.models.segmentor import Segmentor  # late: `seglight info` needs no model

        if cls is None:
            check_base_predicts(self.entries, self.path)
        self.tell_not_taken_over()
        module = self.build(cls or Segmentor)
        self.load_into(module)
        return module.eval()

    def build(
        self, cls: type[AnySegmentor], given: Mapping[str, Any] | None = None, strict: bool = True
    ) -> AnySegmentor:
        """Build the `Segmentor` that its hyperparameters describe, without loading the weights.

        Its heads have mmseg's default loss instead of that of the training, unless `val_loss` is given.

        Args:
            cls: the class to build.
            given: arguments that override those of the checkpoint.
            strict: whether the caller loads all weights, so that none need initialisation.

        Raises:
            CheckpointError: if it has no hyperparameters, or they do not pass the gate.
        """
        from seglight.checkpoints.needed import without_training  # late, as above
        from seglight.models.initialising import only_loading
        from seglight.models.pretrained import without_pretrained

        stored = self.entries.get('hyper_parameters')
        if not isinstance(stored, dict) or not isinstance(stored.get('segmentor'), dict):
            raise CheckpointError(
                f'{self.path} contains no hyperparameters or config of mmseg to build its model from; only validate '
                'and predict (with --config) and fit --load-from take weights alone'
            )
        named = {str(name): value for name, value in stored.items() if not str(name).startswith('_')}
        named['segmentor'] = without_pretrained(named['segmentor'])
        parameters = without_training({'model': named}, bool((given or {}).get('val_loss')))['model']
        if self.trust:
            find_named(parameters)
        else:
            parameters = admit_hyperparameters(parameters, self.path)
        parameters = parameters_for(cls, parameters, self.entries, self.path)
        if self.is_exported:
            name_file(parameters, self.path, self.trust)
        try:
            with self.budget(), only_loading() if strict else nullcontext():
                return cls(**{**parameters, **(given or {})})
        except UserError as error:
            raise CheckpointError(f'{self.path}: {error}') from error
        except (
            TypeError,
            ValueError,
            ArithmeticError,
            AttributeError,
            LookupError,
        ) as error:  # values of unchecked types
            raise CheckpointError(f'cannot build the model of {self.path}: {one_line(error)}') from error

    def load_into(self, module: Segmentor, weights: dict[str, Tensor] | None = None, strict: bool = True) -> None:
        """Load its weights into a `Segmentor`, or other weights with the same names.

        An exported file needs none.

        Raises:
            CheckpointError: if they do not fit.
        """
        if self.is_exported and weights is None:
            return
        try:
            module.load_state_dict(weights_for(type(module), self.entries) if weights is None else weights, strict)
        except RuntimeError as error:
            reason = one_line(str(error).partition('\n')[2].partition('\n')[0] or error)
            raise CheckpointError(f'{self.path} does not fit the model that it describes: {reason}') from error

    def hand_over(self, training: bool) -> dict[str, Any]:
        """Return the entries for Lightning's trainer, which changes them, and free the memory here.

        Args:
            training: whether the trainer resumes the run; otherwise the entries of the training are omitted: loops,
                optimizers, callbacks, precision, and position in the data.
        """
        from seglight.models.segmentor import Segmentor  # late, as above

        entries = {'pytorch-lightning_version': version('pytorch-lightning'), **self.entries}
        if not training and 'state_dict' in entries:
            entries['state_dict'] = weights_for(Segmentor, entries)
        self.forget()
        return entries if training else {name: value for name, value in entries.items() if name in OF_THE_MODEL}


def _checksum(file: BinaryIO) -> int:
    """Return a checksum of the end of a file, which depends on the whole contents of a zip."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL))
    return zlib.crc32(file.read())


def _find(name: str, best: bool) -> Path:
    """Return the path for a name; see `Checkpoint.find`."""
    if not name:
        raise CheckpointError('the name of a checkpoint must not be empty')
    for path in in_work_dirs(name):
        if path.is_file():
            return path
        for paths in (path.glob('best_*.ckpt'), path.glob('*.ckpt')) if best else (resumable(path),):
            if found := newest(paths):
                return found
    folder = next((folder for folder in in_work_dirs(name) if folder.is_dir()), None)
    if folder and not os.access(folder, os.R_OK | os.X_OK):
        raise CheckpointError(f'{folder} cannot be read: {os.strerror(errno.EACCES)}')
    if folder:
        raise CheckpointError(f'{folder} contains no checkpoint')
    for path in in_work_dirs(name):
        if path.exists():
            raise CheckpointError(f'{path} is not a checkpoint: it is not a regular file')
    near = sorted(path.name for path in (WORK_DIRS / name).parent.glob('*.ckpt'))
    nearby = f'; its folder contains {", ".join(near)}' if near else ''
    raise CheckpointError(f"Checkpoint '{name}' was not found, neither as a path nor in {WORK_DIRS}{nearby}")
