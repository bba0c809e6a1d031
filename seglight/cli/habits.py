"""Answer command lines of mmseg's tools with the spelling of seglight.

Options that mean the same here, such as `--work-dir`, `--cfg-options` and `--options`, simply work.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath

from seglight.cli.help import TRAINER_COMMANDS
from seglight.config.arguments import read_flag
from seglight.console import program
from seglight.errors import UsageError

#: mmseg's tools, by the name of their file, and the command that does the same.
TOOLS = {'train': 'fit', 'dist_train': 'fit', 'slurm_train': 'fit', 'dist_test': 'test', 'slurm_test': 'test'}

#: Options of mmseg's tools and what to use instead; `{}` stands for their value.
OPTIONS = {
    '--gpu_ids': 'use --trainer.devices=[{}]',
    '--gpu_id': 'use --trainer.devices=[{}]',
    '--gpus': 'use --trainer.devices={}',
    '--launcher': 'use --trainer.devices=N for N GPUs of a machine, or start the same command with torchrun',
    '--local_rank': 'remove it; torchrun sets it for each process',
    '--deterministic': 'use --trainer.deterministic=true',
    '--diff_seed': 'remove it; no two processes draw the same augmentations',
    '--eval': "remove it; mIoU, mAcc and aAcc are always printed, others with --model.per_class='[IoU,Dice,Fscore]'",
    '--eval_options': 'remove it; model.per_class and model.boundary_iou choose metrics',
    '--format_only': 'use seglight predict --ckpt CHECKPOINT, with --mask-labels for the labels of the benchmark',
    '--show': 'use seglight predict --ckpt CHECKPOINT --overlays',
    '--show_dir': 'use seglight predict --ckpt CHECKPOINT --overlays --output {}',
    '--out': 'use seglight predict --ckpt CHECKPOINT --output FOLDER, with --probabilities float16 for probabilities',
    '--opacity': 'remove it; the overlays of seglight predict --overlays have the opacity 0.5',
    '--gpu_collect': 'remove it; counts are summed over the GPUs',
    '--tmpdir': 'remove it; counts are summed over the GPUs',
}

#: Options of mmseg's `test.py` that only `fit` has here.
_ONLY_FIT = {'--work_dir': 'remove it; the metrics and their page are next to the checkpoint'}

#: What `{}` stands for if an option has no value.
_EXAMPLES = {'--gpus': '2', '--show_dir': 'FOLDER'}

#: The suffixes of configs and of checkpoints.
_CONFIGS, _CHECKPOINTS = ('.py', '.yaml', '.yml'), ('.pth', '.ckpt')


def check_habits(argv: Sequence[str]) -> None:
    """Reject a command line of mmseg's tools, with the one to type instead.

    Args:
        argv: the command line.

    Raises:
        UsageError: for a tool, a file without its option, or an option that has another name here.
    """
    typed = argv[0] if argv else ''
    command = _command(typed)
    if command not in TRAINER_COMMANDS:
        return
    files: list[str] = []
    for word in argv[1:]:
        if word.startswith('-'):
            break
        files.append(word)
    if command != typed or files:
        raise UsageError(_instead(typed, command, files, argv[1 + len(files) :]))
    options = OPTIONS if command == 'fit' else OPTIONS | _ONLY_FIT
    for index, word in enumerate(argv):
        flag = read_flag(word)
        if flag.name in options:
            following = argv[index + 1 : index + 2]
            value = flag.value or next((each for each in following if not each.startswith('-')), None)
            text = options[flag.name].format(value or _EXAMPLES.get(flag.name, '0'))
            raise UsageError(f'{flag.typed.partition("=")[0]} is an option of mmseg: {text}')


def _command(typed: str) -> str:
    """Return the command for a word, which may be the path of a tool, such as `tools/train.py`."""
    name = PurePath(typed)
    stem = name.stem if name.suffix in ('.py', '.sh') else typed
    return TOOLS.get(stem, 'test' if stem == 'test' else typed)


def _instead(typed: str, command: str, files: Sequence[str], rest: Sequence[str]) -> str:
    """Return the message that names the whole command line to type."""
    words, unknown, numbers = [command], [], []
    for file in files:
        if file.endswith(_CONFIGS):
            words += ['--config', file]
        elif file.endswith(_CHECKPOINTS):
            words += ['--ckpt', file]
        elif file.isdecimal() and typed != command:
            numbers.append(f'--trainer.devices={file}')
        else:
            unknown.append(file)
    if unknown:
        option = '--config' if command == 'fit' else '--ckpt'
        return f"{command} has no argument '{unknown[0]}' without an option; pass it with {option} {unknown[0]}"
    kept: list[str] = []
    index = 0
    while index < len(rest):
        is_left_out = read_flag(rest[index]).name in OPTIONS
        end = index + 1
        while end < len(rest) and not rest[end].startswith('-'):
            end += 1
        kept += [] if is_left_out else rest[index:end]
        index = end
    line = shlex.join([*words, *numbers, *kept])
    if typed != command:
        return f"'{typed}' is a tool of mmseg; use {program()} {line}"
    return f'{command} takes files with an option: {program()} {line}'
