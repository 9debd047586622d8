"""How many GPUs a sweep may use: those of this machine, or those that a cluster has or may start.

In: the address of a cluster, or None for this machine. Out: a number. A cluster is asked in a child
process, because Ray's signal handlers and its session would outlive the question in this one.
"""

from __future__ import annotations

import os
import subprocess

from frostline.errors import UsageError
from frostline.gpus import gpus_here
from frostline.launch import command

_MODULE = "frostline.schedule.ray.cluster_gpus"
_ANSWER_S = 180.0


def available_gpus(address: str | None) -> int:
    """GPUs of this machine, or of a cluster; for a cluster that could start some, at least 1.

    Raises:
        UsageError: the cluster does not answer, or nothing says what it could start.
    """
    if address is None:
        return gpus_here()
    try:
        done = subprocess.run(
            command(_MODULE, address),
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            env=os.environ,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"the cluster at {address!r} did not say within {_ANSWER_S:.0f} s whether it has GPUs: "
            "set gpus_per_trial = 0 or 1 under [resources]"
        ) from None
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    last = lines[-1] if lines else f"exit code {done.returncode} without a word"
    if done.returncode:
        raise UsageError(last)
    return int(last)
