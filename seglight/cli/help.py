"""The short `--help` of every command, by groups, the most common options first; `--help-all` prints everything.

Nothing is imported that takes long, so that the help of `fit` appears at once, too.
"""

from __future__ import annotations

import sys
import textwrap
from argparse import ONE_OR_MORE, OPTIONAL, SUPPRESS, Action, ArgumentParser
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from seglight.console import program
from seglight.terminal import Span, cell_width, columns, write

#: The widest line; longer lines are hard to read.
MOST = 100

#: Columns of the names of options in a wide terminal; in one below `NARROW`, texts are below the names.
INDENT, NARROW = 28, 60

#: The words that ask for the short help.
WORDS = ('-h', '--help')


#: The help of `--help-all`.
HELP_ALL = 'Print all options with their descriptions; --help prints the most common ones.'


class Group(NamedTuple):
    """A heading, and options with their texts. Options are separated by `, `; the words after one are its value."""

    title: str
    options: Sequence[tuple[str, str]]


class Page(NamedTuple):
    """The help of a command."""

    usage: str
    description: str
    groups: Sequence[Group]
    example: str = ''


_CHECKPOINT = 'A checkpoint, a run (its best checkpoint) or an exported file; several are averaged.'
_HARDWARE = (
    ('--trainer.accelerator NAME', 'gpu, cpu or mps; by default what there is.'),
    ('--trainer.devices N', 'The number of GPUs, or [0,2] for some of them; all by default.'),
    (
        '--trainer.precision P',
        'For example 16-mixed, bf16-mixed, or auto: bf16-mixed where the processor is fast in it.',
    ),
    ('--data.batch_size N', 'Images in a batch.'),
    ('--data.num_workers N', 'Processes that load images.'),
)
_INFERENCE = (
    ('--aug-test', 'Average predictions at several scales, each also mirrored.'),
    ('--ckpt-weights W ...', 'Weights of several checkpoints.'),
    ('--ensemble FILE', 'The file of seglight ensemble, instead of --ckpt.'),
)


def _evaluating(name: str, description: str) -> Page:
    model = Group('Model', [('--ckpt PATH', _CHECKPOINT), *_INFERENCE])
    data = Group(
        'Data',
        [
            ('--data.root FOLDER', 'The folder of the data, if it is not that of the training.'),
            ('--data.val SOURCE', 'The images and masks to evaluate, if they are not those of the training.'),
            ('-c FILE, --config FILE', 'YAML that changes settings of the checkpoint.'),
        ],
    )
    report = Group('Result', [('--report=false', 'Write no page of metrics and images.')])
    usage = f'{name} --ckpt PATH [options]'
    return Page(usage, description, [model, data, Group('Hardware', _HARDWARE), report], f'{name} --ckpt exp1')


#: The commands of the trainer, with the line that `seglight --help` has for each.
TRAINER_COMMANDS = {
    'fit': 'Train and validate a model, and keep its checkpoints in a run folder.',
    'validate': 'Evaluate a checkpoint on the validation data.',
    'test': 'Evaluate a checkpoint on data.val like validate, and log its metrics as test/.',
    'predict': 'Write the masks that a checkpoint predicts.',
}

