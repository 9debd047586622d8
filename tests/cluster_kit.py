"""Ray test clusters of several nodes on one machine, which several tests may start at once."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster


def new_cluster() -> Cluster:
    """A cluster with a head that has no CPUs, on loopback, without a dashboard."""
    from frostline.schedule.ray.cluster import prepare_environment

    prepare_environment()  # before Ray reads its environment
    from ray.cluster_utils import Cluster

    # Ray checks the dashboard's port even where there is none, and fails where it is taken.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    head = {"num_cpus": 0, "include_dashboard": False, "dashboard_port": port}
    return Cluster(initialize_head=True, head_node_args=head)
