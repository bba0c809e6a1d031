"""The commands for whole competitions: their arguments, and the functions of `seglight.competition` that they call."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from seglight.cli.commands.cluster import add_cluster, cluster_of
from seglight.console import labelled, program
from seglight.errors import say

FOLDER = 'The folder of seglight folds: a path, or relative to work_dirs.'
TRUST = 'Allow your own folder to name classes of any package, in its plan and its checkpoints.'


def folds(arguments: Namespace) -> None:
    """Train models on the same folds, and score them out of fold.

    Each --config is a model; flags of fit apply to all. Every image of data.train is predicted by the run that was
    not trained on it. The folder gets a run for each model and fold, scores.csv, and folds.html, which compares the
    models. After an interruption, even kill -9, the same command resumes; runs that are done are not touched.

    With --rounds 2, the models then label the images of data.test, and all are trained again on those labels, too.
    Each fold has labels of its own, by models that were not trained on its images; they are never validated on.

        seglight folds --config pspnet.yaml --config segformer.yaml --folds 5
        seglight folds --config own.yaml --group '^[^_]+' --jobs 2 --trainer.max_epochs=20
        seglight folds --config pspnet.yaml --config segformer.yaml --folds 5 --rounds 2
        seglight folds --config own.yaml --jobs 5 --cluster slurm --cluster-option slurm_partition=gpu
    """
    from seglight.competition.folds import train_folds
    from seglight.competition.pseudo_labels.rounds import make_rounds

    with cluster_of(arguments) as cluster:
        folder = train_folds(
            arguments.config,
            arguments.folds,
            arguments.flags,
            resolve=arguments.command_line,
            group=arguments.group,
            jobs=arguments.jobs,
            work_dir=arguments.work_dir,
            cluster=cluster,
            rounds=make_rounds(arguments.rounds, arguments.precision, arguments.pseudo_weight),
        )
    say(labelled('Ensemble', f'{program()} ensemble {shlex.quote(str(folder))}'))


def folds_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `folds`; all others are flags of `fit`."""
    parser.add_argument('--config', '-c', action='append', default=[], help='A model; give one for each.')
    parser.add_argument('--folds', type=int, default=5, help='Number of folds (5).')
    text = "Regular expression for the group in an image's name, or a file of groups, as in data.split.group."
    parser.add_argument('--group', help=text)
    parser.add_argument(
        '--jobs', type=int, default=1, help='Number of runs at once (1); each uses one of several GPUs.'
    )
    text = 'Folder of all runs, by default that of the same command, or else the next free work_dirs/folds{N}.'
    parser.add_argument('--work-dir', '--work_dir', type=Path, help=text)
    text = 'Number of rounds (1); from the second on, also train on pseudo labels of data.test.'
    parser.add_argument('--rounds', type=int, default=1, help=text)
    text = 'Precision of the pseudo labels of each class (0.95), which sets their confidence.'
    parser.add_argument('--precision', type=float, help=text)
    text = 'How often each pseudo label occurs in an epoch, on average (1).'
    parser.add_argument('--pseudo-weight', '--pseudo_weight', type=float, help=text)
    add_cluster(parser)


def labels(arguments: Namespace) -> None:
    """Rank the images and regions whose labels the out-of-fold predictions contradict (seglight data labels)."""
    from seglight.competition.labels import rank_labels

    say(labelled('Report', rank_labels(arguments.folder, arguments.images, arguments.trust_checkpoint)))


def labels_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `data labels`."""
    parser.add_argument('folder', help=FOLDER)
    parser.add_argument('--images', type=int, default=24, help='Number of pictures of images, and of regions (24).')
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST)


def ensemble(arguments: Namespace) -> None:
    """Choose an ensemble on the out-of-fold predictions of seglight folds.

    Models and views are added greedily while the mIoU grows, then thresholds of classes, smallest areas of regions and
    largest holes. The nested score is unbiased: for each fold, everything is chosen on the other folds. The file with
    the highest nested score is for predict --ensemble, which averages all probabilities in one pass.

        seglight ensemble folds1
        seglight predict --ensemble work_dirs/folds1/ensemble.yaml --submission
    """
    from seglight.competition.ensemble import choose_ensemble

    path = choose_ensemble(
        arguments.folder, arguments.views, arguments.jobs, arguments.output, arguments.trust_checkpoint
    )
    say(labelled('Written', path))
    say(labelled('Predict', f'{program()} predict --ensemble {shlex.quote(str(path))} --submission'))


def ensemble_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `ensemble`."""
    parser.add_argument('folder', help=FOLDER)
    text = (
        'Views that each model may have (plain flips): plain, flips (horizontal), scales (0.75, 1, 1.25, also flipped).'
    )
    parser.add_argument('--views', nargs='+', default=['plain', 'flips'], help=text)
    parser.add_argument('--jobs', type=int, default=1, help='Number of processes that predict at once (1).')
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST)
    text = 'The file to write, which must not exist; by default ensemble.yaml in the folder.'
    parser.add_argument('--output', type=Path, help=text)