#: The help of the commands of the trainer. Each option is one of the command's parser.
PAGES = {
    'fit': Page(
        'fit --config FILE [options]',
        TRAINER_COMMANDS['fit'],
        [
            Group(
                'Start',
                [
                    ('-c FILE, --config FILE', 'The run, in YAML; later files and options override earlier ones.'),
                    ('--model.zoo NAME', 'A model of mmsegmentation by name; seglight zoo lists them.'),
                    ('--load-from PATH', 'Start with the weights of this checkpoint (fine-tuning).'),
                    ('--resume-from PATH', 'Continue the run of this checkpoint exactly.'),
                    ('--auto-resume', 'Continue the newest run of this config, if there is one.'),
                ],
            ),
            Group(
                'Data and training',
                [
                    ('--data.root FOLDER', 'The folder of the data set.'),
                    ('--data.split SPLIT', 'Split train into train and val.'),
                    ('--trainer.max_epochs N', 'The number of epochs.'),
                    (
                        '--trainer.max_steps N',
                        'The number of optimizer steps; add --trainer.max_epochs=-1, or the first limit reached ends '
                        'the run.',
                    ),
                    ('--model.optimizer OPTIMIZER', 'For example --model.optimizer.lr=1e-4.'),
                    ('--model.schedule SCHEDULE', "mmseg's lr_config, for example --model.schedule.policy=poly."),
                    ('--seed N', 'The seed of all random numbers.'),
                ],
            ),
            Group('Hardware', _HARDWARE),
            Group(
                'Result',
                [
                    ('--work-dir FOLDER', 'The folder of the run, by default the next free work_dirs/exp{N}.'),
                    ('--tags TAG ...', 'Labels of the run.'),
                    ('--wandb.project NAME', 'Log the run to W&B.'),
                    ('--report=false', 'Write no page of metrics and images.'),
                ],
            ),
            Group(
                'Try',
                [
                    ('--debug [N]', 'Train for 2 epochs (of N batches), and show the traceback of an error.'),
                    ('--print-config', 'Print the whole config, and exit.'),
                ],
            ),
        ],
        'fit --config demo.yaml',
    ),
    'validate': _evaluating('validate', TRAINER_COMMANDS['validate']),
    'test': _evaluating('test', TRAINER_COMMANDS['test']),
    'predict': Page(
        'predict --ckpt PATH [options]',
        TRAINER_COMMANDS['predict'],
        [
            Group('Model', [('--ckpt PATH', _CHECKPOINT), *_INFERENCE]),
            Group(
                'Images',
                [
                    ('--input PATH', 'A folder, file, pattern, list, COCO JSON or video; by default data.test.'),
                    ('--resume', 'Predict only the images that an interrupted run left.'),
                    ('--part I/N', 'Predict one of N parts, for several machines; seglight join puts them together.'),
                ],
            ),
            Group(
                'Result',
                [
                    (
                        '--output FOLDER',
                        'By default predictions/{checkpoint} in the run, with --input '
                        'predictions/{checkpoint}_{input}.',
                    ),
                    ('--overlays', 'Also write colour overlays.'),
                    ('--submission', 'Also write a CSV file for a competition.'),
                    ('--submission-format F', 'labels, rle or zip.'),
                    ('--submission-size N', 'Its masks: 512, or height and width.'),
                    ('--probabilities TYPE', 'Also write class probabilities, float16 or uint8.'),
                    ('--coco', 'Also write COCO JSON.'),
                    ('--pseudo-labels C', 'Also write masks to train on, of pixels with at least this confidence.'),
                ],
            ),
            Group('Hardware', _HARDWARE),
        ],
        'predict --ckpt exp1 --input photos --overlays',
    ),
}

#: Options of the other commands that only `--help-all` lists, besides those of every command.
RARE = {
    'benchmark': ('--rounds', '--warmup', '--threads'),
    'export': ('--half', '--int8', '--allow-differences', '--root'),
    'soup': ('--batches', '--root'),
    'setup': ('--download',),
}
_RARE_ANYWHERE = ('--trust-checkpoint', '--debug', '--help', '--help-all')

#: The groups of commands in `seglight --help`.
KINDS = {
    'Train and predict': ('fit', 'validate', 'test', 'predict'),
    'Prepare': ('setup', 'data', 'zoo', 'plan', 'info'),
    'Compare and combine': ('report', 'sweep', 'folds', 'ensemble', 'vote', 'join', 'soup'),
    'Exchange': ('convert', 'export', 'benchmark', 'completion'),
}


