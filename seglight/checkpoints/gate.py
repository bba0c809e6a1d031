"""Check the settings in a checkpoint before anything in them is imported, built, opened or downloaded.

A checkpoint may be untrusted. The gate is an allowlist: plain values, and the classes in
`seglight.checkpoints.allowed` with arguments that are numbers, words, lists and dicts. Anything else is refused:
it is dropped, with an error message for code that needs it. `--trust-checkpoint` skips the gate for your own files.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglight.checkpoints import allowed, cost
from seglight.config.settings import Key
from seglight.data.value_range import parse_range
from seglight.errors import CheckpointError, ConfigError

#: Limits on values and levels of a model dict; the largest in mmseg has 169 values and 6 levels.
MOST_PARTS, MOST_LEVELS = 10_000, 20

#: Limit on numbers in a model dict.
MOST_NUMBER = 100_000

#: Lower limits on numbers that multiply the computation.
MOST_REPEATED = {
    'dilation': 512,
    'dilations': 512,
    'key_pool_scales': 256,
    'num_stages': 32,
    'pad': 512,
    'padding': 512,
    'pool_scales': 256,
    'recurrence': 16,
    'rescales': 16,
    'scale_factor': 16,
    'scales': 16,
    'subdivision_steps': 8,
    'up_scale': 64,
    'window_batch': 64,
}

#: Limit on repetitions in a regular expression; each multiplies the time by the length of a name.
MOST_QUANTIFIERS = 4

#: Limits on numbers in `data` that cost processes, memory or disk.
MOST_OF_DATA = {'batch_size': 8192, 'num_workers': 128, 'cache': 1000}

#: Keys of `trainer` that a checkpoint may set; none of them builds a class or names a file.
TRAINER = frozenset(
    {
        *('accelerator', 'strategy', 'devices', 'precision', 'max_epochs', 'min_epochs', 'max_steps', 'min_steps'),
        *('max_time', 'limit_train_batches', 'limit_val_batches', 'limit_test_batches', 'limit_predict_batches'),
        *('overfit_batches', 'val_check_interval', 'check_val_every_n_epoch', 'num_sanity_val_steps'),
        *('log_every_n_steps', 'enable_checkpointing', 'enable_progress_bar', 'enable_model_summary'),
        *('accumulate_grad_batches', 'gradient_clip_val', 'gradient_clip_algorithm', 'deterministic', 'benchmark'),
        *('inference_mode', 'use_distributed_sampler', 'detect_anomaly', 'barebones', 'sync_batchnorm'),
        *('reload_dataloaders_every_n_epochs', 'fast_dev_run'),
    }
)

#: Allowed words for these keys of `trainer`, which need no package but torch; others make Lightning import packages.
TRAINER_WORDS = {
    'accelerator': ('auto', 'cpu', 'gpu', 'cuda', 'mps'),
    'strategy': (
        *('auto', 'ddp', 'ddp_spawn', 'ddp_fork', 'ddp_notebook', 'fsdp'),
        *('ddp_find_unused_parameters_true', 'ddp_find_unused_parameters_false'),
        *('ddp_spawn_find_unused_parameters_true', 'ddp_spawn_find_unused_parameters_false'),
    ),
    'precision': (*('16', '32', '64', 'bf16', '16-true', '16-mixed', 'bf16-true', 'bf16-mixed', '32-true', '64-true'),),
}

#: Limit on the processes of a run.
MOST_DEVICES = 64

#: Groups that are checked key by key; only the user can set others, for example `wandb` with its URLs.
GROUPS = ('model', 'data', 'trainer', 'checkpoint', 'best_checkpoint')
PLAIN = ('seed_everything', 'report')

#: A word, as opposed to a path or a URL.
_WORD = re.compile(r'[\w+\- ]{0,100}', re.ASCII)
_TIMM_NAME = re.compile(r'[\w.\-]{1,100}', re.ASCII)

#: Arguments of transforms that open files or call functions.
_OPENS = re.compile(r'path|file|url|fn$|reference|template|metadata_key|deserializ')

_CURE = 'pass --trust-checkpoint if the file is your own'


class Refused(Exception):
    """A setting that a checkpoint may not have.

    Attributes:
        key: its key.
    """

    def __init__(self, message: str, key: Key) -> None:
        super().__init__(message)
        self.key = key


def admit(values: dict[str, Any], path: Path) -> tuple[dict[str, Any], dict[Key, str]]:
    """Return the settings of a checkpoint that pass, and a message for each key that does not.

    Args:
        values: the whole config, or some of its groups.
        path: the checkpoint, for the messages.
    """
    admitted: dict[str, Any] = {}
    refused: dict[Key, str] = {}
    for group, inner in values.items():
        if group in PLAIN and _passes(_CHECKS.get((group,), check_value), inner, (group,), path, refused):
            admitted[group] = inner
        if group not in GROUPS:
            continue
        admitted[group] = {}
        if not isinstance(inner, dict):
            refused[(group,)] = f'{path}: {group} is not a mapping of keys to values'
            continue
        for name, value in inner.items():
            if not (isinstance(name, str) and name.isidentifier()) or (group == 'trainer' and name not in TRAINER):
                continue
            check = _CHECKS.get((group, name), check_value)
            if _passes(check, value, (group, name), path, refused):
                admitted[group][name] = value
    return admitted, refused


def _passes(check: Callable[[Any, Key], None], value: Any, key: Key, path: Path, refused: dict[Key, str]) -> bool:
    """Return whether the value of a key passes; otherwise add a message to `refused`."""
    try:
        check(value, key)
    except Refused as error:
        refused[key] = f'{path}: {".".join(error.key)}: {error}; {_CURE}'
    except RecursionError:
        refused[key] = f'{path}: {".".join(key)} has too many levels; {_CURE}'
    return key not in refused


def admit_hyperparameters(parameters: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the arguments of the segmentor in a checkpoint.

    Raises:
        CheckpointError: for the first that does not pass.
    """
    own = {**parameters}
    classes, palette = own.pop('classes', None), own.pop('palette', None)
    admitted, refused = admit({'model': own, 'data': {'classes': classes, 'palette': palette}}, path)
    for message in refused.values():
        raise CheckpointError(message)
    return {**admitted['model'], 'classes': classes, 'palette': palette}


