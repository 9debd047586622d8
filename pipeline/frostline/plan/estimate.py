"""Estimates the time, memory and disk that a plan takes, roughly, with every assumption stated.

In: a plan, the facts of its models, the study, and the leases that its trials are cut into. Out:
lower and upper estimates. Pure. Nothing is measured here; the constants below and in
`frostline.plan.pace` are assumptions, which the reader is told beside the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from frostline.facts.model_facts import ModelFacts
from frostline.measure.blocks import (
    MIN_BLOCK_NS,
    block_steps,
    cold_steps,
    settling_steps,
    windows_of,
)
from frostline.memory.expected import expected_bytes, least_bytes
from frostline.plan.pace import Pace, pace_of
from frostline.plan.trials import TrialGroup, TrialPlan
from frostline.study.study import Study
from frostline.trial import Trial, keeps_trace
from frostline.words import counted, span

STEP_PER_FORWARD = 3.0
"""FLOPs of a training step over those of its forward pass."""

TRACE_BYTES_PER_LAYER_STEP = 8_000
"""Size of a trace for each layer and profiled step."""

TABLE_BYTES_PER_LAYER = 15_000
"""Size of a trial's rows in all tables for each layer."""

Range = tuple[float, float]
_ARMS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEstimate:
    """What the trials of one model and setting take.

    Attributes:
        group: the trials.
        baseline_step_s: time of a baseline step on the slowest device; None where no FLOP count is
            known.
        open_s: start of a measuring process and its baseline: a lease's, before its first trial.
        trial_s: of one trial. Low: it stops at the fewest pairs and steps as fast as a forward
            pass. High: it runs to the most pairs and steps as slowly as the baseline.
        trace_bytes: traces that stay on disk.
        table_bytes: rows.
    """

    group: TrialGroup
    baseline_step_s: float | None
    open_s: Range
    trial_s: Range
    trace_bytes: int
    table_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEstimate:
    """What a plan takes.

    Attributes:
        groups: by model and setting.
        low_s, high_s: wall time of the sweep, leases that run side by side counted once.
        side_by_side: trials that measure at the same time.
        memory_bytes: at least, for a baseline and a trial of the largest group, both resident.
        expected_bytes: the same with the tensors of a step; None where they are not known.
        disk_bytes: traces and tables.
        assumptions: what the numbers assume, one sentence each.
    """

    groups: tuple[GroupEstimate, ...]
    low_s: float
    high_s: float
    side_by_side: int
    memory_bytes: int
    expected_bytes: int | None
    disk_bytes: int
    assumptions: tuple[str, ...]


def estimate(
    plan: TrialPlan,
    facts: Mapping[str, ModelFacts],
    study: Study,
    *,
    workers: int = 1,
    leases: Sequence[Sequence[Trial]] | None = None,
) -> PlanEstimate:
    """Return what a plan takes with so many leases measured side by side.

    Args:
        plan: the trials.
        facts: of their models, by name.
        study: with its number of GPUs.
        workers: leases that can run at the same time.
        leases: the trials of each lease, which follow one another; None: one lease a group.
    """
    groups = tuple(_of_group(group, facts[group.model.name], study) for group in plan.groups)
    by_trial = {trial.trial_id: one for one in groups for trial in one.group.trials}
    parts = [group.trials for group in plan.groups] if leases is None else list(leases)
    side_by_side = max(1, min(workers, len(parts)))
    low, high = (
        _wall_s(
            [_lease_s(by_trial[part[0].trial_id], len(part), end) for part in parts],
            side_by_side,
        )
        for end in (0, 1)
    )
    return PlanEstimate(
        groups=groups,
        low_s=low,
        high_s=high,
        side_by_side=side_by_side,
        memory_bytes=max(
            _ARMS * least_bytes(facts[group.model.name], group.setting) for group in plan.groups
        ),
        expected_bytes=_expected(plan, facts),
        disk_bytes=sum(group.trace_bytes + group.table_bytes for group in groups),
        assumptions=_assumptions(groups, study, side_by_side),
    )


def _expected(plan: TrialPlan, facts: Mapping[str, ModelFacts]) -> int | None:
    found = [expected_bytes(facts[group.model.name], group.setting) for group in plan.groups]
    known = [each for each in found if each is not None]
    return _ARMS * max(known) if len(known) == len(found) and known else None


def _lease_s(group: GroupEstimate, trials: int, end: int) -> float:
    return group.open_s[end] + trials * group.trial_s[end]


def _wall_s(leases: Sequence[float], slots: int) -> float:
    """When the last of the leases ends, each started as soon as a slot is free."""
    free = [0.0] * slots
    for seconds in leases:
        first = free.index(min(free))
        free[first] += seconds
    return max(free)


