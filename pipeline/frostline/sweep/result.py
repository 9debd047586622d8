"""What a run of a sweep did: counts and times.

In: what was planned, the commits at the end, the workers. Out: `SweepResult`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from frostline.notebook import html_facts, one_line
from frostline.sweep.resume import Remaining
from frostline.sweep.workers import Workers
from frostline.words import duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What a run of a sweep did.

    Attributes:
        planned: trials of the plan, with those of models that could not be built.
        finished_before: planned trials that were committed when the run began.
        ok, failed: planned trials that were ok or failed at its end.
        wall_s: the whole run.
        ray_start_s: starting or joining Ray, which overlaps with the inspection.
        inspect_s: inspecting the models.
        seconds: wall time by phase, summed over trials (`TrialOutcome.seconds`), and over openings
            of baselines (`open_import`, `open_build`, ..., and `open_open`: all of an opening).
        idle: nothing was left to do, and OUT is as the last run left it.
    """

    planned: int
    finished_before: int
    ok: int
    failed: int
    wall_s: float
    ray_start_s: float
    inspect_s: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    idle: bool = False

    def __repr__(self) -> str:
        return one_line("SweepResult", f"{self.ok} of {self.planned} trials ok", self._facts())

    def _repr_html_(self) -> str:
        return html_facts(f"{self.ok} of {self.planned} trials ok", self._facts())

    def _facts(self) -> dict[str, str]:
        return {
            "failed": str(self.failed),
            "finished before": str(self.finished_before),
            "time": duration_s(self.wall_s),
        }

    @property
    def exit_code(self) -> int:
        """0 when every trial is ok, else 1."""
        return 0 if self.ok == self.planned else 1


def result_of(
    todo: Remaining,
    commits: Mapping[str, str],
    began: float,
    workers: Workers,
    *,
    seconds: Mapping[str, float] | None = None,
    idle: bool = False,
) -> SweepResult:
    """The result of a run that began at `began`, by `time.monotonic`, and ends now."""
    ok = sum(commits.get(trial.trial_id) == "ok" for trial in todo.plan.trials)
    return SweepResult(
        planned=todo.planned,
        finished_before=len(todo.done),
        ok=ok,
        failed=todo.planned - ok,
        wall_s=time.monotonic() - began,
        ray_start_s=workers.start_s,
        inspect_s=todo.inspect_s,
        seconds=seconds or {},
        idle=idle,
    )
