"""The command line: the only module that knows every other."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_only

import seglight
from seglight.callbacks import (
    EvaluationRecorder,
    MonitoredFigures,
    ProgressBars,
    RunFolder,
    SoftVoting,
    TestTimeAugmentation,
)
from seglight.callbacks.auto_resume import find_continuation
from seglight.callbacks.console import metrics_table
from seglight.checkpoints.checkpoint import PARTS, Checkpoint
from seglight.checkpoints.load import load_weights
from seglight.checkpoints.stored import Stored
from seglight.cli import fit, predict
from seglight.cli.restore import restore_from
from seglight.config.arguments import Arguments, read_arguments
from seglight.config.class_names import difference, order_of
from seglight.config.mmseg.options import add_options
from seglight.config.parser import argument_types, explain, prefer_int_to_float, written
from seglight.config.resolve import resolve
from seglight.config.settings import Key, Settings, nearest
from seglight.config.types import register
from seglight.data import SegmentationDataModule
from seglight.data.sources.mmseg_datasets import with_class_names
from seglight.environment import describe
from seglight.errors import CheckpointError, ConfigError, UsageError, UserError, one_line, warn
from seglight.files import WORK_DIRS
from seglight.masking import masked_yaml
from seglight.models import Segmentor, building
from seglight.models.checks import explain_first_batch
from seglight.models.class_weights import with_read_weights
from seglight.models.pretrained import without_pretrained
from seglight.report.evaluation import EVALUATIONS
from seglight.report.page import write_report
from seglight.tools import COMMANDS
from seglight.tools import describe as describe_tool

#: What the model takes from the data, so that it is given only once.
FROM_DATA = ('classes', 'palette', 'ignore_index')

#: What Lightning's subcommands do here.
TRAINER_COMMANDS = {
    'fit': 'Train and validate a model, and keep its checkpoints in a run folder.',
    'validate': 'Evaluate a checkpoint on the validation data.',
    'test': 'Evaluate a checkpoint likewise, and log its metrics as test/.',
    'predict': 'Write the masks that a checkpoint predicts.',
}

#: Scales of the views of mmseg's `test.py --aug-test`.
AUG_TEST_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)

#: What `--trust-checkpoint` opens.
TRUST_HELP = (
    'Let your own checkpoint name classes of any package, and unpickle everything in the file of --load-from: '
    'both execute code.'
)

#: Subcommands that start from a checkpoint and the config in it.
FROM_CHECKPOINT = ('validate', 'test', 'predict')


class CommandLine(LightningCLI):
    """LightningCLI with inherited configs, run folders, and checkpoints that bring their config."""

    def __init__(self, argv: Sequence[str]) -> None:
        _quieten()
        register()
        self.argv = list(argv)
        self.arguments = read_arguments(self.argv)
        self.checkpoint: Checkpoint | None = None
        self.settings = Settings()
        self.stored = Stored(Settings())
        self.trained_on: dict[str, Any] = {}  # the `data` of the config in the checkpoint
        self.class_order: list[int] | None = None  # of the checkpoint's classes, where the data have another
        self.run_folder: RunFolder | None = None
        self.resumed = False  # whether the run goes on in its own folder
        self.run_config = ''
        self.more_checkpoints: list[Checkpoint] = []
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
            args=self.argv,
        )

    # What each subcommand takes

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        """Add Lightning's subcommands, and for help and completion those that need no trainer."""
        super()._add_subcommands(parser, **kwargs)
        commands = parser._subcommands_action
        assert commands
        for name, text in COMMANDS.items():
            tool = LightningArgumentParser(prog=f'seglight {name}')
            describe_tool(name, tool)
            commands.add_subcommand(name, tool, help=text)
        for action in commands._choices_actions:
            action.help = TRAINER_COMMANDS.get(action.dest, action.help)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Return the parser of a subcommand; if it was not typed, an empty one, which is enough for a list."""
        if subcommand == self.arguments.subcommand or self.arguments.has('--print_completion'):
            return self._whole_parser(klass, subcommand, **kwargs)
        return self.init_parser(**kwargs)

    def _whole_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Return the parser of a subcommand with all its arguments, which takes a tenth of a second."""
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        prefer_int_to_float(parser)
        add_options(parser, subcommand)
        parser.add_argument('--trust_checkpoint', action='store_true', help=TRUST_HELP)
        if subcommand == 'fit':
            fit.add_arguments(parser)
        else:
            parser.add_argument(
                '--ckpt_weights', type=list[float] | None, help='Weights of several --ckpt in an ensemble.'
            )
            text = f'Predict at the scales {", ".join(map(str, AUG_TEST_SCALES))}, mirrored too, and average.'
            parser.add_argument('--aug_test', action='store_true', help=text)
        # A checkpoint is data from outside: never unpickle it.
        parser.set_defaults({'weights_only': True})
        if subcommand != 'predict':
            parser.add_argument(
                '--report', type=bool, default=True, help='Write a page of figures and images at the end.'
            )
        if subcommand in ('validate', 'test'):
            parser.set_defaults({'verbose': False})  # its table is printed below, with classes by name
        if subcommand == 'predict':
            predict.add_arguments(parser)
            parser.set_defaults({'return_predictions': False})
        return parser

    # From the command line to one resolved config

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ARG002  (read before)
        """Resolve configs, checkpoint and overrides, and give jsonargparse the result to check."""
        arguments = self.arguments
        subcommand = arguments.subcommand
        if subcommand in self._subcommand_parsers:
            if not arguments.has('--help', '-h'):
                self._use_checkpoint(arguments)
            subparser = self._subcommand_parsers[subcommand]
            self.settings = resolve(arguments, subparser, self.settings, self._is_of_others, with_class_names)
            self.stored.check(self.settings, _needless(arguments, self.settings))
            if arguments.has('--print_config'):  # which builds nothing that would tell
                self._with_origin(building.check_keys, (self.settings.values.get('model') or {}).get('segmentor') or {})
        elif not arguments.has('--help', '-h', '--version', '--print_completion'):
            commands = [*self.subcommands(), *COMMANDS]
            choice = f'choose one of {", ".join(commands)} (--help shows more)'
            if not subcommand:
                raise UsageError(f'no command given; {choice}')
            raise UsageError(f"unknown command '{subcommand}'{nearest(subcommand, commands) or ';'} {choice}")
        try:
            self.config = parser.parse_args(arguments.argv())
        except ArgumentError as error:
            raise UsageError(explain(str(error), self.settings, arguments)) from error

    def _is_of_others(self, key: str) -> bool:
        """Tell whether only other subcommands take a key: a run's config may be given to commands other than `fit`."""
        own = self.arguments.subcommand
        if key in _top_keys(self._subcommand_parsers[str(own)]):
            return False
        return any(key in self._keys_of(name) for name in self.subcommands() if name != own)

    def _keys_of(self, subcommand: str) -> set[str]:
        """Return the top-level keys of another subcommand, whose parser is built for them, once."""
        if subcommand not in self.other_keys:
            self.other_keys[subcommand] = _top_keys(self._whole_parser(Trainer, subcommand))
        return self.other_keys[subcommand]

    def _use_checkpoint(self, arguments: Arguments) -> None:
        """Find the checkpoint; everything else overrides the config in it."""
        names = arguments.values('--ckpt_path')
        training = arguments.subcommand not in FROM_CHECKPOINT
        if not names:
            if training:
                return
            typed = next((flag.value for flag in arguments.flags[1:] if not flag.name), None) or 'exp1/epoch_2.ckpt'
            raise UsageError(f'{arguments.subcommand} needs a checkpoint, such as --ckpt {typed}')
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
            rank_zero_only(print)(f'Left out   {names}: {reason}; --config {config} brings it', flush=True)

    def _start_from(self, checkpoint: Checkpoint, required: bool) -> None:
        """Take what of the config of a checkpoint predictions need."""
        self.stored = checkpoint.stored(PARTS, required, 'prediction')
        self.settings = self.stored.settings
        self.trained_on = dict(self.settings.values.get('data') or {})
        for what in checkpoint.not_taken_over:
            rank_zero_only(warn)(f"{checkpoint}: not taken over: {what}; metrics may differ from mmseg's")

    def _parse_ckpt_path(self) -> None:
        """Leave out Lightning's own reading of a checkpoint, which would win over the command line."""

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
        """Copy the classes to the model and the seed to the data."""
        config = self.config[self.config.subcommand]
        self._keep_classes(config.data)
        for name in FROM_DATA:
            if config.model[name] not in (None, config.data[name]):
                raise ConfigError(f'model.{name}', f'must be left out, or be that of data.{name}, got another')
            config.model[name] = config.data[name]
        if config.get('input'):
            config.data.test = predict.input_source(Path(config.input), self.output_folder)
        if isinstance(config.seed_everything, int) and not isinstance(config.seed_everything, bool):
            config.data.seed = config.seed_everything
        self._with_origin(self._read_class_weights, config)
        if self.subcommand == 'fit':
            self.run_config = self.resolved_config()
            self._continue(config)
            if config.ckpt_path or config.load_from:  # which have the weights, so that none are fetched
                config.model.segmentor = without_pretrained(config.model.segmentor)

    def _read_class_weights(self, config: Namespace) -> None:
        """Put the numbers of each file of class weights into the config, which then needs no file."""
        config.model.segmentor = with_read_weights(config.model.segmentor)

    def _continue(self, config: Namespace) -> None:
        """Find out where the run goes on, and whether in its own folder."""
        if config.ckpt_path:
            path = Path(config.ckpt_path)
            if self.checkpoint is None:  # a config file names it
                self.checkpoint = Checkpoint(path)
                self.checkpoint.verify()
            self.resumed = bool(config.work_dir) and Path(config.work_dir).resolve() == path.resolve().parent
        elif config.auto_resume:
            found = find_continuation(self.run_config, WORK_DIRS, fit.named_run(config.work_dir))
            self.checkpoint, self.resumed = found.checkpoint, found.folder is not None
            config.work_dir = str(found.folder) if found.folder else None
            config.ckpt_path = None if found.checkpoint is None else str(found.checkpoint)
            rank_zero_only(print)('\n'.join(found.notices), flush=True)

    def _keep_classes(self, data: Any) -> None:
        """Let a checkpoint have the classes it was trained with, whatever the data that it is used on.

        Raises:
            ConfigError: if it is to be measured on masks of another number of classes.
        """
        trained, given = self.trained_on.get('classes'), data.classes
        from_mmseg = self.checkpoint is not None and self.checkpoint.from_mmseg
        if from_mmseg and self.subcommand in ('validate', 'test') and data.reduce_zero_label:
            rank_zero_only(print)(
                f'Labels     label 0 of the masks is ignored and the others move down by one, as {self.checkpoint} was '
                'trained; --data.reduce_zero_label=false takes them as they are',
                flush=True,
            )
        if trained is None or trained == given:
            return
        if len(trained) == len(given):
            self.class_order = order_of(trained, given)
            text = f'{self.checkpoint} {difference(trained, given)}'
            if self.class_order:
                rank_zero_only(print)(f'Classes    {text}; what it predicts is mapped by name', flush=True)
            else:
                rank_zero_only(warn)(f'{text}; label i of a mask is taken for its class i')
            return
        if self.config.subcommand != 'predict':
            message = f'{self.checkpoint} was trained on {len(trained)} classes, data.classes names {len(given)}'
            raise UsageError(f'{message}; give data whose masks have the classes of the checkpoint')
        data.classes, data.palette = trained, self.trained_on.get('palette')

    # Running

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; what is wrong in a config is told with its file and line."""
        self._with_origin(self._instantiate)

    def _instantiate(self) -> None:
        self._build()
        if self.class_order:
            self.model.reorder(self.class_order)

    def _build(self) -> None:
        if self.subcommand == 'fit':
            fit.check_trainer(self.config['fit'].trainer)
        try:
            with self._budget():
                super().instantiate_classes()
        except ValueError as error:
            cause = error.__cause__  # jsonargparse tries each member of a union: it is what the class itself said
            if isinstance(cause, ConfigError):
                raise cause from None
            if not isinstance(cause, (ValueError, TypeError, MisconfigurationException)):
                raise
            found = re.search(r'\b(trainer\.\w+)', str(error))
            key = found[1] if found else 'trainer.callbacks'
            raise ConfigError(key, one_line(cause)) from error

    def _budget(self) -> AbstractContextManager[None]:
        """Return what bounds the model that a checkpoint describes by the weights in it."""
        described = self.checkpoint if self.stored.settings.values else None
        return described.budget() if described else nullcontext()

    def _with_origin(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call something whose errors name a key, and say where that was written."""
        try:
            call(*arguments)
        except ConfigError as error:
            origin = f'{written(error.key, self.settings, self.arguments)}: ' if error.key else ''
            raise UsageError(f'{origin}{error}') from error

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
            raise fit.explain_trainer(error) from error
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
        callbacks: list[Callback] = []
        if self.more_checkpoints or config.ckpt_weights:
            others = [str(each) for each in self.more_checkpoints]
            callbacks.append(SoftVoting(others, config.ckpt_weights, config.trust_checkpoint))
        if self.subcommand == 'predict':
            plain = self.config[self.subcommand]
            assert self.checkpoint
            callbacks += predict.prediction_callbacks(plain, self.checkpoint, self.output_folder)
        elif traces:
            self.recorder = EvaluationRecorder(self.evaluation_file)
            callbacks.append(self.recorder)
        if config.aug_test:
            callbacks.append(TestTimeAugmentation(AUG_TEST_SCALES))
        return callbacks

    def _run_folder(self, config: Namespace) -> RunFolder:
        """Return what makes the folder of this run."""
        log, command = config.trainer.logger is not False, ['seglight', *self.argv]
        return RunFolder(
            self.run_config, config.work_dir, str(WORK_DIRS), describe(command), log=log, resumed=self.resumed
        )

    def before_fit(self) -> None:
        """Take weights from another file, or refuse a checkpoint at its run's end, unless --auto-resume found it."""
        config = self.config[self.subcommand]
        fit.check_finder(self.trainer, self.model.schedule)
        if not self.checkpoint:
            if config.load_from:
                loaded = load_weights(
                    self.model.segmentor, Checkpoint.find(config.load_from).path, config.trust_checkpoint
                )
                rank_zero_only(print)(loaded.table(), flush=True)
                if doubt := loaded.doubt(self.model.classes):
                    rank_zero_only(warn)(doubt)
            return
        fit.check_classes(self.checkpoint, self.model.classes)
        reached = fit.reached_end(self.checkpoint, self.trainer, self.model)
        if reached and not config.auto_resume:
            raise UsageError(reached)
        if reached:
            rank_zero_only(print)(reached, flush=True)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Hand over the checkpoint that was read, before Lightning restores it."""
        if self.checkpoint:
            restore_from(self.trainer, self.checkpoint, subcommand == 'fit')
        return super()._prepare_subcommand_kwargs(subcommand)

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; weights that do not fit the model are an error of the user's.

        Raises:
            KeyboardInterrupt: where Lightning, after Ctrl-C, would exit like after a failure.
        """
        try:
            self._with_origin(super()._run_subcommand, subcommand)
        except SystemExit:
            if not self.trainer.interrupted:
                raise
            raise KeyboardInterrupt(*([self.run_folder.summary()] if self.run_folder else [])) from None
        except MisconfigurationException as error:
            raise UsageError(one_line(error)) from error
        except Exception as error:
            if fit.is_restoring(error) and not isinstance(error, UserError):
                message = f'{self.checkpoint} cannot be resumed from: {one_line(error)}'
                raise CheckpointError(message[:500]) from error
            if not isinstance(error, (RuntimeError, ValueError)):
                raise
            if 'Error(s) in loading state_dict' not in str(error):
                steps = self.trainer.global_step
                explained = explain_first_batch(error, steps) or fit.explain_refusal(error)
                if explained is None:
                    raise
                raise explained from error
            reasons = [line.strip() for line in str(error).splitlines()[1:]]
            more = f' (and {len(reasons) - 1} more)' if len(reasons) > 1 else ''
            raise CheckpointError(f'{self.checkpoint} does not fit the model: {reasons[0]}{more}') from error

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

    def after_fit(self) -> None:
        """Say where the run lies, how good it is, and what to type next."""
        if not self.trainer.is_global_zero:
            return
        if not self.run_folder:
            print(fit.tried(self.trainer))
            return
        kept = (self._get(self.config_init, name) for name in ('best_checkpoint', 'checkpoint'))
        print('\n'.join(fit.summary(self.trainer, self.run_folder, *kept)))
        self._report()

    def after_validate(self) -> None:
        """Show the figures."""
        self._show('val')

    def after_test(self) -> None:
        """Show the figures."""
        self._show('test')

    def _show(self, stage: str) -> None:
        if self.trainer.is_global_zero:
            print(metrics_table(self.trainer.callback_metrics, stage, self.model.unseen))
            self._report()

    @property
    def evaluation_file(self) -> Path:
        """The file, beside the checkpoint, of what `validate` or `test` measures."""
        checkpoint = Path(self._get(self.config, 'ckpt_path'))
        return checkpoint.parent / EVALUATIONS / f'{self.subcommand}_{checkpoint.stem}.npz'

    def _report(self) -> None:
        """Write the page of what was measured, and say where it lies."""
        file = self.recorder.file if self.recorder and self._get(self.config, 'report') else None
        if file is None:
            return
        try:
            print(f'Report     {write_report(file.parents[1], file.stem)}')
        except Exception as error:  # whatever it is, the run is done and its figures are printed
            if any(word.split('=')[0] == '--debug' for word in self.argv):
                traceback.print_exc()
            warn(f'the report cannot be written: {one_line(error) or type(error).__name__}; --debug shows why')

    def after_predict(self) -> None:
        """Say what came of it, and end like after an error if there were files that could not be predicted."""
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        if self.trainer.is_global_zero:
            print('\n'.join(predict.summary(callbacks, self.model.classes, self.output_folder)))
        predict.check_failed(callbacks)


