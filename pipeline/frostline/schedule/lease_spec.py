"""What the driver hands to a lease: plain values, picklable, the same for every executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from frostline.facts.model_facts import ModelFacts
from frostline.results.outcome import Beside
from frostline.store.address import Address
from frostline.study.study import Study
from frostline.trial import MeasureSpec, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one lease holds of a node."""

    gpus: int
    cpus: int
    device: str | None = None


def resources_of(study: Study) -> Resources:
    """What a lease of a study holds."""
    return Resources(
        gpus=study.gpus, cpus=study.resources.cpus_per_trial, device=study.resources.device
    )


def too_small(resources: Resources, *, cpus: int, gpus: int, kinds: tuple[str, ...] = ()) -> str:
    """What to say where not even one lease fits.

    Args:
        resources: what a lease holds.
        cpus: of the largest node.
        gpus: of the largest node.
        kinds: of accelerators that any node has.
    """
    wanted = f"{resources.cpus} CPU cores and {resources.gpus} GPUs"
    if resources.device:
        wanted += f" of kind {resources.device}"
    if resources.device and resources.device not in kinds:
        there = ", ".join(kinds) or "none"
        advice = f"correct or leave out device under [resources] (kinds here: {there})"
    elif gpus < resources.gpus:
        advice = "set gpus_per_trial = 0 under [resources] to measure on CPUs"
    else:
        advice = "lower cpus_per_trial under [resources]"
    return (
        f"a trial needs {wanted} on one node, and the largest here has {cpus} and {gpus}: {advice}"
    )


BEFORE = "before"
"""The stage of a lease that has entered none: it waits for cores, or starts a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a trial, a process or a store is given up.

    Attributes:
        trial_timeout_s: for one trial, and for opening its baseline.
        max_attempts: starts of one trial, over all leases.
        kills: processes that one trial may take down with it before it is quarantined.
        trials_per_process: a measuring process is replaced after this many trials. Memory is
            watched separately; this bound is for anything else that adds up over hours.
        rss_growth, rss_growth_bytes: a process is replaced when, after two trials in a row, its
            memory is `rss_growth` times what it was after its second trial, and larger than then by
            at least `rss_growth_bytes`.
        backoff_s, backoff_most_s: wait before the second attempt; it doubles with each further
            attempt, up to `backoff_most_s`.
        cores_wait_s: how long to wait for CPU cores that others hold.
        convert_s: for converting one trace.
        cool_down_s: wait before a trial whose GPU was throttled is measured again.
        store_wait_s: how long a lease tries to store a trial while OUT cannot be reached.
        silence_reserve_s: what a living lease may say nothing beyond what its stage allows: pauses
            before another attempt, and a machine that is busy.
    """

    trial_timeout_s: float
    max_attempts: int
    kills: int = 2
    trials_per_process: int = 200
    rss_growth: float = 1.5
    rss_growth_bytes: int = 1 << 30
    backoff_s: float = 1.0
    backoff_most_s: float = 30.0
    cores_wait_s: float = 600.0
    convert_s: float = 300.0
    cool_down_s: float = 20.0
    store_wait_s: float = 300.0
    silence_reserve_s: float = 60.0

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after the given number of attempts have failed."""
        return min(self.backoff_most_s, self.backoff_s * 2.0 ** max(0, attempt - 1))

    def silence_s(self, stage: str) -> float:
        """Seconds after which a lease that says nothing in a stage does not live any more.

        Every stage has a limit that the lease itself keeps to. One that is stopped, or hangs, does
        not, and its trial would never end.

        Args:
            stage: that the lease has last entered; `BEFORE` before the first.
        """
        longest = {
            BEFORE: self.cores_wait_s + self.store_wait_s,  # stores what its node keeps
            "convert": self.convert_s,
            "store": 2 * self.store_wait_s,
        }
        return longest.get(stage, self.trial_timeout_s) + self.silence_reserve_s


def limits_of(study: Study) -> Limits:
    """When trials of a study are given up."""
    limits = Limits(
        trial_timeout_s=study.resources.trial_timeout_s,
        max_attempts=study.resources.max_attempts,
    )
    return replace(limits, convert_s=min(limits.convert_s, limits.trial_timeout_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSpec:
    """A chunk of trials of one group, in run order.

    Attributes:
        out: where the rows go, as every node can open it.
        trials: at least one; all of one model under one setting.
        facts: of their model.
        variants: facts of the variants among the trials, by the name of the variant's model.
        measure: how to measure.
        resources: what the lease holds.
        limits: when to give up.
        attempts: starts so far of trials that were started before.
        kills: processes that they have taken down.
        again: of trials that are committed and measured again, the baseline that they were
            measured beside; what comes out is committed only beside a faster one on the same kind
            of device.
        noise_floor: of the group's controls that were committed before; None when there is none.
        process_module: module of the measuring process; tests pass one with the same protocol.
    """

    out: Address
    trials: tuple[Trial, ...]
    facts: ModelFacts
    measure: MeasureSpec
    resources: Resources
    limits: Limits
    attempts: Mapping[str, int] = field(default_factory=dict)
    kills: Mapping[str, int] = field(default_factory=dict)
    again: Mapping[str, Beside] = field(default_factory=dict)
    noise_floor: float | None = None
    process_module: str = "frostline.measure.process"
    variants: Mapping[str, ModelFacts] = field(default_factory=dict)

    def facts_of(self, trial: Trial) -> ModelFacts:
        """The facts of a trial's model, or of its variant."""
        return self.variants[trial.model.name] if trial.variant else self.facts
