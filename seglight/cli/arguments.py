"""The arguments that seglight adds to Lightning's subcommands."""

from __future__ import annotations

from argparse import SUPPRESS
from typing import Any

from pytorch_lightning.cli import LightningArgumentParser

from seglight.cli import fit, predict
from seglight.cli.auto_precision import AUTO
from seglight.cli.help import HELP_ALL
from seglight.config.mmseg.options import add_options
from seglight.config.parser import allow, prefer_int_to_float
from seglight.errors import ConfigError

#: Scales of the views in mmseg's `test.py --aug-test`.
AUG_TEST_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)

#: Help for `--trust-checkpoint`.
TRUST_HELP = (
    'Allow your own checkpoint to name classes of any package, and unpickle the whole file of --load-from; '
    'both execute code.'
)

#: Maximum processes of a run on a machine: more than any has, but a mistyped number would start as many.
MAX_DEVICES = 1024

#: Lightning's name of what each subcommand runs, and a verb for it.
WORK = {
    'fit': ('train', 'trains'),
    'validate': ('val', 'validates'),
    'test': ('test', 'tests'),
    'predict': ('predict', 'predicts'),
}


def check_trainer(subcommand: str, trainer: Any) -> None:
    """Check the number of devices, each of which is a process, and that a limit leaves some batches.

    Args:
        subcommand: a key of `WORK`.
        trainer: the arguments of Lightning's `Trainer`.

    Raises:
        ConfigError: for more devices than any machine has, or no batch, which would end without a result.
    """
    text = str(trainer.devices)
    if text.isdecimal() and (len(text) > 9 or int(text) > MAX_DEVICES):
        raise ConfigError('trainer.devices', f'must be at most {MAX_DEVICES}, got {trainer.devices}')
    stage, works = WORK[subcommand]
    key = f'limit_{stage}_batches'
    if trainer[key] == 0:
        message = f'must be at least 1 batch, or a fraction of all batches, got 0, which {works} nothing'
        raise ConfigError(f'trainer.{key}', message)


def check_paths(config: Any) -> None:
    """Check that no path is empty, as from an unset variable of the shell; it would mean the default.

    Raises:
        ConfigError: names the option.
    """
    for name in ('input', 'output', 'work_dir', 'load_from', 'ckpt_path', 'remark'):
        if config.get(name) == '':
            raise ConfigError(name, 'must not be empty; omit it for the default')


def add_arguments(parser: LightningArgumentParser, subcommand: str) -> None:
    """Add the arguments of a subcommand to Lightning's."""
    parser.add_argument('--help_all', action='help', default=SUPPRESS, help=HELP_ALL)
    prefer_int_to_float(parser)
    allow(parser, 'trainer.precision', AUTO)
    add_options(parser, subcommand)
    parser.add_argument('--trust_checkpoint', action='store_true', help=TRUST_HELP)
    if subcommand == 'fit':
        fit.add_arguments(parser)
    else:
        parser.add_argument('--ckpt_weights', type=list[float] | None, help='Weights of several --ckpt in an ensemble.')
        text = 'Predict with the file of seglight ensemble, which names the checkpoints, instead of --ckpt.'
        parser.add_argument('--ensemble', type=str | None, help=text)
        text = f'Average predictions at the scales {", ".join(map(str, AUG_TEST_SCALES))}, each also mirrored.'
        parser.add_argument('--aug_test', action='store_true', help=text)
    parser.set_defaults({'weights_only': True})  # a checkpoint may be untrusted: never unpickle it
    if subcommand != 'predict':
        parser.add_argument('--report', type=bool, default=True, help='Write a page of metrics and images at the end.')
    if subcommand in ('validate', 'test'):
        parser.set_defaults({'verbose': False})  # the command line prints its own table, with class names
    if subcommand == 'predict':
        predict.add_arguments(parser)
        parser.set_defaults({'return_predictions': False})
