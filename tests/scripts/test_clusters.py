"""The files for clusters start seglight with options that exist, and pass what they should."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch.distributed.run import get_args_parser

from seglight.cli.command_line import CommandLine

SCRIPTS = Path(__file__).parents[2] / 'scripts'


def resolves(words: list[str], config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that `fit` accepts words of a command, with another config."""
    assert words[:3] == ['-m', 'seglight', 'fit']
    flags = [word for word in words[3:] if 'own.yaml' not in word and word != '--config']
    with pytest.raises(SystemExit) as end:
        CommandLine(['fit', '--config', str(config), *flags, '--print_config'])
    assert not end.value.code
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed['auto_resume'] is True
    assert printed['work_dir'] == '/data/work_dirs/long'


def kubernetes() -> list[str]:
    service, job = yaml.safe_load_all((SCRIPTS / 'kubernetes.yaml').read_text())
    assert service['spec']['selector'] == {'job-name': job['metadata']['name']}
    pod = job['spec']['template']['spec']
    assert pod['subdomain'] == service['metadata']['name']
    assert job['spec']['completions'] == job['spec']['parallelism'] == 2
    (container,) = pod['containers']
    assert {each['name'] for each in container['volumeMounts']} == {each['name'] for each in pod['volumes']}
    words: list[str] = container['command']
    assert f'--nproc-per-node={container["resources"]["limits"]["nvidia.com/gpu"]}' in words
    return words


def skypilot() -> list[str]:
    task = yaml.safe_load((SCRIPTS / 'skypilot.yaml').read_text())
    assert task['num_nodes'] == 2
    variables = {'NODE_IPS': '10.0.0.5\n10.0.0.6', 'NUM_NODES': '2', 'NUM_GPUS_PER_NODE': '4', 'TASK_ID': 'sky-1'}
    script = task['run'].replace('.venv/bin/torchrun', "printf '%s\\n' torchrun")
    done = subprocess.run(
        ['bash', '-euc', script],
        env={**os.environ, **{f'SKYPILOT_{name}': value for name, value in variables.items()}},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ('words', 'endpoint'),
    [(kubernetes, 'seglight-0.seglight:29500'), (skypilot, '10.0.0.5:29500')],
    ids=['kubernetes', 'skypilot'],
)
def test_torchrun_and_fit_accept_the_command(
    words: Any, endpoint: str, tiny_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *options = words()
    assert Path(first).name == 'torchrun'
    parsed = get_args_parser().parse_args(options)
    assert (parsed.nnodes, parsed.nproc_per_node, parsed.rdzv_backend) == ('2', '4', 'c10d')
    assert parsed.rdzv_endpoint == endpoint
    assert parsed.max_restarts > 0
    assert parsed.module
    resolves(['-m', parsed.training_script, *parsed.training_script_args], tiny_config, capsys)


def test_the_batch_file_of_slurm_passes_its_arguments_to_srun(workspace: Path) -> None:
    script = SCRIPTS / 'slurm.sbatch'
    options = dict(
        line.removeprefix('#SBATCH --').partition('=')[::2]
        for line in script.read_text().splitlines()
        if line.startswith('#SBATCH ')
    )
    assert options['ntasks-per-node'] == options['gpus-per-node']  # a process for each GPU
    assert options['signal'] == 'USR1@90'
    assert {'requeue', 'open-mode'} <= options.keys()
    srun = workspace / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    done = subprocess.run(
        ['bash', script, '--config', 'my own.yaml'],
        env={**os.environ, 'PATH': f'{workspace}{os.pathsep}{os.environ["PATH"]}', 'SLURM_JOB_ID': '4711'},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    fit = ['fit', '--config', 'my own.yaml', '--work-dir', 'work_dirs/slurm_4711', '--auto-resume']
    assert words == ['--kill-on-bad-exit=1', '--cpus-per-task=1', 'python', '-m', 'seglight', *fit]
    refused = subprocess.run(['bash', script], capture_output=True, text=True)
    assert refused.returncode
    assert 'SLURM_JOB_ID' in refused.stderr
