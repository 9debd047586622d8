"""Trials that an earlier run measured and could not store: stored before a run measures anything.

In: an OUT in an object store. Out: its trials, from the disks of the machines that measured them
(`frostline.store.spool`): this machine first and then, once a cluster is joined, its other nodes. A
machine that joins later stores those kept trials that it is asked to measure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from frostline.errors import StorageError
from frostline.results.outcome import found_committed
from frostline.schedule.listener import SweepListener
from frostline.store.address import Address
from frostline.store.outdir import OutDir
from frostline.store.spool import Stored, store_kept
from frostline.trial import Trial


class Nodes(Protocol):
    """The part of an executor that reaches other machines."""

    def store_kept(self, out: Address) -> list[Stored]:
        """Let every other machine store what it keeps for an OUT."""


def store_kept_here(out: OutDir, listener: SweepListener) -> None:
    """Store what this machine keeps; call with the lock held, before the commits are read.

    Raises:
        StorageError: OUT cannot take it, and so would not take what is measured next.
    """
    if kept := store_kept(out):
        _tell(kept, listener)


def store_kept_elsewhere(
    nodes: Nodes,
    out: OutDir,
    trials: Iterable[Trial],
    done: frozenset[str],
    listener: SweepListener,
) -> frozenset[str]:
    """Store what the other machines keep; for an OUT on a disk no machine keeps anything.

    Args:
        nodes: reaches them.
        out: where.
        trials: of the plan.
        done: ids of those that need not run.
        listener: hears of those that are stored; each is an outcome.

    Returns:
        `done`, and those that need not run any more.

    Raises:
        StorageError: OUT cannot take it from one of them, and so would not take what that one
            measures next.
    """
    if out.local_path is not None:
        return done
    left = {trial.trial_id: trial for trial in trials if trial.trial_id not in done}
    for kept in nodes.store_kept(out.address):
        _tell(kept, listener)
        for trial_id, status in kept.stored.items():
            if (trial := left.pop(trial_id, None)) is not None:
                listener.on_outcome(found_committed(trial, ok=status == "ok", attempts=1))
                done |= {trial_id}
    return done


def _tell(kept: Stored, listener: SweepListener) -> None:
    if kept.stored:
        listener.on_notice(
            f"stored {_trials(len(kept.stored))} that {kept.host} had measured and could not store "
            "before"
        )
    if kept.obsolete:
        listener.on_notice(
            f"dropped {_trials(kept.obsolete)} kept on {kept.host}: OUT has them by now, or was "
            "begun after them"
        )
    if kept.left:
        raise StorageError(still_kept(kept))


def still_kept(kept: Stored) -> str:
    """What to say of trials that OUT did not take."""
    verb = "stays" if kept.left == 1 else "stay"
    return f"{_trials(kept.left)} {verb} in {kept.place} on {kept.host}: {kept.why}"


def _trials(count: int) -> str:
    return f"{count} trial{'s' if count != 1 else ''}"
