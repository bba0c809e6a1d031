"""Parse the arguments, assemble a run, and run it."""

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
import yaml
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

import seglight
from seglight import border
from seglight.callbacks import (
    ChosenEnsemble,
    EvaluationRecorder,
    FirstBatchCheck,
    MonitoredFigures,
    ProgressBars,
    RunFolder,
    SameEverywhere,
    SoftVoting,
    TestTimeAugmentation,
)
from seglight.callbacks.console import metrics_table
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.cli import arguments, failures, fit, launched, predict
from seglight.cli.auto_precision import chosen_precision
from seglight.cli.classes import keep_classes
from seglight.cli.help import TRAINER_COMMANDS
from seglight.cli.quiet import quieten
from seglight.cli.request import Request
from seglight.cli.restore import restore_from
from seglight.cli.tools import COMMANDS
from seglight.cli.tools import describe as describe_tool
from seglight.cli.types import register
from seglight.config.class_names import OF_DATA
from seglight.config.parser import argument_types
from seglight.data import SegmentationDataModule
from seglight.environment import describe
from seglight.errors import ConfigError, UsageError, one_line, say, warn
from seglight.files import WORK_DIRS
from seglight.masking import masked_yaml
from seglight.models import Segmentor
from seglight.models.initialising import only_loading
from seglight.models.normalisation import normalisation
from seglight.models.recipe import Recipe
from seglight.report.evaluation import EVALUATIONS
from seglight.report.page import write_report
from seglight.runtimes.opening import label
from seglight.similar import nearest
from seglight.trainer_callbacks import callbacks_of


