"""Command lines of mmseg's tools, each answered by one line with the spelling of seglight."""

import re
from collections.abc import Callable

import pytest
from conftest import Result

from seglight.cli.habits import OPTIONS, TOOLS
from seglight.config.mmseg.packaged import zoo_folder

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ('typed', 'answer'),
    [
        ('train own.py', 'seglight fit --config own.py'),
        ('tools/train.py own.py --work-dir w', 'seglight fit --config own.py --work-dir w'),
        ('train own.py --cfg-options a=1 b=2 --gpu-ids 0', 'seglight fit --config own.py --cfg-options a=1 b=2'),
        ('dist_train own.py 2', 'seglight fit --config own.py --trainer.devices=2'),
        ('tools/dist_train.sh own.py 4', 'seglight fit --config own.py --trainer.devices=4'),
        ('fit own.py', 'fit takes files with an option: '),
        ('test own.py a.pth --eval mIoU mDice', 'seglight test --config own.py --ckpt a.pth'),
        ('tools/test.py own.py a.pth', 'seglight test --config own.py --ckpt a.pth'),
        ('predict exp1', "predict has no argument 'exp1' without an option; pass it with --ckpt exp1"),
        ('fit --config a.yaml --gpu-ids 1', '--gpu-ids is an option of mmseg: use --trainer.devices=[1]'),
        ('fit --config a.yaml --gpu-id=3', '--gpu-id is an option of mmseg: use --trainer.devices=[3]'),
        ('fit --config a.yaml --gpus', 'use --trainer.devices=2'),
        ('fit --config a.yaml --launcher pytorch', 'use --trainer.devices=N'),
        ('fit --config a.yaml --deterministic', 'use --trainer.deterministic=true'),
        ('test --ckpt a.pth --eval mIoU', 'mIoU, mAcc and aAcc are always printed, others with --model.per_class='),
        ('test --ckpt a.pth --format-only', 'with --mask-labels for the labels of the benchmark'),
        ('test --ckpt a.pth --work-dir w', 'the metrics and their page are next to the checkpoint'),
        ('test --ckpt a.pth --show-dir out', 'predict --ckpt CHECKPOINT --overlays --output out'),
        ('test --ckpt a.pth --out res.pkl', 'predict --ckpt CHECKPOINT --output FOLDER'),
    ],
)
def test_a_habit_is_answered_with_seglights_spelling(typed: str, answer: str, run: Run) -> None:
    result = run(*typed.split())
    assert result.status == 2
    assert answer in result.err.replace('python -m seglight', 'seglight')
    assert result.err.count('\n') == 1
    assert result.out == ''


def test_what_means_the_same_works(tiny_config: str, run: Run) -> None:
    words = ('--work_dir', 'w', '--options', 'optimizer.lr=0.5', '--seed', '3', '--print_config')
    result = run('fit', '--config', tiny_config, *words)
    assert result.status == 0, result.err
    assert re.search(r'lr: 0\.5$', result.out, re.MULTILINE)


def test_another_word_is_an_unknown_command(run: Run) -> None:
    assert "unknown command 'trian'" in run('trian', 'own.py').err


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_every_option_of_mmsegs_tools_has_an_answer_or_works(tool: str, run: Run) -> None:
    source = (zoo_folder().parent / 'tools' / f'{tool}.py').read_text()
    options = {each.replace('-', '_').replace('__', '--', 1) for each in re.findall(r"'(--[\w-]+)'", source)}
    command = TOOLS.get(tool, tool)
    known = run(command, '--help-all').out.replace('-', '_')
    for option in options - set(OPTIONS) - ({'--work_dir'} if command == 'test' else set()):
        assert option.replace('-', '_') in known, option
