"""Translate the options of mmseg's `train.py` and `test.py`."""

from __future__ import annotations

import re
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from seglight.config.arguments import ALIASES, Arguments, Flag, as_word
from seglight.config.mmseg.file import parse_mmseg_config
from seglight.config.settings import Key, without_tuples
from seglight.errors import ConfigError, UsageError
from seglight.files import expand_home
from seglight.plain_text import load_yaml

#: Keys of mmseg's configs that `--cfg-options` accepts, and the equivalent keys of this project.
MMSEG_KEYS = {
    'checkpoint_config': 'checkpoint',
    'data.samples_per_gpu': 'data.batch_size',
    'data.workers_per_gpu': 'data.num_workers',
    'evaluation.interval': 'trainer.check_val_every_n_epoch',
    'load_from': 'load_from',
    'log_config.interval': 'trainer.log_every_n_steps',
    'lr_config': 'model.schedule',
    'optimizer': 'model.optimizer',
    'optimizer_config.cumulative_iters': 'trainer.accumulate_grad_batches',
    'optimizer_config.grad_clip.max_norm': 'trainer.gradient_clip_val',
    'resume_from': 'ckpt_path',
    'runner.max_epochs': 'trainer.max_epochs',
    'runner.max_iters': 'trainer.max_steps',
    'seed': 'seed_everything',
    'work_dir': 'work_dir',
}

#: The keys whose contents are those of the file in mmseg's configs.
_DATA_SETS = [('data', name) for name in ('train', 'val', 'test')]

#: Keys of mmseg's `checkpoint_config` that have no equivalent, since `checkpoint` has a unit.
_FILE_ONLY = tuple(f'checkpoint_config.{name}' for name in ('by_epoch', 'save_optimizer', 'out_dir', 'save_last'))

#: What `--debug` and `--no-validate` set.
SHORTHANDS: dict[str, dict[str, Any]] = {
    '--debug': {'trainer.max_epochs': 2, 'trainer.max_steps': -1, 'wandb.project': 'null'},
    '--no_validate': {'data.full': True},
}

#: Options with several values.
LISTS = ('--tags', '--ckpt_weights')

#: Options with one value or a list.
ONE_OR_MORE = ('--submission_size',)

#: Options whose value may be several words.
PHRASES = ('--part',)

#: Options that take all words up to the next option.
_WITH_WORDS = ('--cfg_options', *LISTS, *ONE_OR_MORE, *PHRASES, '--debug')
_ZOO_HELP = 'Name of an mmseg config (`seglight zoo` lists them) or the path of a .py file, which'

_CFG_OPTIONS_HELP = (
    'Overrides in mmseg\'s syntax: key=value key2="[(a,b),(c,d)]". Keys are those of seglight, or of mmseg: '
    'model.decode_head..., ' + ', '.join(MMSEG_KEYS) + '.'
)


#: Those that count batches, which gradient accumulation turns into optimizer steps.
_COUNTED = ('checkpoint_config', 'lr_config', 'runner', 'evaluation.interval', 'log_config.interval')
_ACCUMULATED = 'optimizer_config.cumulative_iters'


def add_options(parser: ArgumentParser, subcommand: str) -> None:
    """Add the options that `expand_options` translates, for their help, and the aliases."""
    parser.add_argument('--model.zoo', default=SUPPRESS, help=f'{_ZOO_HELP} fills model.segmentor.')
    schedule = f'{_ZOO_HELP} sets optimizer, schedule and length of the run; true means the one in model.zoo.'
    parser.add_argument('--model.zoo_schedule', default=SUPPRESS, help=schedule)
    parser.add_argument('--cfg_options', nargs='+', default=SUPPRESS, metavar='KEY=VALUE', help=_CFG_OPTIONS_HELP)
    debug = 'Show the traceback of an error.'
    if subcommand == 'fit':
        debug = 'Train for 2 epochs (of N batches) without W&B, and show the traceback of an error.'
        parser.add_argument(
            '--no_validate',
            action='store_true',
            default=SUPPRESS,
            help='Train without validation, on train and val together.',
        )
    parser.add_argument('--debug', nargs='?', metavar='N', default=SUPPRESS, help=debug)
    for alias, name in ALIASES.items():
        for action in parser._actions:
            if name in action.option_strings and alias not in action.option_strings:
                action.option_strings = [*action.option_strings, alias]


