"""The arguments that send runs to a cluster."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seglight.competition.jobs.executor import Executor


def add_cluster(parser: ArgumentParser) -> None:
    """Add the arguments that `cluster_of` reads."""
    text = 'Run as jobs of SLURM, or of submitit on this machine; needs the extra slurm.'
    parser.add_argument('--cluster', choices=('slurm', 'local'), help=text)
    text = "KEY=VALUE for each job, with submitit's keys: timeout_min (1440), gpus_per_node (1), slurm_partition, ..."
    parser.add_argument('--cluster-option', '--cluster_option', action='append', default=[], help=text)
    add_ray(parser)


def add_ray(parser: ArgumentParser) -> None:
    """Add the arguments of commands that can run on Ray."""
    text = 'Run on Ray: local starts it on this machine; else auto, HOST:PORT or ray://HOST:PORT. Needs the extra ray.'
    parser.add_argument('--ray', metavar='ADDRESS', help=text)
    text = 'How often to start again on Ray after a process or a machine has ended (0); continues from checkpoints.'
    parser.add_argument('--ray-max-failures', '--ray_max_failures', type=int, metavar='N', help=text)


def add_fit_on_ray(parser: ArgumentParser) -> None:
    """Add the arguments of a run whose processes are those of Ray."""
    add_ray(parser)
    text = 'Processes of the run on Ray: by default one for each GPU, or 1 on CPUs.'
    parser.add_argument('--ray-workers', '--ray_workers', type=int, metavar='N', help=text)


@contextmanager
def cluster_of(arguments: Namespace) -> Iterator[Executor | None]:
    """Return a context with the cluster that the arguments name.

    Raises:
        UserError: if there is none, or it does not have an option.
    """
    from seglight.competition.jobs.cluster import Cluster
    from seglight.errors import UsageError

    if arguments.cluster_option and not arguments.cluster:
        raise UsageError('--cluster-option needs --cluster')
    if arguments.ray and arguments.cluster:
        raise UsageError('--ray and --cluster each choose where the runs go; give one of them')
    failures = max_failures(arguments)
    if not arguments.ray:
        yield Cluster(arguments.cluster, arguments.cluster_option) if arguments.cluster else None
        return
    from seglight.cli.ray_start import connected
    from seglight.competition.jobs.ray_cluster import RayCluster

    with connected(arguments.ray) as ray:
        yield RayCluster(ray, failures)


def max_failures(arguments: Namespace) -> int:
    """Return the value of --ray-max-failures.

    Raises:
        UsageError: if it is negative, or given without --ray.
    """
    from seglight.errors import UsageError

    number: int | None = arguments.ray_max_failures
    if number is not None and not arguments.ray:
        raise UsageError('--ray-max-failures needs --ray')
    if number is not None and number < 0:
        raise UsageError(f'--ray-max-failures must be at least 0, got {number}')
    return number or 0
