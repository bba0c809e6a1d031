"""The arguments that send runs to a cluster."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seglight.competition.jobs.cluster import Cluster


def add_cluster(parser: ArgumentParser) -> None:
    """Add the arguments that `cluster_of` reads."""
    text = 'Run as jobs of SLURM, or of submitit on this machine; needs the extra slurm.'
    parser.add_argument('--cluster', choices=('slurm', 'local'), help=text)
    text = "KEY=VALUE for each job, with submitit's keys: timeout_min (1440), gpus_per_node (1), slurm_partition, ..."
    parser.add_argument('--cluster-option', '--cluster_option', action='append', default=[], help=text)


def cluster_of(arguments: Namespace) -> Cluster | None:
    """Return the cluster that the arguments name.

    Raises:
        UserError: if there is none, or it does not have an option.
    """
    from seglight.competition.jobs.cluster import Cluster
    from seglight.errors import UsageError

    if arguments.cluster:
        return Cluster(arguments.cluster, arguments.cluster_option)
    if arguments.cluster_option:
        raise UsageError('--cluster-option needs --cluster')
    return None
