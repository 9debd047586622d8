"""The error tree. Every message says what is wrong, where, and what to do about it.

    FrostlineError              exit code 1 unless stated otherwise
    ├── UsageError              2: the user's mistake
    │   ├── StudyError          2: the study file (names the key or line and the nearest valid one)
    │   ├── PolicyError         2: a freeze policy that cannot be parsed or resolved
    │   └── SweepError          2: OUT is not a sweep, is from another study, is held by another run
    │       └── DamagedError    2: a file of OUT is not what a sweep writes (a StorageError as well)
    ├── StorageError            1: OUT cannot be written or read (disk full, denied, unreachable)
    │   └── StoreUnreachableError   1: the store does not answer, or says to try later
    ├── SweepStoppedError       1: the sweep cannot go on; the same command resumes it
    │   └── RayUnavailableError     1: Ray cannot start, has ended, or does not answer
    ├── TraceError              1: a profile that cannot be converted (truncated, foreign, empty)
    │   ├── ConservationError   1: attributed times do not add up to the trace's total (a defect)
    │   └── CreditError         1: a frozen variable would have time for its gradient (a defect)
    └── TrialError              a trial failed; becomes a row, never ends the sweep

`main` in `frostline.cli` catches `FrostlineError` once and turns it into one message and the exit
code. A traceback is shown only for defects of the program.
"""

from __future__ import annotations

INTERRUPTED = 130
"""Exit code of what was interrupted, as shells have it for SIGINT; running it again resumes."""


class FrostlineError(Exception):
    """Base of everything raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(FrostlineError):
    """The user's mistake: wrong arguments, a wrong file, a wrong place."""

    exit_code = 2


class StudyError(UsageError):
    """The study file is wrong; the message names the key and the nearest valid one."""


class PolicyError(UsageError):
    """A freeze policy cannot be parsed, or freezes everything."""


class SweepError(UsageError):
    """OUT is not a sweep, belongs to another study, or is held by another run."""


class StorageError(FrostlineError):
    """OUT cannot be read or written: disk full, permission, unreachable store."""


class DamagedError(SweepError, StorageError):
    """A file of OUT is truncated, of another kind, or has values that no sweep writes."""


class StoreUnreachableError(StorageError):
    """A store does not answer, or says that it cannot answer now; waiting may help."""


class SweepStoppedError(FrostlineError):
    """The sweep cannot go on; what is committed stays, and the same command resumes it."""


class RayUnavailableError(SweepStoppedError):
    """Ray cannot start, has ended, or does not answer in time."""


class TraceError(FrostlineError):
    """A profile cannot be used: truncated, foreign, without steps, or without device events."""


class ConservationError(TraceError):
    """Attributed times and `other` do not add up to the trace's total."""


class CreditError(TraceError):
    """Time would be credited to the gradient of a variable that is frozen."""


class TrialError(FrostlineError):
    """One trial failed for a reason that would make another attempt fail as well.

    Args:
        stage: where it failed (`trials.error_stage`): `build`, `rehearse`, `trace`, `check`,
            `measure` or `gradients`.
        kind: short name of the cause, e.g. the exception's class (`trials.error_type`).
        message: what happened and what to do about it.
    """

    def __init__(self, stage: str, kind: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.kind = kind