def check_value(value: Any, key: Key) -> None:
    """Refuse anything but numbers, text, lists and dicts, and any class or URL."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == 'class_path' or not isinstance(name, (str, int)) or isinstance(name, bool):
                raise Refused(f"a checkpoint may not have the key '{_shown(name)}' here", key)
            check_value(inner, (*key, str(name)))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            check_value(inner, (*key, str(index)))
    elif isinstance(value, str):
        _check_text(value, key)
    elif isinstance(value, (int, float)):
        _check_number(value, key, MOST_OF_DATA.get(key[-1], 2**63))
    elif value is not None:
        raise Refused(f'must be a number, text, list or dict, got {type(value).__name__}', key)


def check_model(model: Any, key: Key) -> None:
    """Refuse a model dict with classes that are not registered, paths, URLs, or excessive numbers."""
    if not isinstance(model, dict):
        raise Refused(f'must be a dict, got {type(model).__name__}', key)
    _ModelCheck().check(model, key)


class _ModelCheck:
    """Walks a model dict and counts its values."""

    def __init__(self) -> None:
        self.count = 0

    def check(self, value: Any, key: Key) -> None:
        """Check a value and everything in it."""
        self.count += 1
        if self.count > MOST_PARTS or len(key) > MOST_LEVELS:
            raise Refused(f'the model has more than {MOST_PARTS} values or {MOST_LEVELS} levels', key[:2])
        name = next((part for part in reversed(key) if not part.isdigit()), '')
        if isinstance(value, dict):
            self._check_part(value, key)
        elif isinstance(value, (list, tuple)):
            for index, inner in enumerate(value):
                self.check(inner, (*key, str(index)))
        elif isinstance(value, str):
            if not _WORD.fullmatch(value):
                raise Refused(f"must be a word, not a path or an address, got '{_shown(value)}'", key)
            if name == 'class_weight' and value != 'balanced':
                raise Refused(f"must be numbers or balanced, not a file, got '{_shown(value)}'", key)
        elif isinstance(value, (int, float)):
            _check_number(value, key, MOST_REPEATED.get(name, MOST_NUMBER))
        elif value is not None:
            raise Refused(f'must be a number, word, list or dict, got {type(value).__name__}', key)

    def _check_part(self, part: dict[Any, Any], key: Key) -> None:
        """Check a dict, which may describe a class."""
        name = part.get('type')
        if 'type' in part:
            self._check_type(name, (*key, 'type'))
        for argument, inner in part.items():
            if not isinstance(argument, str) or not argument.isidentifier() or argument.startswith('_'):
                raise Refused(f"a checkpoint may not have the key '{_shown(argument)}' here", key)
            if argument == 'class_path':
                self._check_class_path(inner, (*key, argument))
            elif argument in ('pretrained', 'checkpoint', 'checkpoint_path') and inner:
                raise Refused('a checkpoint may not name a file of weights', (*key, argument))
            elif argument == 'model_name':
                if not isinstance(inner, str) or not _TIMM_NAME.fullmatch(inner):
                    raise Refused(
                        f"must be the name of a model, not an address, got '{_shown(inner)}'", (*key, argument)
                    )
            elif argument != 'type':
                self.check(inner, (*key, argument))
        if str(name).endswith('TIMMBackbone') and (wrong := sorted(set(part) - allowed.TIMM_ARGUMENTS)):
            raise Refused(f'a checkpoint may not give {name} the argument {wrong[0]}', key)
        if key[-1] == 'test_cfg' and (fault := cost.window_fault(part)):
            raise Refused(fault, key)

    def _check_type(self, name: Any, key: Key) -> None:
        in_loss = 'loss_decode' in key
        if not isinstance(name, str) or not (allowed.is_model_part(name) or (in_loss and allowed.is_loss(name))):
            raise Refused(f"a checkpoint may not name '{_shown(name)}'", key)

    def _check_class_path(self, path: Any, key: Key) -> None:
        if not isinstance(path, str) or 'loss_decode' not in key or not allowed.is_loss(path):
            raise Refused(f"a checkpoint may not name '{_shown(path)}'", key)


def check_optimizer(optimizer: Any, key: Key) -> None:
    """Refuse an optimizer that is not from torch."""
    if optimizer is None:
        return
    if not isinstance(optimizer, dict):
        raise Refused(f'must be a dict, got {type(optimizer).__name__}', key)
    for name in ('type', 'class_path'):
        value = optimizer.get(name)
        if value is not None and not (isinstance(value, str) and allowed.is_optimizer(value)):
            raise Refused(f"a checkpoint may not name '{_shown(value)}'", key)
    check_value({name: value for name, value in optimizer.items() if name != 'class_path'}, key)


def check_transforms(specs: Any, key: Key) -> None:
    """Refuse transforms that are not from albumentations or this project, and arguments that open files."""
    for index, spec in enumerate(_listed(specs, key)):
        _check_object(spec, (*key, str(index)), allowed.find_transform, _check_transform_argument)
    if len(key) == 2 and (runs := sum(map(cost.runs, _listed(specs, key)))) > cost.MOST_RUNS:
        raise Refused(
            f'may run {cost.MOST_RUNS} transforms for an image, a slow one counts {cost.SLOW}; got {runs:,}', key
        )


def check_mixes(specs: Any, key: Key) -> None:
    """Refuse mixes that are not from this project."""
    for index, spec in enumerate(_listed(specs, key)):
        _check_object(spec, (*key, str(index)), allowed.find_mix, _check_transform_argument)


def check_sources(spec: Any, key: Key) -> None:
    """Refuse data sources that are neither from this project nor data sets of mmseg."""
    if isinstance(spec, list):
        for index, each in enumerate(spec):
            check_sources(each, (*key, str(index)))
    elif isinstance(spec, str):
        _check_text(spec, key)
    else:
        _check_object(spec, key, allowed.find_source, lambda _, value, where: check_value(value, where))


def check_split(split: Any, key: Key) -> None:
    """Refuse a regular expression for groups that could take exponential time."""
    check_value(split, key)
    group = split.get('group') if isinstance(split, dict) else None
    if isinstance(group, str) and not _is_quick(group):
        message = f'must have at most {MOST_QUANTIFIERS} repetitions, and none of brackets'
        raise Refused(message, (*key, 'group'))


def _is_quick(pattern: str) -> bool:
    """Return whether a regular expression is certain to be fast: it has few repetitions, and none of brackets."""
    if re.search(
        r'\(\?(?!:|P<)', pattern
    ):  # a comment could hide what follows it, and a flag changes the meaning of letters
        return False
    letters = re.sub(r'\\.|\[[^\]]*\]', 'x', pattern)
    letters = re.sub(r'\(\?|(?<!\))\{\d{1,2}\}', '(', letters)  # what a bracket is, and exact counts of one letter
    return len(pattern) <= 1000 and not re.search(r'\)[*+{]', letters) and _quantifiers(letters) <= MOST_QUANTIFIERS


def _quantifiers(letters: str) -> int:
    return len(re.findall(r'[*+?{]', letters))


def check_word(value: Any, key: Key) -> None:
    """Refuse a word for which Lightning would import a package."""
    if isinstance(value, str) and value not in TRAINER_WORDS[key[-1]]:
        raise Refused(f"must be one of {', '.join(TRAINER_WORDS[key[-1]][:6])}, got '{_shown(value)}'", key)
    check_value(value, key)


def check_devices(value: Any, key: Key) -> None:
    """Refuse an excessive number of processes, as a number, a list or a text of either."""
    text = ','.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    many = text.isdecimal() and (len(text) > 4 or int(text) > MOST_DEVICES)
    if many or text.count(',') >= MOST_DEVICES or len(text) > 400:
        raise Refused(f'must be at most {MOST_DEVICES} devices, got {_shown(value)}', key)
    check_value(value, key)


def check_names(names: Any, key: Key) -> None:
    """Refuse classes that are not a list of short names."""
    if not isinstance(names, list) or not 1 <= len(names) <= 255 or not all(isinstance(name, str) for name in names):
        raise Refused('must be a list of 1 to 255 names', key)
    for index, name in enumerate(names):
        _check_text(name, (*key, str(index)), 200)


def check_label(value: Any, key: Key) -> None:
    """Refuse anything but a label of a mask."""
    if type(value) is not int or not 0 <= value <= 255:
        raise Refused(f'must be a label from 0 to 255, got {_shown(value)}', key)


def check_seed(value: Any, key: Key) -> None:
    """Refuse anything but a seed, or true and false, which Lightning accepts."""
    if value is not None and not isinstance(value, (bool, int)):
        raise Refused(f'must be an integer, got {_shown(value)}', key)
    if value is not None and not 0 <= value < 2**32:
        raise Refused(f'must be from 0 to {2**32 - 1}, got {_shown(value)}', key)


def check_range(value: Any, key: Key) -> None:
    """Refuse anything but a range of image values."""
    check_value(value, key)
    try:
        parse_range(value)
    except ConfigError as error:
        raise Refused(error.text, key) from error


def check_palette(palette: Any, key: Key) -> None:
    """Refuse colours that are not three integers each."""
    colours = _listed(palette, key)
    for colour in colours:
        if not isinstance(colour, (list, tuple)) or [type(channel) for channel in colour] != [int] * 3:
            raise Refused('must be a list of colours, each three integers', key)


def _check_object(
    spec: Any, key: Key, find: Callable[[str], type | None], check_argument: Callable[[str, Any, Key], None]
) -> None:
    """Check the dict of an object: its class, the names of its arguments and their values."""
    if not isinstance(spec, dict) or ('type' in spec) == ('class_path' in spec):
        raise Refused("must be a dict with 'type' or with 'class_path'", key)
    name = spec.get('type', spec.get('class_path'))
    cls = find(name) if isinstance(name, str) else None
    if cls is None:
        raise Refused(f"a checkpoint may not name '{_shown(name)}'", key)
    inner = spec.get('init_args') or {}
    if not isinstance(inner, dict):
        raise Refused('must be a dict of arguments', (*key, 'init_args'))
    rest = {name: value for name, value in spec.items() if name not in ('type', 'class_path', 'init_args')}
    valid = inspect.signature(cls).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in valid.values())
    for argument, value in {**rest, **inner}.items():
        where = (*key, str(argument))
        if not isinstance(argument, str) or not (argument in valid or argument == 'repeat' or open_ended):
            raise Refused(f"{_shown(name)} has no argument '{_shown(argument)}'", key)
        check_argument(argument, value, where)
    if fault := cost.transform_fault({**rest, **inner}):
        raise Refused(fault[1], (*key, fault[0]))


def _check_transform_argument(name: str, value: Any, key: Key) -> None:
    """Check an argument of a transform, which may contain transforms itself."""
    if len(key) > MOST_LEVELS:
        raise Refused(f'has more than {MOST_LEVELS} levels', key[:2])
    if name == 'transforms':
        check_transforms(value, key)
        return
    if _OPENS.search(name):
        raise Refused('a checkpoint may not give this argument', key)
    _check_sizes(value, key)


def _check_sizes(value: Any, key: Key) -> None:
    """Refuse anything but words and numbers of pixels."""
    if isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            if name == 'class_path' or len(key) > MOST_LEVELS:
                raise Refused(f"a checkpoint may not have the key '{_shown(name)}' here", key)
            _check_sizes(inner, (*key, str(name)))
    elif isinstance(value, (int, float)):
        _check_number(value, key, cost.highest(next(part for part in reversed(key) if not part.isdigit())))
    elif isinstance(value, str):
        _check_text(value, key, 200)
        if re.search(r'[/\\:]', value):
            raise Refused(f"must be a word, not a path or an address, got '{_shown(value)}'", key)
    elif value is not None:
        raise Refused(f'must be a number, word, list or dict, got {type(value).__name__}', key)


def _listed(value: Any, key: Key) -> list[Any] | tuple[Any, ...]:
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise Refused(f'must be a list, got {type(value).__name__}', key)
    return value


def _check_text(text: str, key: Key, max_length: int = 4096) -> None:
    """Refuse a text that is long, contains control characters, or is a URL."""
    if len(text) > max_length or not text.isprintable():
        raise Refused(f'must be one line of at most {max_length} characters', key)
    if '://' in text or text.startswith(('//', '\\\\')):  # the latter names a host on Windows
        raise Refused(f"a checkpoint may not name an address, got '{_shown(text)}'", key)


def _check_number(value: float, key: Key, maximum: float) -> None:
    """Refuse a number above the limit, NaN, and infinity unless the limit is high."""
    if isinstance(value, bool) or abs(value) <= maximum:
        return
    if isinstance(value, float) and math.isinf(value) and maximum > MOST_NUMBER:
        return
    raise Refused(f'must be a number up to {maximum:,}, got {_shown(value)}', key)


def _shown(value: Any) -> str:
    """Return a value for an error message."""
    try:
        text = str(value)
    except ValueError:  # a number with thousands of digits
        text = 'a large number'
    return ''.join(letter if letter.isprintable() else '?' for letter in text[:80])


_CHECKS: dict[Key, Callable[[Any, Key], None]] = {
    ('model', 'segmentor'): check_model,
    ('model', 'optimizer'): check_optimizer,
    ('trainer', 'accelerator'): check_word,
    ('trainer', 'strategy'): check_word,
    ('trainer', 'precision'): check_word,
    ('trainer', 'devices'): check_devices,
    ('data', 'classes'): check_names,
    ('data', 'palette'): check_palette,
    ('data', 'ignore_index'): check_label,
    ('data', 'image_range'): check_range,
    ('data', 'seed'): check_seed,
    ('seed_everything',): check_seed,
    ('data', 'train'): check_sources,
    ('data', 'val'): check_sources,
    ('data', 'test'): check_sources,
    ('data', 'split'): check_split,
    ('data', 'train_transforms'): check_transforms,
    ('data', 'val_transforms'): check_transforms,
    ('data', 'device_transforms'): check_transforms,
    ('data', 'mixes'): check_mixes,
}