def expand_options(arguments: Arguments, model_keys: Iterable[Key]) -> None:
    """Replace `--cfg-options`, `--debug` and similar options by equivalent flags.

    The flags take the position of the option, so that later flags override them.

    Args:
        arguments: modified in place.
        model_keys: the keys below `model` that the command accepts; others refer to mmseg's model dict.

    Raises:
        UsageError: if `--cfg-options` has no words, or one is not `key=value`.
    """
    own = {key[1] for key in model_keys if key[0] == 'model' and len(key) > 1}
    flags: list[Flag] = []
    remaining = list(arguments.flags)
    while remaining:
        flag = remaining.pop(0)
        words = [] if flag.value is None else [flag.value]
        while flag.name in _WITH_WORDS and remaining and not remaining[0].name:
            words.append(str(remaining.pop(0).value))
        if flag.name == '--cfg_options':
            if not words:
                raise UsageError(f'{flag.typed} needs key=value')
            flags += [_override(word, flag.typed, own) for word in words]
        elif flag.name in LISTS:
            values = words if flag.name == '--tags' else [load_yaml(word, f'{flag.typed} {word}') for word in words]
            flags.append(Flag(flag.name, as_word(values), flag.typed))
        elif flag.name in ONE_OR_MORE and len(words) > 1:
            flags.append(Flag(flag.name, f'[{",".join(words)}]', flag.typed))
        elif flag.name in (*PHRASES, *ONE_OR_MORE) and words:
            flags.append(Flag(flag.name, ' '.join(words), flag.typed))
        elif flag.name in SHORTHANDS and arguments.subcommand == 'fit':
            flags += _shorthand(flag, words)
        elif flag.name != '--debug':
            flags.append(flag)
    arguments.flags = flags


def take_file_options(arguments: Arguments, known: Iterable[Key]) -> list[tuple[str, Any]]:
    """Remove and return the keys and values of `--cfg-options` that only mmseg's own config files have.

    Keys that have an equivalent here are flags, which later flags override; these are set in the `.py` file before it
    is translated: `data.train.img_dir`, `evaluation.save_best`, `train_pipeline.2.crop_size`. So are keys that count
    batches if one of the options accumulates gradients, since the whole file is then counted in optimizer steps.

    Args:
        arguments: modified in place.
        known: all keys of the command.
    """
    own, of_file = set(known), []
    accumulates = any(flag.is_option and flag.mmseg == _ACCUMULATED for flag in arguments.flags)
    for flag in list(arguments.flags):
        key = tuple(flag.name.removeprefix('--').split('.'))
        is_own = any(key[:end] in own for end in range(1, len(key) + 1)) and key[:2] not in _DATA_SETS
        is_counted = accumulates and flag.mmseg.startswith((*_COUNTED, _ACCUMULATED))
        if flag.is_option and (is_counted or (not flag.mmseg and not is_own)):
            of_file.append((flag.mmseg or '.'.join(key), load_yaml(flag.value or '', flag.typed)))
            arguments.flags.remove(flag)
    return of_file


def _shorthand(flag: Flag, words: list[str]) -> list[Flag]:
    """Return the flags that are equivalent to an option."""
    keys = dict(SHORTHANDS[flag.name])
    if words:
        if len(words) > 1 or not words[0].isdigit() or flag.name != '--debug':
            raise UsageError(
                f'{flag.typed} takes {"a number of batches" if flag.name == "--debug" else "nothing"}, '
                f"not '{' '.join(words)}'"
            )
        keys |= {f'trainer.limit_{stage}_batches': int(words[0]) for stage in ('train', 'val')}
    return [Flag(f'--{key}', str(value), flag.typed) for key, value in keys.items()]


def _override(word: str, typed: str, own: set[str]) -> Flag:
    """Return the flag for one `key=value` of `--cfg-options`, with the value parsed like mmcv."""
    key, equals, value = word.partition('=')
    if not equals or not key:
        raise UsageError(f"{typed} must be key=value, got '{word}'")
    parsed = _parse_value(value, f'{typed} {word}')
    name = translate_key(key, own)
    translated = key if key != name else ''
    return Flag(f'--{name}', as_word(without_tuples(parsed)), f'{typed} {word}', translated, is_option=True)


def _parse_value(text: str, typed: str) -> Any:
    """Parse a value like mmcv, which supports numbers, words and lists; dicts are supported, too.

    Raises:
        UsageError: for a value that is neither Python nor YAML, or has unbalanced brackets.
    """
    from mmcv import DictAction  # late: it loads torch

    if re.search(r'\bdict\(|\{', text):
        with suppress(ConfigError):
            return parse_mmseg_config(f'value = {text}', typed)['value']
        with suppress(ConfigError):
            if isinstance(value := load_yaml(text, typed), (dict, list)):
                return value
        raise UsageError(f"{typed}: '{text}' is not a dict; write it as {{type: GN, num_groups: 8}}")
    try:
        return DictAction._parse_iterable(expand_home(text))
    except (AssertionError, RecursionError) as error:
        raise UsageError(f"{typed}: unbalanced brackets in '{text}'; write a list as [(a,b),(c,d)]") from error


def translate_key(key: str, own: set[str]) -> str:
    """Return this project's key for a key of an mmseg config; its own keys are returned unchanged."""
    for old, new in MMSEG_KEYS.items() if key not in _FILE_ONLY else ():
        if key == old or key.startswith(f'{old}.'):
            return new + key[len(old) :]
    first, _, rest = key.partition('.')
    if first == 'model' and rest and rest.split('.')[0] not in own:
        return f'model.segmentor.{rest}'
    return key