def _needless(arguments: Arguments, settings: Settings) -> set[Key]:
    """Return the sources of data that a command does not read."""
    split = (settings.values.get('data') or {}).get('split')
    read = {'predict': ['test'], 'fit': ['train', 'split', 'val']}.get(
        str(arguments.subcommand), ['train', 'split'] if split else ['val', 'split']
    )
    if arguments.subcommand == 'predict' and arguments.has('--input'):
        read = []
    if arguments.has('--pseudo_labels'):
        read.append('train')
    return {('data', name) for name in ('train', 'val', 'test', 'split') if name not in read}


def _top_keys(parser: LightningArgumentParser) -> set[str]:
    """Return the groups and keys at the top of what a subcommand takes."""
    return {key[0] for key in argument_types(parser)}


def _quieten() -> None:
    """Silence what Lightning tells every user of every run and nobody can act upon."""
    for name in (
        'pytorch_lightning.utilities.rank_zero',
        'pytorch_lightning.trainer.connectors.checkpoint_connector',  # its finders go back to files of their own
        'lightning_fabric.utilities.seed',
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        '.*does not have many workers',
        'Checkpoint directory .* exists and is not empty',  # config.yaml is in it
        'Experiment logs directory .* exists and is not empty',
        'Total length of `list` across ranks is zero',  # full data has no validation
        'Be aware that when using `ckpt_path`',  # predicting needs no checkpoint callbacks
        'Found .* module.s. in eval mode at the start of training',  # frozen ones, and what `norm_eval` says
        'torch.utils.checkpoint: the use_reentrant parameter should be passed',  # mmseg's `with_cp`
        'The number of training batches .* is smaller than the logging interval',
        'Total length of `list` across ranks is zero',  # no validation was asked for
        r'It is recommended to use .self\.log\(.(val|test)/',  # whose figures come from counts of all processes
        '.*isinstance.treespec, LeafSpec.. is deprecated',  # Lightning 2.6 on torch 2.13
    ):
        warnings.filterwarnings('ignore', message=message)
