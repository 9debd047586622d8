"""Estimates the time and disk that a plan takes, roughly, with every assumption stated.

In: a plan, the facts of its models, and the study. Out: lower and upper estimates. Pure. Nothing is
measured here; the constants below are assumptions, which the reader is told beside the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from frostline.facts.model_facts import ModelFacts
from frostline.plan.trials import TrialGroup, TrialPlan
from frostline.study.study import Study

CPU_FLOPS_PER_CORE = 6e10
"""FLOP/s that one CPU core sustains in a training step: VGG16 reached 1e11 on two cores of a cloud
machine, a wide perceptron 4.5e10, a small network with BatchNorm 3e10."""

GPU_FLOPS = 1e13
"""FLOP/s that one GPU sustains in float32; recent ones reach several times it."""

STEP_PER_FORWARD = 3.0
"""FLOPs of a training step over those of its forward pass."""

FIRST_STEP_PER_FORWARD_TRACE = 20.0
"""Time to trace and compile the training step over the time to trace its forward pass."""

BLOCK_S = 0.02
"""Shortest timed block of steps."""

DISCARDED_SHARE = 0.25
"""Part of a block, one step or more, thrown away after each switch between baseline and trial."""

PROCESS_START_S = 8.0
"""Start of a measuring process, importing TensorFlow included."""

TRIAL_FIXED_S = 3.0
"""Freeze check, trace conversion, attribution and storing of a trial."""

TRACE_BYTES_PER_LAYER_STEP = 8_000
"""Size of a trace for each layer and profiled step."""

TABLE_BYTES_PER_LAYER = 15_000
"""Size of a trial's rows in all tables for each layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEstimate:
    """What the trials of one model and setting take.

    Attributes:
        group: the trials.
        baseline_step_s: time of a baseline step; None where no FLOP count is known.
        low_s: every trial stops at the fewest pairs and steps as fast as a forward pass.
        high_s: every trial runs to the most pairs and steps as slowly as the baseline.
        trace_bytes: traces that stay on disk.
        table_bytes: rows.
    """

    group: TrialGroup
    baseline_step_s: float | None
    low_s: float
    high_s: float
    trace_bytes: int
    table_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEstimate:
    """What a plan takes.

    Attributes:
        groups: by model and setting.
        low_s, high_s: wall time of the sweep, groups that run side by side counted once.
        disk_bytes: traces and tables.
        assumptions: what the numbers assume, one sentence each.
    """

    groups: tuple[GroupEstimate, ...]
    low_s: float
    high_s: float
    disk_bytes: int
    assumptions: tuple[str, ...]


def estimate(
    plan: TrialPlan, facts: Mapping[str, ModelFacts], study: Study, *, workers: int = 1
) -> PlanEstimate:
    """Return the time and disk that a plan takes with so many groups measured side by side.

    A group's trials follow one another.
    """
    groups = tuple(_of_group(group, facts[group.model.name], study) for group in plan.groups)
    side_by_side = max(1, min(workers, len(groups)))
    low = sum(group.low_s for group in groups) / side_by_side
    high = sum(group.high_s for group in groups) / side_by_side
    # However the groups are distributed, a sweep takes at least as long as its longest group.
    return PlanEstimate(
        groups=groups,
        low_s=max([low, *(group.low_s for group in groups)]),
        high_s=max([high, *(group.high_s for group in groups)]),
        disk_bytes=sum(group.trace_bytes + group.table_bytes for group in groups),
        assumptions=_assumptions(groups, study, side_by_side),
    )


def _of_group(group: TrialGroup, facts: ModelFacts, study: Study) -> GroupEstimate:
    measure = study.measure
    step_s = _step_s(group, facts, study)
    baseline_s = step_s or 0.0
    # However much is frozen, the forward pass remains.
    fastest_s = baseline_s / STEP_PER_FORWARD
    first_step_s = FIRST_STEP_PER_FORWARD_TRACE * facts.trace_s + baseline_s
    ready_s = facts.build_s + first_step_s
    trial_s = ready_s + TRIAL_FIXED_S + measure.profile_steps * baseline_s
    trials = len(group.trials)
    kept = {
        "all": trials,
        "anchors": sum(trial.anchor is not None for trial in group.trials),
        "none": 0,
    }[measure.keep_traces]
    layers = len(facts.layers)
    trace_bytes = kept * layers * measure.profile_steps * TRACE_BYTES_PER_LAYER_STEP
    return GroupEstimate(
        group=group,
        baseline_step_s=step_s,
        low_s=PROCESS_START_S
        + ready_s
        + trials * (trial_s + measure.min_pairs * _pair_s(baseline_s, fastest_s)),
        high_s=PROCESS_START_S
        + ready_s
        + trials * (trial_s + measure.max_pairs * _pair_s(baseline_s, baseline_s)),
        trace_bytes=trace_bytes,
        table_bytes=trials * layers * TABLE_BYTES_PER_LAYER,
    )


def _pair_s(baseline_s: float, trial_s: float) -> float:
    """A timed block of each arm, and the steps thrown away before it."""
    return sum(
        max(BLOCK_S, step_s) + max(DISCARDED_SHARE * BLOCK_S, step_s)
        for step_s in (baseline_s, trial_s)
    )


def _step_s(group: TrialGroup, facts: ModelFacts, study: Study) -> float | None:
    known = [layer.forward_flops for layer in facts.layers if layer.forward_flops is not None]
    if not known:
        return None
    forward = sum(known) * group.setting.batch_size / facts.batch_size
    return STEP_PER_FORWARD * forward / _flops_per_s(study)


def _flops_per_s(study: Study) -> float:
    if study.gpus:
        return study.gpus * GPU_FLOPS
    return study.resources.cpus_per_trial * CPU_FLOPS_PER_CORE


def _assumptions(groups: tuple[GroupEstimate, ...], study: Study, workers: int) -> tuple[str, ...]:
    resources, measure = study.resources, study.measure
    device = (
        f"{study.gpus} GPU at {GPU_FLOPS:.0e} FLOP/s each"
        if study.gpus
        else f"{resources.cpus_per_trial} CPU cores at {CPU_FLOPS_PER_CORE:.0e} FLOP/s each"
    )
    said = [
        f"a step costs {STEP_PER_FORWARD:g} times its forward FLOPs, on {device}; the lower time "
        "takes frozen trials for forward passes, the upper one for baselines",
        f"tracing and compiling a step takes {FIRST_STEP_PER_FORWARD_TRACE:g} times as long as "
        "tracing the forward pass took here",
        f"between {measure.min_pairs} and {measure.max_pairs} pairs a trial, a block of "
        f"{BLOCK_S * 1e3:g} ms or one step for each arm, a quarter of it or one "
        "step discarded after each switch",
        f"{PROCESS_START_S:g} s to start a measuring process, {TRIAL_FIXED_S:g} s a trial to "
        "check, convert and store; nothing fails",
        f"a trace takes {TRACE_BYTES_PER_LAYER_STEP:,} bytes and the tables "
        f"{TABLE_BYTES_PER_LAYER:,} bytes for each layer, the trace for each profiled step",
        f"{workers} measuring at a time",
    ]
    unknown = sorted({one.group.model.name for one in groups if one.baseline_step_s is None})
    if unknown:
        said.append(
            f"no FLOP count is known for {', '.join(unknown)}: its steps are taken to fit the "
            "shortest block"
        )
    return tuple(said)
