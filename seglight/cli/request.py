"""The user's request: a subcommand, its checkpoints, and the resolved settings."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from seglight.checkpoints.checkpoint import PARTS, Checkpoint
from seglight.checkpoints.ensemble import Ensemble, read_ensemble
from seglight.checkpoints.stored import Stored
from seglight.checkpoints.subclass import check_base_predicts
from seglight.config.arguments import Flag, read_arguments
from seglight.config.parser import with_origins
from seglight.config.resolve import resolve
from seglight.config.settings import Key, Settings
from seglight.console import labelled
from seglight.data.sources.mmseg_datasets import with_class_names
from seglight.errors import CheckpointError, UsageError, say, warn
from seglight.run import CONFIG

#: Subcommands that use a checkpoint and the config in it.
FROM_CHECKPOINT = ('validate', 'test', 'predict')


class Request:
    """A command line, its checkpoints, and the settings of both.

    Args:
        argv: the command line.

    Attributes:
        arguments: the parsed command line.
        checkpoint: the checkpoint that the run starts or resumes from, if any.
        more_checkpoints: further checkpoints of an ensemble.
        ensemble: the file of `--ensemble`, which names all checkpoints; None without it.
        stored: the settings used from the checkpoint; empty when training with a config.
        settings: the resolved settings, with the origin of each.
        trained_on: the `data` of the checkpoint's config; empty in training.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self.arguments = read_arguments(self.argv)
        self.checkpoint: Checkpoint | None = None
        self.more_checkpoints: list[Checkpoint] = []
        self.ensemble: Ensemble | None = None
        self.stored = Stored(Settings())
        self.settings = Settings()
        self.trained_on: dict[str, Any] = {}

    @property
    def subcommand(self) -> str | None:
        """The name of the subcommand; None if there is none."""
        return self.arguments.subcommand

    @property
    def wants_help(self) -> bool:
        """Whether to print the help of a subcommand, for which nothing is read."""
        return self.arguments.has('--help', '-h', '--help_all')

    def resolve(self, parser: ArgumentParser, ignored: Callable[[str], bool]) -> None:
        """Find the checkpoint, and override its settings with configs and flags.

        Args:
            parser: the parser of the subcommand.
            ignored: returns whether a key belongs only to other commands.

        Raises:
            UserError: if a file is missing or cannot be used, or a setting is wrong.
        """
        if not self.wants_help:
            self._use_checkpoint()
        self.settings = resolve(self.arguments, parser, self.settings, ignored, with_class_names)
        self.stored.check(self.settings, self._needless())

    def with_origins(self) -> AbstractContextManager[None]:
        """Return a context that adds the origin of its key to a config error."""
        return with_origins(self.settings, self.arguments)

    def budget(self) -> AbstractContextManager[None]:
        """Return a context that limits the size of a model described by a checkpoint to that of its weights."""
        described = self.checkpoint if self.stored.settings.values else None
        return described.budget() if described else nullcontext()

    def _use_checkpoint(self) -> None:
        """Find the checkpoint, and read the config in it, which configs and flags override."""
        arguments, training = self.arguments, self.subcommand not in FROM_CHECKPOINT
        names = self._ensemble_checkpoints() or arguments.values('--ckpt_path')
        if not names:
            if training:
                return
            typed = next((flag.value for flag in arguments.flags[1:] if not flag.name), None) or 'exp1/epoch_2.ckpt'
            raise UsageError(f'{self.subcommand} needs a checkpoint, for example --ckpt {typed}')
        name, *more = names[-1:] if training else names
        trust = arguments.has('--trust_checkpoint')
        self.more_checkpoints = [Checkpoint.find(each, trust) for each in more]
        self.checkpoint = Checkpoint.find(name, trust, best=not training)
        arguments.replace('--ckpt_path', str(self.checkpoint))
        if training:
            self._resume_from(self.checkpoint, with_config=not arguments.configs)
        else:
            self._start_from(self.checkpoint, required=not arguments.configs)

    def _ensemble_checkpoints(self) -> list[str]:
        """Read the file of `--ensemble`, and return its checkpoints; empty without it.

        Raises:
            UsageError: if it is wrong, or another flag sets what it contains.
        """
        arguments = self.arguments
        file = None if self.subcommand not in FROM_CHECKPOINT else arguments.value('--ensemble')
        if file is None:
            return []
        for flag in ('--ckpt_path', '--ckpt_weights', '--aug_test'):
            if arguments.has(flag):
                typed = next(each.typed for each in arguments.flags if each.name == flag)
                raise UsageError(f'--ensemble sets the checkpoints, their weights and views; remove {typed}')
        self.ensemble = read_ensemble(Path(file))
        names = self.ensemble.checkpoints
        arguments.flags.append(Flag('--ckpt_path', names[0], '--ensemble'))
        return names

    def _resume_from(self, checkpoint: Checkpoint, with_config: bool) -> None:
        """Use the config of a checkpoint that training resumes from, unless the user gave a config."""
        if checkpoint.from_mmseg:
            raise CheckpointError(
                f'{checkpoint} is an mmseg checkpoint: training cannot resume from it; '
                'use --load-from to load its weights'
            )
        checkpoint.verify()
        if not with_config:
            return
        self.stored = checkpoint.stored(None)
        self.settings = self.stored.settings
        if self.stored.left_out:
            names, config = ', '.join(self.stored.left_out), checkpoint.path.parent / CONFIG
            reason = 'a checkpoint may not set classes of the trainer or accounts'
            cure = f'--config {config} sets them, but check that file first: it is trusted like your own'
            rank_zero_only(say)(labelled('Ignored', f'{names}: {reason}; {cure}'))

    def _start_from(self, checkpoint: Checkpoint, required: bool) -> None:
        """Use the part of a checkpoint's config that predictions need."""
        check_base_predicts(checkpoint.entries, checkpoint.path)
        self.stored = self._for_prediction(checkpoint, required)
        if self.stored.settings.values and checkpoint.config is None:
            text = 'stores no config; images are not resized: pass the config of its training with --config if it does'
            rank_zero_only(warn)(f'{checkpoint} {text}')
        self.settings = self.stored.settings
        self.trained_on = dict(self.settings.values.get('data') or {})
        checkpoint.tell_not_taken_over()

    def _for_prediction(self, checkpoint: Checkpoint, required: bool) -> Stored:
        """Return the part of a checkpoint's config that predictions need, with the losses if a validation logs theirs.

        Losses that do not pass the gate, which predictions do not need, are left out.
        """
        if self.subcommand == 'predict':
            return checkpoint.stored(PARTS, required, 'prediction')
        typed = self.arguments.value('--model.val_loss')
        given = None if typed is None else typed.lower() != 'false'
        stored = checkpoint.stored(PARTS, required, 'prediction', given)
        refused = stored.refused.get(('model', 'segmentor'))
        if refused is None or given:
            return stored
        plain = checkpoint.stored(PARTS, required, 'prediction')
        if ('model', 'segmentor') not in plain.refused:
            rank_zero_only(warn)(f'the loss is left out: {refused}')
        return plain

    def _needless(self) -> set[Key]:
        """Return the keys of data sources that the subcommand does not read."""
        split = (self.settings.values.get('data') or {}).get('split')
        read = {'predict': ['test'], 'fit': ['train', 'split', 'val']}.get(
            str(self.subcommand), ['train', 'split'] if split else ['val', 'split']
        )
        if self.subcommand == 'predict' and self.arguments.has('--input'):
            read = []
        if self.arguments.has('--pseudo_labels'):
            read.append('train')
        return {('data', name) for name in ('train', 'val', 'test', 'split') if name not in read}
