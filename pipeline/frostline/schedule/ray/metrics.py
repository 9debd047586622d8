"""A sweep's progress as Ray metrics, for Prometheus: `ray_frostline_*` on the nodes' metrics ports.

In: the driver's events. Out: the same events to the listener behind it, and metrics:

    frostline_trials_planned      gauge    trials of the plan that this run has or had to do
    frostline_trials_running      gauge    trials being measured now
    frostline_trials_total        counter  trials that ended, by `status` and `error_type`
    frostline_retries_total       counter  starts of trials beyond the first
    frostline_notices_total       counter  notices: lost leases, waiting for machines or cores

All are tagged with the study's name.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from frostline.results.outcome import TrialOutcome
from frostline.schedule.listener import SweepListener


class MeteredListener:
    """Counts what it hears and passes it on; a `SweepListener`.

    Metrics are made with the first trial's first stage: Ray has started by then.
    """

    def __init__(self, behind: SweepListener, *, study: str) -> None:
        """Wrap a listener."""
        self._behind = behind
        self._tags = {"study": study}
        self._planned = 0
        self._early_notices = 0
        self._running: set[str] = set()
        self._meters: _Meters | None = None

    def on_notice(self, text: str) -> None:
        """Count and pass on."""
        if self._meters is None:
            self._early_notices += 1
        else:
            self._meters.notices.inc(1, self._tags)
        self._behind.on_notice(text)

    def on_planned(self, labels: dict[str, str], finished: int) -> None:
        """Remember how many, and pass on."""
        self._planned = len(labels)
        self._behind.on_planned(labels, finished)

    def on_stage(self, trial_id: str, stage: str) -> None:
        """Count the running ones and pass on."""
        if trial_id not in self._running:
            self._running.add(trial_id)
            self._show(self._started())
        self._behind.on_stage(trial_id, stage)

    def on_outcome(self, outcome: TrialOutcome) -> None:
        """Count and pass on."""
        self._running.discard(outcome.trial_id)
        meters = self._started()
        self._show(meters)
        retries = 1 if outcome.again else outcome.attempts - 1
        if retries > 0:
            meters.retries.inc(retries, self._tags)
        if not outcome.again:
            why = {"status": outcome.status, "error_type": outcome.error_type or "none"}
            meters.ended.inc(1, self._tags | why)
        self._behind.on_outcome(outcome)

    def _started(self) -> _Meters:
        if self._meters is None:
            self._meters = _Meters()
            if self._early_notices:
                self._meters.notices.inc(self._early_notices, self._tags)
        return self._meters

    def _show(self, meters: _Meters) -> None:
        """Set every gauge: Ray forgets one that is not set again."""
        meters.planned.set(self._planned, self._tags)
        meters.running.set(len(self._running), self._tags)


class _Meters:
    def __init__(self) -> None:
        study = ("study",)
        self.planned = Gauge("frostline_trials_planned", "Trials of this run.", study)
        self.running = Gauge("frostline_trials_running", "Trials being measured now.", study)
        self.ended = Counter(
            "frostline_trials_total", "Trials that ended.", (*study, "status", "error_type")
        )
        self.retries = Counter(
            "frostline_retries_total", "Starts of trials beyond the first.", study
        )
        self.notices = Counter("frostline_notices_total", "Notices to the user.", study)