class CommandLine(LightningCLI):
    """LightningCLI with inherited configs, run folders, and checkpoints that contain their config."""

    def __init__(self, argv: Sequence[str]) -> None:
        quieten()
        register()
        self.request = Request(argv)
        self.class_order: list[int] | None = None  # maps the checkpoint's classes to the data's, if they differ
        self.run_folder: RunFolder | None = None
        self.resumed = False  # whether the run resumes in its own folder
        self.run_config = ''
        self.keys: dict[str, set[str]] = {}  # top-level keys of the subcommands, as far as they were looked up
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
        """Add Lightning's subcommands and, for help and completion, those that need no trainer."""
        super()._add_subcommands(parser, **kwargs)
        commands = parser._subcommands_action
        assert commands
        for name, command in COMMANDS.items():
            tool = LightningArgumentParser(prog=f'seglight {name}')
            describe_tool(name, tool)
            commands.add_subcommand(name, tool, help=command.help)
        for action in commands._choices_actions:
            action.help = TRAINER_COMMANDS.get(action.dest, action.help)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Return the parser of the requested subcommand; for the others, an empty one, which is enough for a list."""
        if subcommand == self.request.subcommand or self.request.arguments.has('--print_completion'):
            return self._whole_parser(klass, subcommand, **kwargs)
        return self.init_parser(**kwargs)

    def _whole_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Return the parser of a subcommand with all its arguments; this takes a tenth of a second."""
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        arguments.add_arguments(parser, subcommand)
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ARG002  (in self.request)
        """Resolve configs, checkpoint and overrides, and let jsonargparse check the result."""
        request = self.request
        if request.subcommand in self._subcommand_parsers:
            request.resolve(self._subcommand_parsers[request.subcommand], self._belongs_to_others)
            if request.arguments.has('--print_config'):  # it does not build the model, which would check the keys
                model = request.settings.values.get('model') or {}
                with request.with_origins():
                    Recipe(model.get('segmentor') or {}).check_keys()
        elif not (request.wants_help or request.arguments.has('--version', '--print_completion')):
            self._refuse(request.subcommand)
        with request.with_origins():
            self.config = parser.parse_args(request.arguments.argv())

    def _refuse(self, command: str | None) -> None:
        """Raise an error that lists the commands."""
        commands = [*self.subcommands(), *COMMANDS]
        choice = f'choose one of {", ".join(commands)} (--help shows more)'
        if not command:
            raise UsageError(f'no command given; {choice}')
        raise UsageError(f"unknown command '{command}'{nearest(command, commands) or ';'} {choice}")

    def _belongs_to_others(self, key: str) -> bool:
        """Return whether only other subcommands have a key, since other commands accept the config of a `fit`."""
        own = str(self.request.subcommand)
        if key in self._keys_of(own):
            return False
        return any(key in self._keys_of(name) for name in self.subcommands() if name != own)

    def _keys_of(self, subcommand: str) -> set[str]:
        """Return the top-level keys of a subcommand, for which the parser of one that was not requested is built."""
        if subcommand not in self.keys:
            requested = subcommand == self.request.subcommand
            parser = self._subcommand_parsers[subcommand] if requested else self._whole_parser(Trainer, subcommand)
            self.keys[subcommand] = _top_keys(parser)
        return self.keys[subcommand]

    def _parse_ckpt_path(self) -> None:
        """Disable Lightning's own use of the checkpoint's hyperparameters, which would override the command line."""

    # Assembling

    def _set_seed(self) -> None:
        """Seed all random numbers.

        Raises:
            ConfigError: for a seed that numpy does not accept.
        """
        try:
            super()._set_seed()
        except ValueError as error:
            raise ConfigError('seed_everything', one_line(error)) from error

    def before_instantiate_classes(self) -> None:
        """Copy the classes to the model and the seed to the data, and find where a run resumes."""
        config = self.config[self.config.subcommand]
        config.trainer.precision = chosen_precision(config.trainer.precision, config.trainer.accelerator)
        with self.request.with_origins():
            arguments.check_paths(config)
        self.class_order = keep_classes(self.request, config.data)
        for name in OF_DATA:
            if config.model[name] not in (None, config.data[name]):
                raise ConfigError(f'model.{name}', f'must be omitted or equal data.{name}, got a different value')
            config.model[name] = config.data[name]
        if config.get('input'):
            config.data.test = predict.input_source(Path(config.input), self.output_folder)
        if isinstance(config.seed_everything, int) and not isinstance(config.seed_everything, bool):
            config.data.seed = config.seed_everything
        with self.request.with_origins():
            recipe = Recipe(config.model.segmentor).self_contained()  # the stored config then contains their values
            model = config.model
            model.segmentor, (model.mean, model.std) = recipe.model, normalisation(recipe, model.mean, model.std)
        if self.subcommand == 'fit':
            self.run_config = self.resolved_config()
            fit.check_no_ray(config)
            self.resumed = fit.find_start(self.request, config, self.run_config)
            if config.ckpt_path or config.load_from:  # these contain the weights: fetch none
                config.model.segmentor = recipe.without_pretrained().model

    def instantiate_classes(self) -> None:
        """Build data, model and trainer."""
        with self.request.with_origins():
            arguments.check_trainer(str(self.subcommand), self.config[self.subcommand].trainer)
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
        callbacks = [SameEverywhere(), *self._own_callbacks(config)]
        self.trainer_defaults = {'callbacks': callbacks}
        if config.trainer.logger in (None, True):
            kwargs['logger'] = False
        bars = config.trainer.enable_progress_bar
        kwargs |= launched.trainer_arguments(config.trainer)
        kwargs['enable_progress_bar'] = bars = sys.stdout.isatty() if bars is None else bars
        if bars and not any(isinstance(callback, ProgressBar) for callback in config.trainer.callbacks or []):
            callbacks.append(ProgressBars())
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, ImportError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise failures.explain_trainer(error) from error
        if self.subcommand == 'fit':
            # Before the callbacks that create the run's folder, and those whose monitors are checked.
            callbacks_of(trainer)[:0] = [FirstBatchCheck(), MonitoredFigures()]
        return trainer

    def _own_callbacks(self, config: Namespace) -> list[Callback]:
        """Return the callbacks that a subcommand always has, and those that its arguments request."""
        writes_files = not config.trainer.fast_dev_run
        if self.subcommand == 'fit':
            if writes_files:
                self.run_folder = self._run_folder(config)
                self.recorder = EvaluationRecorder()
                config.wandb.tags += config.tags
            return fit.training_callbacks(self.run_folder, self.recorder, config.trainer.logger is not False)
        request = self.request
        callbacks: list[Callback] = []
        if request.ensemble:
            callbacks.append(ChosenEnsemble(request.ensemble, config.trust_checkpoint))
        elif request.more_checkpoints or config.ckpt_weights:
            paths = [str(each) for each in request.more_checkpoints]
            callbacks.append(SoftVoting(paths, config.ckpt_weights, config.trust_checkpoint))
        if self.subcommand == 'predict':
            assert request.checkpoint
            plain, checkpoints = self.config[self.subcommand], [request.checkpoint, *request.more_checkpoints]
            settings = yaml.safe_load(self._dump(plain))
            callbacks += predict.prediction_callbacks(plain, checkpoints, self.output_folder, settings)
        elif writes_files:
            self.recorder = EvaluationRecorder(self.evaluation_file)
            callbacks.append(self.recorder)
        if config.aug_test:
            callbacks.append(TestTimeAugmentation(arguments.AUG_TEST_SCALES))
        return callbacks

    def _run_folder(self, config: Namespace) -> RunFolder:
        """Return the callback that creates the folder of this run."""
        log, command = config.trainer.logger is not False, ['seglight', *self.request.argv]
        return RunFolder(
            self.run_config, config.work_dir, str(WORK_DIRS), describe(command), log=log, resumed=self.resumed
        )

    def resolved_config(self) -> str:
        """Return the whole config as YAML for `--config`, without secrets and without the folder of this run."""
        config = self.config[self.subcommand].clone()
        config.work_dir = config.ckpt_path = None
        config.auto_resume = config.trust_checkpoint = False
        for name in OF_DATA:  # only in the data, so that users change them only once
            config.model[name] = None
        return self._dump(config)

    def _dump(self, config: Namespace) -> str:
        """Return a config of the subcommand as YAML, without secrets."""
        text: str = self._parser(self.subcommand).dump(config, skip_unset=False, skip_link_targets=False)
        return masked_yaml(text)

    @property
    def output_folder(self) -> Path:
        """The folder for predictions."""
        return predict.output_folder(self.config[self.subcommand])

    @property
    def evaluation_file(self) -> Path:
        """The file, next to the checkpoint, for the results of `validate` or `test`."""
        checkpoint = Path(self._get(self.config, 'ensemble') or self._get(self.config, 'ckpt_path'))
        return checkpoint.parent / EVALUATIONS / f'{self.subcommand}_{label(checkpoint)}.npz'

    # Running

    def before_fit(self) -> None:
        """Load weights from another file, or reject a checkpoint at its run's end, unless --auto-resume found it."""
        config, checkpoint = self.config[self.subcommand], self.request.checkpoint
        fit.check_finder(self.trainer, self.model.schedule)
        if checkpoint:
            fit.check_continuation(checkpoint, self.trainer, self.model, config.auto_resume)
        elif config.load_from:
            fit.take_weights(self.model, Checkpoint.find(config.load_from, config.trust_checkpoint, mapped=True))

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Pass the checkpoint, which is already read, to the trainer before Lightning restores it."""
        if self.request.checkpoint:
            restore_from(self.trainer, self.request.checkpoint, subcommand == 'fit')
        return super()._prepare_subcommand_kwargs(subcommand)

    def _run_subcommand(self, subcommand: str) -> None:
        """Run a subcommand.

        Raises:
            KeyboardInterrupt: after Ctrl-C, where Lightning would exit with the status of a failure.
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
        """Print the folder of the run, its metrics, and the command to predict with it."""
        if not self.trainer.is_global_zero:
            return
        if not self.run_folder:
            say(fit.tried(self.trainer))
            return
        kept = (self._get(self.config_init, name) for name in ('best_checkpoint', 'checkpoint'))
        say('\n'.join(fit.summary(self.trainer, self.run_folder, *kept)))
        self._report()

    def after_validate(self) -> None:
        """Show the metrics."""
        self._show('val')

    def after_test(self) -> None:
        """Show the metrics."""
        self._show('test')

    def after_predict(self) -> None:
        """Print a summary, and raise an error if images could not be predicted."""
        if self.trainer.is_global_zero:
            say('\n'.join(predict.summary(self.trainer, self.model.classes, self.output_folder)))
        predict.check_failed(self.trainer)

    def _show(self, stage: str) -> None:
        if self.trainer.is_global_zero:
            say(metrics_table(self.trainer.callback_metrics, stage, self.model.unseen))
            self._report()

    def _report(self) -> None:
        """Write the report page, and print its path."""
        file = self.recorder.file if self.recorder and self._get(self.config, 'report') else None
        if file is None:
            return
        try:
            say(labelled('Report', write_report(file.parents[1], file.stem)))
        except Exception as error:  # whatever it is, the run is done and its metrics are printed
            if border.debugs(self.request.argv):
                traceback.print_exc()
            warn(f'the report cannot be written: {one_line(error) or type(error).__name__}; --debug shows why')


def _top_keys(parser: LightningArgumentParser) -> set[str]:
    """Return the top-level groups and keys of a subcommand."""
    return {key[0] for key in argument_types(parser)}