def _of_group(group: TrialGroup, facts: ModelFacts, study: Study) -> GroupEstimate:
    measure, pace = study.measure, pace_of(study, group.setting)
    flops = _step_flops(group, facts)
    slow_s, fast_s = (0.0 if flops is None else flops / speed for speed in pace.flops_per_s)
    ready = (
        _ready_s(facts, pace, pace.first_step[0], fast_s),
        _ready_s(facts, pace, pace.first_step[1], slow_s),
    )
    windows = [windows_of(trial, on_gpu=study.gpus > 0) for trial in group.trials]
    profiled = measure.profile_steps * fmean(count * length for count, length in windows)
    kept = measure.profile_steps * sum(
        length
        for trial, (_, length) in zip(group.trials, windows, strict=True)
        if keeps_trace(measure.keep_traces, trial)
    )
    layers = len(facts.layers)
    # However much is frozen, the forward pass remains.
    fewest_s = measure.min_pairs * _pair_s(fast_s, fast_s / STEP_PER_FORWARD)
    most_s = measure.max_pairs * _pair_s(slow_s, slow_s)
    return GroupEstimate(
        group=group,
        baseline_step_s=None if flops is None else slow_s,
        open_s=(pace.start_s + ready[0], pace.start_s + ready[1]),
        trial_s=(
            ready[0] + _fixed_s(pace, 0) + profiled * fast_s + fewest_s,
            ready[1] + _fixed_s(pace, 1) + profiled * slow_s + most_s,
        ),
        trace_bytes=kept * layers * TRACE_BYTES_PER_LAYER_STEP,
        table_bytes=len(group.trials) * layers * TABLE_BYTES_PER_LAYER,
    )


def _fixed_s(pace: Pace, end: int) -> float:
    return pace.trial_s[end] + pace.energy_s


def _pair_s(baseline_s: float, trial_s: float) -> float:
    """A timed block of each arm, and the steps thrown away before it."""
    found = 0.0
    for step_s in (baseline_s, trial_s):
        step_ns = max(1.0, step_s * 1e9)
        steps = block_steps(step_ns)
        found += (steps + cold_steps(steps)) * step_ns / 1e9
    return found


def _ready_s(facts: ModelFacts, pace: Pace, first_step: float, step_s: float) -> float:
    """Until a model's step is compiled and warm."""
    warm = settling_steps(0, step_s * 1e9) if pace.settles else 0
    return facts.build_s + first_step * facts.trace_s + max(1, warm) * step_s


def _step_flops(group: TrialGroup, facts: ModelFacts) -> float | None:
    known = [layer.forward_flops for layer in facts.layers if layer.forward_flops is not None]
    if not known:
        return None
    return STEP_PER_FORWARD * sum(known) * group.setting.batch_size / facts.batch_size


def _assumptions(
    groups: tuple[GroupEstimate, ...], study: Study, side_by_side: int
) -> tuple[str, ...]:
    measure = study.measure
    paces = {pace_of(study, one.group.setting) for one in groups}
    pace = next(iter(paces))
    first_low = min(one.first_step[0] for one in paces)
    first_high = max(one.first_step[1] for one in paces)
    first = span(f"{first_low:g}", f"{first_high:g}")
    fixed = span(f"{_fixed_s(pace, 0):g}", f"{_fixed_s(pace, 1):g}")
    energy = ", measure the energy" if pace.energy_s else ""
    said = [
        f"{counted(side_by_side, 'trial')} measured at a time",
        f"a step costs {STEP_PER_FORWARD:g} times its forward FLOPs, on {pace.device}; the lower "
        "time takes frozen trials for forward passes, the upper one for baselines",
        f"tracing and compiling a step takes {first} times as long as inspecting it took here",
        f"{span(str(measure.min_pairs), str(measure.max_pairs))} pairs a trial, a block of "
        f"{MIN_BLOCK_NS / 1e6:g} ms or one step for each arm, half to all of that discarded after "
        "each switch",
        *(
            ["a step is run 100 times before any counts, unless that takes over 2 s"]
            if any(one.settles for one in paces)
            else []
        ),
        f"{pace.start_s:g} s to start a measuring process, {fixed} s a trial to check, convert"
        f"{energy} and store; nothing fails",
        "weights, gradients and, where the study names the optimizer, its state of two models are "
        "resident; activations and workspace come on top",
        f"a trace takes {TRACE_BYTES_PER_LAYER_STEP:,} bytes and the tables "
        f"{TABLE_BYTES_PER_LAYER:,} bytes for each layer, the trace for each profiled step",
    ]
    unknown = sorted({one.group.model.name for one in groups if one.baseline_step_s is None})
    if unknown:
        said.append(
            f"no FLOP count is known for {', '.join(unknown)}: its steps are taken to fit the "
            "shortest block"
        )
    return tuple(said)
