"""What was typed: a subcommand, the checkpoints that it starts from, and the settings of both."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from seglight.checkpoints.checkpoint import PARTS, Checkpoint
from seglight.checkpoints.stored import Stored
from seglight.config.arguments import read_arguments
from seglight.config.parser import with_origins
from seglight.config.resolve import resolve
from seglight.config.settings import Key, Settings
from seglight.console import labelled
from seglight.data.sources.mmseg_datasets import with_class_names
from seglight.errors import CheckpointError, UsageError, say, warn

#: Subcommands that start from a checkpoint and the config in it.
FROM_CHECKPOINT = ('validate', 'test', 'predict')


class Request:
    """A command line, and what its checkpoint brings.

    Args:
        argv: the command line.

    Attributes:
        arguments: the command line, taken apart.
        checkpoint: that the run starts or goes on from, if any.
        more_checkpoints: that predict together with it.
        stored: the settings in the checkpoint that count, none where a config was given to train with.
        settings: the resolved settings, with where each was written.
        trained_on: the `data` of the config in the checkpoint; empty in training.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self.arguments = read_arguments(self.argv)
        self.checkpoint: Checkpoint | None = None
        self.more_checkpoints: list[Checkpoint] = []
        self.stored = Stored(Settings())
        self.settings = Settings()
        self.trained_on: dict[str, Any] = {}

    @property
    def subcommand(self) -> str | None:
        """The subcommand that was typed."""
        return self.arguments.subcommand

    @property
    def wants_help(self) -> bool:
        """Whether the help of a subcommand is printed, and nothing is read."""
        return self.arguments.has('--help', '-h')

    def resolve(self, parser: ArgumentParser, ignored: Callable[[str], bool]) -> None:
        """Find the checkpoint, and lay configs and flags upon the settings in it.

        Args:
            parser: of the subcommand.
            ignored: tells which keys only other commands take.

        Raises:
            UserError: if a file is missing or cannot be used, or a setting is wrong.
        """
        if not self.wants_help:
            self._use_checkpoint()
        self.settings = resolve(self.arguments, parser, self.settings, ignored, with_class_names)
        self.stored.check(self.settings, self._needless())

    def with_origins(self) -> AbstractContextManager[None]:
        """Return what puts before each error where the key that it names was written."""
        return with_origins(self.settings, self.arguments)

    def budget(self) -> AbstractContextManager[None]:
        """Return what bounds the model that a checkpoint describes by the weights in it."""
        described = self.checkpoint if self.stored.settings.values else None
        return described.budget() if described else nullcontext()

    def _use_checkpoint(self) -> None:
        """Find the checkpoint; everything else overrides the config in it."""
        arguments, training = self.arguments, self.subcommand not in FROM_CHECKPOINT
        names = arguments.values('--ckpt_path')
        if not names:
            if training:
                return
            typed = next((flag.value for flag in arguments.flags[1:] if not flag.name), None) or 'exp1/epoch_2.ckpt'
            raise UsageError(f'{self.subcommand} needs a checkpoint, such as --ckpt {typed}')
        name, *others = names[-1:] if training else names
        trust = arguments.has('--trust_checkpoint')
        self.more_checkpoints = [Checkpoint.find(other, trust) for other in others]
        self.checkpoint = Checkpoint.find(name, trust, best=not training)
        arguments.replace('--ckpt_path', str(self.checkpoint))
        if training:
            self._resume_from(self.checkpoint, with_config=not arguments.configs)
        else:
            self._start_from(self.checkpoint, required=not arguments.configs)

    def _resume_from(self, checkpoint: Checkpoint, with_config: bool) -> None:
        """Take the config of a checkpoint that training goes on from, unless one was given."""
        if checkpoint.from_mmseg:
            raise CheckpointError(
                f'{checkpoint} is a checkpoint of mmseg: training cannot resume from it; '
                'use --load-from to load its weights'
            )
        checkpoint.verify()
        if not with_config:
            return
        self.stored = checkpoint.stored(None)
        self.settings = self.stored.settings
        if self.stored.left_out:
            names, config = ', '.join(self.stored.left_out), checkpoint.path.parent / 'config.yaml'
            reason = 'a checkpoint names no class of the trainer and no account'
            cure = f'--config {config} brings it, and is trusted like your own: read that file first'
            rank_zero_only(say)(labelled('Left out', f'{names}: {reason}; {cure}'))

    def _start_from(self, checkpoint: Checkpoint, required: bool) -> None:
        """Take what predictions need of the config of a checkpoint."""
        self.stored = checkpoint.stored(PARTS, required, 'prediction')
        self.settings = self.stored.settings
        self.trained_on = dict(self.settings.values.get('data') or {})
        for what in checkpoint.not_taken_over:
            rank_zero_only(warn)(f"{checkpoint}: not taken over: {what}; metrics may differ from mmseg's")

    def _needless(self) -> set[Key]:
        """Return the sources of data that the subcommand does not read."""
        split = (self.settings.values.get('data') or {}).get('split')
        read = {'predict': ['test'], 'fit': ['train', 'split', 'val']}.get(
            str(self.subcommand), ['train', 'split'] if split else ['val', 'split']
        )
        if self.subcommand == 'predict' and self.arguments.has('--input'):
            read = []
        if self.arguments.has('--pseudo_labels'):
            read.append('train')
        return {('data', name) for name in ('train', 'val', 'test', 'split') if name not in read}
