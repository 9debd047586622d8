"""What a lease tells the driver while it works, and the driver its listener: plain, picklable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from frostline.results.outcome import TrialOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseBegun:
    """The lease has left the queue; from here on it is heard of in time, or it is dead.

    Attributes:
        pid, pid_started_s: its process and the start of that, in seconds since the epoch.
        node: where, as the executor names its machines.
    """

    pid: int
    pid_started_s: float
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntered:
    """A trial entered a stage: `start`, then those of the measuring process, `convert`, `store`."""

    trial_id: str
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOpened:
    """A measuring process is up and its baseline is warm.

    Attributes:
        seconds: wall time by phase (`import`, `build`, `trace`, `step`), and `open`: all of it
            as the lease saw it, the start of the process included.
    """

    seconds: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseNotice:
    """Something the user should know that is no trial's fault."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseStopped:
    """The lease gives up and the sweep should too: nothing that follows could be committed.

    Attributes:
        message: what happened and what to do about it.
    """

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """The lease waits: events that were held back to travel together should be sent now."""


LeaseEvent = (
    LeaseBegun | Idle | StageEntered | GroupOpened | TrialOutcome | LeaseNotice | LeaseStopped
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseEnded:
    """The lease is over; from the executor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost:
    """The lease is gone before its end; from the executor.

    Attributes:
        cause: `node` when the machine is gone, which is no trial's fault; `worker` when only the
            lease's own process is; `error` when the lease raised, which is a defect.
        message: what is known about it.
        short_of_memory: it was ended because its machine had no memory left.
    """

    cause: Literal["node", "worker", "error"]
    message: str
    short_of_memory: bool = False


ExecutorEvent = LeaseEvent | LeaseEnded | LeaseLost
