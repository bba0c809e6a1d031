"""The command line: parsing what was typed, assembling a run, and running it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)
from seglight.console import labelled

# isort: split
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

import seglight
from seglight import border
from seglight.callbacks import (
    EvaluationRecorder,
    MonitoredFigures,
    ProgressBars,
    RunFolder,
    SoftVoting,
    TestTimeAugmentation,
)
from seglight.callbacks.console import metrics_table
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.cli import arguments, failures, fit, predict
from seglight.cli.classes import keep_classes
from seglight.cli.quiet import quieten
from seglight.cli.request import Request
from seglight.cli.restore import restore_from
from seglight.cli.tools import COMMANDS
from seglight.cli.tools import describe as describe_tool
from seglight.cli.types import register
from seglight.config.parser import argument_types
from seglight.config.settings import nearest
from seglight.data import SegmentationDataModule
from seglight.environment import describe
from seglight.errors import ConfigError, UsageError, one_line, say, warn
from seglight.files import WORK_DIRS
from seglight.masking import masked_yaml
from seglight.models import Segmentor
from seglight.models.initialising import only_loading
from seglight.models.recipe import Recipe
from seglight.report.evaluation import EVALUATIONS
from seglight.report.page import write_report

#: What the model takes from the data, so that it is given only once.
FROM_DATA = ('classes', 'palette', 'ignore_index')


class CommandLine(LightningCLI):
    """LightningCLI with inherited configs, run folders, and checkpoints that bring their config."""

    def __init__(self, argv: Sequence[str]) -> None:
        quieten()
        register()
        self.request = Request(argv)
        self.class_order: list[int] | None = None  # of the checkpoint's classes, where the data have another
        self.run_folder: RunFolder | None = None
        self.resumed = False  # whether the run goes on in its own folder
        self.run_config = ''
        self.other_keys: dict[str, set[str]] = {}  # top-level keys of subcommands that were not typed
        self.recorder: EvaluationRecorder | None = None
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
                'version': seglight.__version__,
                **subparsers,
            },
            args=self.request.argv,
        )

    # Parsing

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        """Add Lightning's subcommands, and for help and completion those that need no trainer."""
        super()._add_subcommands(parser, **kwargs)
        commands = parser._subcommands_action
        assert commands
        for name, command in COMMANDS.items():
            tool = LightningArgumentParser(prog=f'seglight {name}')
            describe_tool(name, tool)
            commands.add_subcommand(name, tool, help=command.help)
        for action in commands._choices_actions:
            action.help = arguments.TRAINER_COMMANDS.get(action.dest, action.help)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Return the parser of a subcommand; if it was not typed, an empty one, which is enough for a list."""
        if subcommand == self.request.subcommand or self.request.arguments.has('--print_completion'):
            return self._whole_parser(klass, subcommand, **kwargs)
        return self.init_parser(**kwargs)

    def _whole_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Return the parser of a subcommand with all its arguments, which takes a tenth of a second."""
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        arguments.add_arguments(parser, subcommand)
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ARG002  (read before)
        """Resolve configs, checkpoint and overrides, and give jsonargparse the result to check."""
        request = self.request
        if request.subcommand in self._subcommand_parsers:
            request.resolve(self._subcommand_parsers[request.subcommand], self._is_of_others)
            if request.arguments.has('--print_config'):  # which builds nothing that would tell
                model = request.settings.values.get('model') or {}
                with request.with_origins():
                    Recipe(model.get('segmentor') or {}).check_keys()
        elif not request.arguments.has('--help', '-h', '--version', '--print_completion'):
            self._refuse(request.subcommand)
        with request.with_origins():
            self.config = parser.parse_args(request.arguments.argv())

    def _refuse(self, command: str | None) -> None:
        """End with the commands that exist."""
        commands = [*self.subcommands(), *COMMANDS]
        choice = f'choose one of {", ".join(commands)} (--help shows more)'
        if not command:
            raise UsageError(f'no command given; {choice}')
        raise UsageError(f"unknown command '{command}'{nearest(command, commands) or ';'} {choice}")

    def _is_of_others(self, key: str) -> bool:
        """Tell whether only other subcommands take a key: a run's config may be given to commands other than `fit`."""
        own = str(self.request.subcommand)
        if key in _top_keys(self._subcommand_parsers[own]):
            return False
        return any(key in self._keys_of(name) for name in self.subcommands() if name != own)

    def _keys_of(self, subcommand: str) -> set[str]:
        """Return the top-level keys of another subcommand, whose parser is built for them, once."""
        if subcommand not in self.other_keys:
            self.other_keys[subcommand] = _top_keys(self._whole_parser(Trainer, subcommand))
        return self.other_keys[subcommand]

    def _parse_ckpt_path(self) -> None:
        """Leave out Lightning's own reading of a checkpoint, which would win over the command line."""

    # Assembling

    def _set_seed(self) -> None:
        """Seed all random numbers.

        Raises:
            ConfigError: for a seed that numpy does not take.
        """
        try:
            super()._set_seed()
        except ValueError as error:
            raise ConfigError('seed_everything', one_line(error)) from error

    def before_instantiate_classes(self) -> None:
        """Copy the classes to the model and the seed to the data, and find where a run goes on."""
        config = self.config[self.config.subcommand]
        self.class_order = keep_classes(self.request, config.data)
        for name in FROM_DATA:
            if config.model[name] not in (None, config.data[name]):
                raise ConfigError(f'model.{name}', f'must be left out, or be that of data.{name}, got another')
            config.model[name] = config.data[name]
        if config.get('input'):
            config.data.test = predict.input_source(Path(config.input), self.output_folder)
        if isinstance(config.seed_everything, int) and not isinstance(config.seed_everything, bool):
            config.data.seed = config.seed_everything
        with self.request.with_origins():
            recipe = Recipe(config.model.segmentor).with_read_weights()  # the config then needs no file of them
        config.model.segmentor = recipe.model
        if self.subcommand == 'fit':
            self.run_config = self.resolved_config()
            self.resumed = fit.find_start(self.request, config, self.run_config)
            if config.ckpt_path or config.load_from:  # which have the weights, so that none are fetched
                config.model.segmentor = recipe.without_pretrained().model

    def instantiate_classes(self) -> None:
        """Build data, model and trainer."""
        with self.request.with_origins():
            if self.subcommand == 'fit':
                fit.check_trainer(self.config['fit'].trainer)
            weights = nullcontext() if self.subcommand == 'fit' else only_loading()
            with failures.building_explained(), self.request.budget(), weights:
                super().instantiate_classes()
            if self.class_order:
                self.model.reorder(self.class_order)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with the callbacks that each subcommand always has."""
        config = self.config_init[self.subcommand]
        if config.trainer.enable_checkpointing is False and self.subcommand == 'fit':
            self._parser('fit').callback_keys[:] = ['wandb']
        callbacks = self._own_callbacks(config)
        self.trainer_defaults = {'callbacks': callbacks}
        if config.trainer.logger in (None, True):
            kwargs['logger'] = False
        bars = config.trainer.enable_progress_bar
        kwargs['enable_progress_bar'] = bars = sys.stdout.isatty() if bars is None else bars
        if bars and not any(isinstance(callback, ProgressBar) for callback in config.trainer.callbacks or []):
            callbacks.append(ProgressBars())
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, ImportError, TypeError, ValueError, RuntimeError) as error:
            raise failures.explain_trainer(error) from error
        if self.subcommand == 'fit':
            trainer.callbacks.insert(0, MonitoredFigures())  # type: ignore[attr-defined]  # before those that it checks
        return trainer

    def _own_callbacks(self, config: Namespace) -> list[Callback]:
        """Return the callbacks that a subcommand always has, and those that its arguments ask for."""
        traces = not config.trainer.fast_dev_run  # which leaves none
        if self.subcommand == 'fit':
            if traces:
                self.run_folder = self._run_folder(config)
                self.recorder = EvaluationRecorder()
                config.wandb.tags += config.tags
            return fit.training_callbacks(self.run_folder, self.recorder, config.trainer.logger is not False)
        request = self.request
        callbacks: list[Callback] = []
        if request.more_checkpoints or config.ckpt_weights:
            others = [str(each) for each in request.more_checkpoints]
            callbacks.append(SoftVoting(others, config.ckpt_weights, config.trust_checkpoint))
        if self.subcommand == 'predict':
            assert request.checkpoint
            plain = self.config[self.subcommand]
            callbacks += predict.prediction_callbacks(plain, request.checkpoint, self.output_folder)
        elif traces:
            self.recorder = EvaluationRecorder(self.evaluation_file)
            callbacks.append(self.recorder)
        if config.aug_test:
            callbacks.append(TestTimeAugmentation(arguments.AUG_TEST_SCALES))
        return callbacks

    def _run_folder(self, config: Namespace) -> RunFolder:
        """Return what makes the folder of this run."""
        log, command = config.trainer.logger is not False, ['seglight', *self.request.argv]
        return RunFolder(
            self.run_config, config.work_dir, str(WORK_DIRS), describe(command), log=log, resumed=self.resumed
        )

    def resolved_config(self) -> str:
        """Return the whole config without secrets, as YAML that `--config` takes again, in a run folder of its own."""
        config = self.config[self.subcommand].clone()
        config.work_dir = config.ckpt_path = None
        config.auto_resume = config.trust_checkpoint = False
        for name in FROM_DATA:  # said once, so that changing it once is enough
            config.model[name] = None
        text: str = self._parser(self.subcommand).dump(config, skip_none=False, skip_link_targets=False)
        return masked_yaml(text)

    @property
    def output_folder(self) -> Path:
        """The folder that predictions are written to."""
        config = self.config[self.subcommand]
        return Path(config.output or predict.default_folder(Path(config.ckpt_path), config.input))

    @property
    def evaluation_file(self) -> Path:
        """The file, beside the checkpoint, of what `validate` or `test` measures."""
        checkpoint = Path(self._get(self.config, 'ckpt_path'))
        return checkpoint.parent / EVALUATIONS / f'{self.subcommand}_{checkpoint.stem}.npz'

    # Running

    def before_fit(self) -> None:
        """Take weights from another file, or refuse a checkpoint at its run's end, unless --auto-resume found it."""
        config, checkpoint = self.config[self.subcommand], self.request.checkpoint
        fit.check_finder(self.trainer, self.model.schedule)
        if checkpoint:
            fit.check_continuation(checkpoint, self.trainer, self.model, config.auto_resume)
        elif config.load_from:
            fit.take_weights(self.model, Checkpoint.find(config.load_from), config.trust_checkpoint)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Hand over the checkpoint that was read, before Lightning restores it."""
        if self.request.checkpoint:
            restore_from(self.trainer, self.request.checkpoint, subcommand == 'fit')
        return super()._prepare_subcommand_kwargs(subcommand)

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it.

        Raises:
            KeyboardInterrupt: where Lightning, after Ctrl-C, would exit like after a failure.
        """
        try:
            with (
                failures.running_explained(self.trainer, self.request.checkpoint),
                self.request.with_origins(),
                failures.reported(self.trainer),
            ):
                super()._run_subcommand(subcommand)
        except SystemExit:
            if not self.trainer.interrupted:
                raise
            raise KeyboardInterrupt(*([self.run_folder.summary()] if self.run_folder else [])) from None

    def after_fit(self) -> None:
        """Print where the run lies, how good it is, and what to type next."""
        if not self.trainer.is_global_zero:
            return
        if not self.run_folder:
            say(fit.tried(self.trainer))
            return
        kept = (self._get(self.config_init, name) for name in ('best_checkpoint', 'checkpoint'))
        say('\n'.join(fit.summary(self.trainer, self.run_folder, *kept)))
        self._report()

    def after_validate(self) -> None:
        """Show the figures."""
        self._show('val')

    def after_test(self) -> None:
        """Show the figures."""
        self._show('test')

    def after_predict(self) -> None:
        """Print what was written, and end like after an error if there were files that could not be predicted."""
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        if self.trainer.is_global_zero:
            say('\n'.join(predict.summary(callbacks, self.model.classes, self.output_folder)))
        predict.check_failed(callbacks)

    def _show(self, stage: str) -> None:
        if self.trainer.is_global_zero:
            say(metrics_table(self.trainer.callback_metrics, stage, self.model.unseen))
            self._report()

    def _report(self) -> None:
        """Write the page of what was measured, and print where it lies."""
        file = self.recorder.file if self.recorder and self._get(self.config, 'report') else None
        if file is None:
            return
        try:
            say(labelled('Report', write_report(file.parents[1], file.stem)))
        except Exception as error:  # whatever it is, the run is done and its figures are printed
            if border.debugs(self.request.argv):
                traceback.print_exc()
            warn(f'the report cannot be written: {one_line(error) or type(error).__name__}; --debug shows why')


def _top_keys(parser: LightningArgumentParser) -> set[str]:
    """Return the groups and keys at the top of what a subcommand takes."""
    return {key[0] for key in argument_types(parser)}
