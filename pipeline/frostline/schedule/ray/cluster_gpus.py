"""How many GPUs a cluster has or may start, in a process of its own: the last line that it prints.

Run by `frostline.schedule.available_gpus` with the cluster's address. Looks at the nodes there are;
then at what `ray up` left on the head about the machine types that may be started; then asks the
autoscaler for a GPU and withdraws the request. What it cannot tell is an error, not a guess.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import yaml

from frostline.errors import FrostlineError, UsageError
from frostline.schedule.ray import cluster
from frostline.schedule.ray.autoscaler import ask_for, bootstrap_file

_ANSWERS_WITHIN_S = 60.0
_POLL_S = 0.5


def of_nodes() -> int:
    """GPUs of the nodes that are alive."""
    return sum(int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"])


def of_machine_types(config: Mapping[str, Any]) -> int:
    """GPUs that a cluster file lets the autoscaler start, by its machine types.

    Args:
        config: a cluster file as `ray up` completes it, the resources of each type included.
    """
    most = int(config.get("max_workers", 0))
    head = config.get("head_node_type")
    return sum(
        int((kind.get("resources") or {}).get("GPU", 0))
        * (1 if name == head else min(most, int(kind.get("max_workers", most))))
        for name, kind in (config.get("available_node_types") or {}).items()
    )


def available() -> int:
    """GPUs of the cluster that this process has joined, or that it may start.

    Raises:
        UsageError: nothing tells what its autoscaler may start.
    """
    if there := of_nodes():
        return there
    bootstrap = bootstrap_file()
    if bootstrap.exists():
        return of_machine_types(_read(bootstrap))
    asked = ask_for({"GPU": 1.0})
    if asked is None:
        return 0  # there is no autoscaler: what is there is all that there will be
    try:
        end = time.monotonic() + _ANSWERS_WITHIN_S
        while time.monotonic() < end:
            if (may := asked.answer()) is not None:
                return int(may)
            if there := of_nodes():
                return there
            time.sleep(_POLL_S)
    finally:
        asked.settle()
    raise UsageError(
        "this cluster has no GPU now, and its autoscaler does not say whether it can start one: "
        "set gpus_per_trial = 0 or 1 under [resources]"
    )


def _read(path: Path) -> Mapping[str, Any]:
    content = yaml.safe_load(path.read_text())
    return content if isinstance(content, Mapping) else {}


if __name__ == "__main__":
    try:
        cluster.join(sys.argv[1])
        try:
            print(available())
        finally:
            cluster.stop()
    except FrostlineError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
