"""The command line: the only module that knows every other."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

import seglight
from seglight.callbacks import (
    BestCheckpoint,
    EpochCheckpoint,
    EpochLines,
    EvaluationRecorder,
    MaskWriter,
    ProgressBars,
    RunFolder,
    WandbRun,
)
from seglight.callbacks.console import metrics_table
from seglight.config.arguments import Arguments, Flag, read_arguments
from seglight.config.checkpoint import PARTS, find_checkpoint, read_checkpoint, stored_settings
from seglight.config.explain import explain, written
from seglight.config.files import find_config, load_config
from seglight.config.keys import argument_types, is_plain, prefer_int_to_float
from seglight.config.options import add_options, expand_options
from seglight.config.overrides import apply_overrides, check_flags, check_keys, take_overrides
from seglight.config.settings import Settings, nearest
from seglight.config.zoo import ZOO, ZOO_SCHEDULE, expand
from seglight.data import SegmentationDataModule
from seglight.environment import describe
from seglight.errors import CheckpointError, ConfigError, one_line
from seglight.files import WORK_DIRS
from seglight.models import Segmentor
from seglight.report.evaluation import EVALUATIONS
from seglight.report.page import write_report
from seglight.tools import COMMANDS

#: What the model takes from the data, so that it is said once.
FROM_DATA = ('classes', 'palette', 'ignore_index')

_ZOO_HELP = 'Name of a config of mmseg (`seglight zoo` lists them) or the path of a .py file, which'

#: Subcommands that start from a checkpoint and the config in it.
FROM_CHECKPOINT = ('validate', 'test', 'predict')


class CommandLine(LightningCLI):
    """LightningCLI with inherited configs, run folders, and checkpoints that bring their config."""

    def __init__(self, argv: Sequence[str]) -> None:
        _quieten()
        self.argv = list(argv)
        self.checkpoint: Path | None = None
        self.settings = Settings()
        self.arguments = Arguments()
        self.run_folder: RunFolder | None = None
        self.recorder: EvaluationRecorder | None = None
        self.writer: MaskWriter | None = None
        subparsers: dict[str, Any] = {name: {'exit_on_error': False} for name in self.subcommands()}
        super().__init__(
            Segmentor,
            SegmentationDataModule,
            save_config_callback=None,  # RunFolder does that
            seed_everything_default=42,
            auto_configure_optimizers=False,
            parser_kwargs={
                'exit_on_error': False,
                'prog': 'seglight',
                'description': 'Train and run the segmentors of mmsegmentation with PyTorch Lightning.',
                'epilog': 'Beside these: ' + ' '.join(f'{name}: {text}' for name, text in COMMANDS.items()),
                'version': seglight.__version__,
                **subparsers,
            },
            args=self.argv,
        )

    # What each subcommand takes

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        prefer_int_to_float(parser)
        parser.add_argument('--model.zoo', type=str | None, help=f'{_ZOO_HELP} fills model.segmentor.')
        parser.add_argument(
            '--model.zoo_schedule',
            type=str | bool | None,
            help=f'{_ZOO_HELP} sets optimizer, schedule and length of the run; true for that of model.zoo.',
        )
        add_options(parser, subcommand)
        if subcommand == 'fit':
            parser.add_argument(
                '--load_from', type=str | None, help='Checkpoint to take weights from, and nothing else (fine-tuning).'
            )
            parser.add_argument('--tags', type=list[str], default=[], help='Words to find the run by, as in W&B.')
            parser.add_argument(
                '--work_dir', type=str | None, help=f'Folder of the run, by default the next free {WORK_DIRS}/exp{{N}}.'
            )
            parser.add_lightning_class_args(EpochCheckpoint, 'checkpoint')
            parser.add_lightning_class_args(BestCheckpoint, 'best_checkpoint')
            parser.add_lightning_class_args(WandbRun, 'wandb')
        # A checkpoint is data from outside: never unpickle it.
        parser.set_defaults({'weights_only': True})
        if subcommand != 'predict':
            parser.add_argument(
                '--report', type=bool, default=True, help='Write a page of figures and images at the end.'
            )
        if subcommand in ('validate', 'test'):
            parser.set_defaults({'verbose': False})  # its table is printed below, with classes by name
        if subcommand == 'predict':
            parser.add_argument(
                '--output', type=str | None, help='Folder of the masks, by default predictions/{checkpoint} in the run.'
            )
            parser.add_argument('--overlays', action='store_true', help='Write colour overlays too.')
            parser.set_defaults({'return_predictions': False})
        return parser

    # From the command line to one resolved config

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Resolve configs, checkpoint and overrides, and give jsonargparse the result to check."""
        arguments = self.arguments = read_arguments(args)
        subcommand = arguments.subcommand
        if subcommand in self._subcommand_parsers:
            self._resolve(arguments, self._subcommand_parsers[subcommand])
            resolved = yaml.safe_dump(self.settings.values, sort_keys=False)
            arguments.flags.insert(1, Flag('--config', resolved, '--config'))
        elif not arguments.has('--help', '-h', '--version'):
            commands = [*self.subcommands(), *COMMANDS]
            wrong = f"'{subcommand}' is no command{nearest(subcommand, commands)}" if subcommand else ''
            raise ConfigError(f'{wrong or "name a command"} ({", ".join(commands)}; --help shows more)')
        try:
            self.config = parser.parse_args(arguments.argv())
        except ArgumentError as error:
            raise ConfigError(explain(str(error), self.settings, arguments)) from error

    def _resolve(self, arguments: Arguments, parser: LightningArgumentParser) -> None:
        """Set `settings` to what the checkpoint, the configs and the nested overrides say together."""
        expand_options(arguments, argument_types(parser))
        if not arguments.has('--help', '-h'):
            self._use_checkpoint(arguments)
        for name in arguments.configs:
            self.settings = self.settings.merged_with(load_config(find_config(name)))
        types = argument_types(parser)
        zoo = take_overrides(arguments, frozenset({ZOO, ZOO_SCHEDULE}))
        self.settings = self.settings.merged_with(expand(apply_overrides(Settings(), zoo), self.settings))
        # A run's config says things that only `fit` takes; other commands may be given the same file.
        everywhere = {key[0] for other in self._subcommand_parsers.values() for key in argument_types(other)}
        self.settings = self.settings.without(everywhere - {key[0] for key in types})
        overrides = take_overrides(arguments, frozenset(key for key, hint in types.items() if is_plain(hint)))
        self.settings = apply_overrides(self.settings, overrides)
        for key in (ZOO, ZOO_SCHEDULE):  # what they say is in the model by now
            self.settings.values.get(key[0], {}).pop(key[1], None)
        options = frozenset(option for action in parser._actions for option in action.option_strings)
        check_flags(arguments, options, frozenset(types))
        check_keys(self.settings, frozenset(types))

    def _use_checkpoint(self, arguments: Arguments) -> None:
        """Find the checkpoint; the config in it is what all else is laid upon."""
        name = arguments.value('--ckpt_path')
        training = arguments.subcommand not in FROM_CHECKPOINT
        if name is None:
            if training:
                return
            typed = next((flag.value for flag in arguments.flags[1:] if not flag.name), None) or 'exp1/epoch_2.ckpt'
            raise ConfigError(f'{arguments.subcommand} needs a checkpoint, such as --ckpt {typed}')
        self.checkpoint = find_checkpoint(name, WORK_DIRS, best=not training)
        arguments.replace('--ckpt_path', str(self.checkpoint))
        given = bool(arguments.configs)
        if training and given:
            read_checkpoint(self.checkpoint)  # only to refuse a bad one; the config that was given counts
        else:
            parts = None if training else PARTS
            self.settings = stored_settings(self.checkpoint, parts, required=not given)

    def _parse_ckpt_path(self) -> None:
        """Leave out Lightning's own reading of a checkpoint, which would win over the command line."""

    def before_instantiate_classes(self) -> None:
        """Let the model know the classes of the data, and the data the seed."""
        config = self.config[self.config.subcommand]
        for key in (ZOO, ZOO_SCHEDULE):
            config.pop('.'.join(key))
        for name in FROM_DATA:
            if config.model[name] not in (None, config.data[name]):
                message = f'model.{name} and data.{name} differ; give the latter alone'
                raise ConfigError(message, ('model', name))
            config.model[name] = config.data[name]
        if isinstance(config.seed_everything, int) and not isinstance(config.seed_everything, bool):
            config.data.seed = config.seed_everything

    # Running

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; what is wrong in a config is told with its file and line."""
        try:
            super().instantiate_classes()
        except ConfigError as error:
            origin = f'{written(".".join(error.key), self.settings, self.arguments)}: ' if error.key else ''
            raise ConfigError(f'{origin}{error}') from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with the callbacks that each subcommand always has."""
        config = self.config_init[self.subcommand]
        callbacks: list[Callback] = []
        if config.trainer.enable_checkpointing is False:
            self._parser('fit').callback_keys[:] = ['wandb'] * (self.subcommand == 'fit')
        if self.subcommand == 'fit' and not config.trainer.fast_dev_run:  # which leaves no traces
            self.run_folder = RunFolder(
                self.resolved_config(),
                config.work_dir,
                str(WORK_DIRS),
                describe(['seglight', *self.argv]),
                log=config.trainer.logger is not False,
            )
            config.wandb.tags += config.tags
            self.recorder = EvaluationRecorder()
            callbacks = [self.run_folder, self.recorder, EpochLines()]
            if config.trainer.logger is not False:
                callbacks.append(LearningRateMonitor(logging_interval='step'))
        elif self.subcommand in ('validate', 'test') and not config.trainer.fast_dev_run:
            self.recorder = EvaluationRecorder(self.evaluation_file)
            callbacks = [self.recorder]
        elif self.subcommand == 'predict':
            self.writer = MaskWriter(self.output_folder, overlays=config.overlays)
            callbacks = [self.writer]
        self.trainer_defaults = {'callbacks': callbacks}
        if config.trainer.logger in (None, True):
            kwargs['logger'] = False
        bars = config.trainer.enable_progress_bar
        kwargs['enable_progress_bar'] = bars = sys.stdout.isatty() if bars is None else bars
        if bars and not any(isinstance(callback, ProgressBar) for callback in config.trainer.callbacks or []):
            callbacks.append(ProgressBars())
        try:
            return super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
            raise ConfigError(f'trainer: {one_line(error)}') from error

    def before_fit(self) -> None:
        """Go on with the epoch after the checkpoint's, unless it is at its end already."""
        done = read_checkpoint(self.checkpoint).get('epoch', -1) + 1 if self.checkpoint else 0
        epochs = self.trainer.max_epochs
        self.datamodule.first_epoch = done
        if self.checkpoint and epochs is not None and 0 <= epochs <= done:
            raise ConfigError(
                f'{self.checkpoint} is at epoch {done} of {epochs} already; raise --trainer.max_epochs to go on'
            )

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; weights that do not fit the model are an error of the user's.

        Raises:
            KeyboardInterrupt: where Lightning, after Ctrl-C, would exit like after a failure.
        """
        try:
            super()._run_subcommand(subcommand)
        except SystemExit:
            if not self.trainer.interrupted:
                raise
            raise KeyboardInterrupt(*([self.run_folder.summary()] if self.run_folder else [])) from None
        except MisconfigurationException as error:
            raise ConfigError(one_line(error)) from error
        except RuntimeError as error:
            if 'Error(s) in loading state_dict' not in str(error):
                raise
            reasons = [line.strip() for line in str(error).splitlines()[1:]]
            more = f' (and {len(reasons) - 1} more)' if len(reasons) > 1 else ''
            raise CheckpointError(f'{self.checkpoint} does not fit the model: {reasons[0]}{more}') from error

    def resolved_config(self) -> str:
        """Return the whole config as YAML that `--config` takes again, in a run folder of its own."""
        config = self.config[self.subcommand].clone()
        config.work_dir = config.ckpt_path = None
        for name in FROM_DATA:  # said once, so that changing it once is enough
            config.model[name] = None
        text: str = self._parser(self.subcommand).dump(config, skip_none=False, skip_link_targets=False)
        return text

    @property
    def output_folder(self) -> Path:
        """The folder that predictions are written to."""
        output = self._get(self.config, 'output')
        checkpoint = Path(self._get(self.config, 'ckpt_path'))
        return Path(output) if output else checkpoint.parent / 'predictions' / checkpoint.stem

    def after_fit(self) -> None:
        """Say where the run lies, how good it is, and what to type next."""
        if not self.run_folder or not self.trainer.is_global_zero:
            return
        best = self._get(self.config_init, 'best_checkpoint')
        checkpoint = best.best_model_path or self._get(self.config_init, 'checkpoint').best_model_path
        lines = [metrics_table(self.trainer.callback_metrics, 'val'), f'Run        {self.run_folder.folder}']
        if best.best_model_score is not None:
            lines.append(f'Best {best.metric}  {100 * best.best_model_score:.2f} %  ({Path(checkpoint).name})')
        if checkpoint:
            command = os.environ.get('SEGLIGHT_COMMAND', 'python -m seglight')
            path = shlex.quote(os.path.relpath(checkpoint))
            lines.append(f'Predict    {command} predict --ckpt {path} --overlays')
        print('\n'.join(lines))
        self._report()

    def after_validate(self) -> None:
        """Show the figures."""
        self._show('val')

    def after_test(self) -> None:
        """Show the figures."""
        self._show('test')

    def _show(self, stage: str) -> None:
        if self.trainer.is_global_zero:
            print(metrics_table(self.trainer.callback_metrics, stage))
            self._report()

    @property
    def evaluation_file(self) -> Path:
        """The file, beside the checkpoint, of what `validate` or `test` measures."""
        checkpoint = Path(self._get(self.config, 'ckpt_path'))
        return checkpoint.parent / EVALUATIONS / f'{self.subcommand}_{checkpoint.stem}.npz'

    def _report(self) -> None:
        """Write the page of what was measured, and say where it lies."""
        if self.recorder and self.recorder.evaluation and self.recorder.file and self._get(self.config, 'report'):
            page = write_report(self.recorder.file.parents[1], self.recorder.file.stem)
            print(f'Report     {page}')

    def after_predict(self) -> None:
        """Say where the masks lie."""
        if self.writer and self.trainer.is_global_zero:
            count = self.writer.written
            print(f'{count} mask{"s" * (count != 1)} in {self.writer.folder / "masks"}')


def _quieten() -> None:
    """Silence what Lightning tells every user of every run and nobody can act upon."""
    for name in ('pytorch_lightning.utilities.rank_zero', 'lightning_fabric.utilities.seed'):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        '.*does not have many workers',
        'Checkpoint directory .* exists and is not empty',  # config.yaml is in it
        'Experiment logs directory .* exists and is not empty',
        'Be aware that when using `ckpt_path`',  # predicting needs no checkpoint callbacks
        'The number of training batches .* is smaller than the logging interval',
        '.*isinstance.treespec, LeafSpec.. is deprecated',  # Lightning 2.6 on torch 2.13
    ):
        warnings.filterwarnings('ignore', message=message)