def overview(lines: dict[str, str]) -> Page:
    """Return the help of seglight itself.

    Args:
        lines: a line about each command.
    """
    groups = [Group(title, [(name, lines[name]) for name in names]) for title, names in KINDS.items()]
    options = Group('Options', [('--version', 'Print the version.'), ('--help', 'Print this help.')])
    text = 'Train and run the segmentors of mmsegmentation with PyTorch Lightning.'
    return Page('COMMAND [options]', text, [*groups, options], 'fit --config demo.yaml')


def page_of(name: str, parser: ArgumentParser) -> Page:
    """Return the short help of a command from its parser."""
    rare = (*RARE.get(name, ()), *_RARE_ANYWHERE)
    given: list[tuple[str, str]] = []
    options: list[tuple[str, str]] = []
    required: list[str] = []
    for action in parser._actions:
        if action.help == SUPPRESS or any(option in rare for option in action.option_strings):
            continue
        value = _value(action)
        if action.option_strings:
            names = [option for option in action.option_strings if '_' not in option]
            options.append((f'{", ".join(names)} {value}'.strip(), action.help or ''))
            required += [f'{names[-1]} {value}'] if action.required else []
        else:
            given.append((value, action.help or ''))
    description, *_ = (parser.description or '').split('\n\n')
    usage = ' '.join([name, *(value for value, _ in given), *required, *(['[options]'] if options else [])])
    groups = [Group(title, listed) for title, listed in (('Arguments', given), ('Options', options)) if listed]
    return Page(usage, ' '.join(description.split()), groups)


def _value(action: Action) -> str:
    """Return the placeholder of an argument's value, `...` where it may have several; empty without a value."""
    if action.nargs == 0:
        return ''
    if isinstance(action.metavar, tuple):
        return ' '.join(action.metavar)
    name = action.metavar or ('|'.join(map(str, action.choices)) if action.choices else action.dest.upper())
    return {OPTIONAL: f'[{name}]', ONE_OR_MORE: f'{name} ...'}.get(str(action.nargs), name)


def show(page: Page, everything: str = '') -> None:
    """Print a page to stdout.

    Args:
        page: the page.
        everything: the command whose `--help-all` prints more.
    """
    write(spans_of(page, min(columns(), MOST), everything), sys.stdout, end='')


def spans_of(page: Page, width: int, everything: str = '') -> Iterator[Span]:
    """Yield a page as lines of at most `width` columns, unless a single word is wider."""
    yield 'usage: ', 'bold'
    yield f'{_wrapped(f"seglight {page.usage}", width, first=7, rest=16)}\n\n', ''
    yield f'{_wrapped(page.description, width)}\n', ''
    for title, options in page.groups:
        yield f'\n{title}\n', 'bold'
        for names, text in options:
            yield from _option(names, text, width)
    if page.example:
        yield '\nexample: ', 'bold'
        yield f'{program()} {page.example}\n', ''
    if everything:
        text = f'seglight {everything} --help-all lists all options and describes them.'
        yield f'\n{_wrapped(text, width)}\n', 'dim'


def _option(names: str, text: str, width: int) -> Iterator[Span]:
    """Yield the lines of an option: its text next to it, or below it where the terminal is narrow or its name long."""
    yield '  ', ''
    yield names, 'cyan'
    indent = 6 if width < NARROW else INDENT
    gap = indent - 2 - cell_width(names)
    if width < NARROW or gap < 2:
        yield f'\n{" " * indent}', ''
    else:
        yield ' ' * gap, ''
    yield f'{_wrapped(text, width, first=indent, rest=indent)}\n', ''


def _wrapped(text: str, width: int, first: int = 0, rest: int = 0) -> str:
    """Return a text in lines of at most `width` columns, of which `first` of the first line are taken."""
    lines = textwrap.wrap(
        text,
        width=max(20, width),
        initial_indent=' ' * first,
        subsequent_indent=' ' * rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return '\n'.join(lines)[first:]
