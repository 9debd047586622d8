"""A lease as it runs at a node: OUT is opened there, and what was measured there before is stored.

In: a `LeaseSpec` and the GPUs held. Out: the events of the lease. The way in for executors whose
leases are other processes.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

from frostline.errors import StorageError, SweepError
from frostline.results.outcome import found_committed
from frostline.schedule.events import LeaseEvent, LeaseStopped
from frostline.schedule.lease import serve
from frostline.schedule.lease_spec import LeaseSpec
from frostline.schedule.spooled import still_kept
from frostline.store.address import Address
from frostline.store.outdir import OutDir
from frostline.store.spool import SpoolingOut, Stored, store_kept


def serve_out(spec: LeaseSpec, *, gpu_ids: str) -> Iterator[LeaseEvent]:
    """`serve` on the lease's own `out`.

    Args:
        spec: what to run.
        gpu_ids: `CUDA_VISIBLE_DEVICES` of the measuring process.

    Yields:
        Events, as `serve`. Trials of this lease that an earlier lease measured on this node and
        could not store come first.
    """
    try:
        out = OutDir.open(spec.out, create=False)
    except SweepError as error:
        yield LeaseStopped(
            message=f"{socket.gethostname()} does not see the results' folder: {error}. With more "
            "than one node use a shared folder or an object store for --out"
        )
        return
    except StorageError as error:
        yield LeaseStopped(message=str(error))
        return
    if out.local_path is not None:
        yield from serve(spec, out, gpu_ids=gpu_ids)
        return
    left = {trial.trial_id: trial for trial in spec.trials}
    kept = store_kept(out, only=left)
    for trial_id, status in kept.stored.items() if kept else ():
        yield found_committed(
            left.pop(trial_id), ok=status == "ok", attempts=spec.attempts.get(trial_id, 1)
        )
    if kept is not None and kept.left:
        yield LeaseStopped(message=still_kept(kept))
    elif left:
        rest = replace(spec, trials=tuple(left.values()))
        yield from serve(rest, SpoolingOut(out), gpu_ids=gpu_ids)


def store_kept_of(out: Address) -> Stored | None:
    """Store what this node keeps for an OUT; None where it keeps nothing or cannot reach OUT."""
    try:
        return store_kept(OutDir.open(out, create=False))
    except (SweepError, StorageError):  # a lease here says so, if there is one
        return None
