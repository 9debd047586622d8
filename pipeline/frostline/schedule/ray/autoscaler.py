"""Whether a cluster can grow to make room for a lease, by what its autoscaler says.

In: what a lease needs, by Ray's names. Out: an autoscaler that was asked for it, and its answer.
Ray itself keeps a request that no machine of the cluster will ever fit for good, without a word.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
from ray.autoscaler.sdk import request_resources
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

_BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""The cluster file, completed, which `ray up` leaves on the head."""
_KUBERAY = "RAY_USAGE_STATS_KUBERAY_IN_USE"
_SURE_AFTER = 2


class Growth(Protocol):
    """An autoscaler that was asked for room."""

    def answer(self) -> bool | None:
        """Whether some kind of machine that it may start has that much room; None: not said yet."""

    def refuses(self) -> bool:
        """Whether it has said that no kind of machine it may start has that much room."""

    def settle(self) -> None:
        """Withdraw the request; what waits to be scheduled is the demand from here on."""


def bootstrap_file() -> Path:
    """Where Ray's cluster launcher writes what the autoscaler may start; also without a home."""
    return Path(os.path.expanduser(_BOOTSTRAP))  # noqa: PTH111 - Path's raises without a home


def ask_for(wanted: Mapping[str, float]) -> Growth | None:
    """Ask the cluster's autoscaler for room for one lease; None where there is no autoscaler.

    Args:
        wanted: a lease's resources by Ray's names.
    """
    if is_autoscaler_v2(fetch_from_server=True):
        return _Asked(wanted)
    if _KUBERAY in os.environ or bootstrap_file().exists():
        return _AskedOfOld(wanted)
    return None


class _AskedOfOld:
    """Ray's first autoscaler, which does not say which requests it cannot meet."""

    def __init__(self, wanted: Mapping[str, float]) -> None:
        request_resources(bundles=[dict(wanted)])

    def answer(self) -> bool | None:
        return None

    def refuses(self) -> bool:
        return self.answer() is False

    def settle(self) -> None:
        request_resources(bundles=[])


class _Asked(_AskedOfOld):
    """Ray's second autoscaler, which reports in each round which requests it cannot meet."""

    def __init__(self, wanted: Mapping[str, float]) -> None:
        self._gcs = GcsClient(address=ray.get_runtime_context().gcs_address)
        self._refused: set[int] = set()
        self._taken: set[int] = set()
        self._before = self._status().last_seen_cluster_resource_state_version
        super().__init__(wanted)

    def answer(self) -> bool | None:
        """What two rounds after the request have said: the first may have begun before it."""
        state = self._status()
        refused = bool(state.infeasible_cluster_resource_constraints)
        said, other = (self._refused, self._taken) if refused else (self._taken, self._refused)
        said.add(state.last_seen_cluster_resource_state_version)
        other.clear()
        return not refused if len(said - {self._before}) >= _SURE_AFTER else None

    def _status(self) -> Any:
        reply = GetClusterStatusReply()
        reply.ParseFromString(self._gcs.get_cluster_status(timeout_s=10))
        return reply.autoscaling_state
