"""The commands that find settings: their arguments, and the functions of `seglight.competition` that they call."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from seglight.cli.commands.cluster import add_cluster, cluster_of
from seglight.console import labelled, program
from seglight.errors import say


def plan(arguments: Namespace) -> None:
    """Derive settings from the data, as nnU-Net does, and write them as a config.

    Crop and scale follow from the sizes of images and objects, the batch from memory, time and the size of the data
    set, class weights and repeated images from the masks, workers, cache and epochs from a few measured steps. The file
    inherits the config, has a comment beside each choice, and leaves alone what your own files set; what they inherit
    from a shipped config is planned.

        seglight plan --config own.yaml --hours 2
        seglight fit --config plan.yaml
    """
    from seglight.competition.plan import make_plan

    path = make_plan(arguments.config, arguments.hours, arguments.output, arguments.command_line)
    say(labelled('Written', path))
    say(labelled('Train', f'{program()} fit --config {shlex.quote(str(path))}'))


def plan_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `plan`."""
    text = 'A config with the data and the model; of several, later ones override earlier ones.'
    parser.add_argument('--config', '-c', action='append', default=[], help=text)
    parser.add_argument('--hours', type=float, default=2.0, help='Time for the run on this machine (2).')
    text = 'The config to write, which must not exist (plan.yaml).'
    parser.add_argument('--output', type=Path, default=Path('plan.yaml'), help=text)


def sweep(arguments: Namespace) -> None:
    """Search over keys of a config with Optuna, which needs the extra `sweep`.

    The file of --search has a range or a choice for each key. Each trial is a run of fit; successive halving ends those
    early that are worse than the others. The metric is that of best_checkpoint. The folder gets a run for each trial,
    trials.csv, and sweep.html with what mattered. The same command resumes after an interruption, even kill -9, and
    joins while others run: on another GPU, or on another machine that shares the folder.

        seglight sweep --config own.yaml --search search.yaml --trials 30
        seglight sweep --config own.yaml --search search.yaml --trials 30 --trainer.max_epochs=20
        seglight sweep --config own.yaml --search search.yaml --jobs 8 --cluster slurm
    """
    from seglight.competition.searching.sweep import sweep as run

    with cluster_of(arguments) as cluster:
        run(
            arguments.config,
            arguments.search,
            arguments.trials,
            arguments.flags,
            command_line=arguments.command_line,
            work_dir=arguments.work_dir,
            jobs=arguments.jobs,
            cluster=cluster,
        )


def sweep_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `sweep`; all others are flags of `fit`."""
    parser.add_argument('--config', '-c', action='append', default=[], help='The config; later ones override.')
    text = 'Values of each key: {low: 1e-4, high: 1e-2, log: true}, with step, or {choices: [4, 8]}.'
    parser.add_argument('--search', type=Path, help=text)
    parser.add_argument('--trials', type=int, default=30, help='Number of all trials (30).')
    text = 'Folder of all trials, by default that of the same search, or else the next free work_dirs/sweep{N}.'
    parser.add_argument('--work-dir', '--work_dir', type=Path, help=text)
    text = 'Number of jobs on the cluster that run trials together (1).'
    parser.add_argument('--jobs', type=int, default=1, help=text)
    add_cluster(parser)
