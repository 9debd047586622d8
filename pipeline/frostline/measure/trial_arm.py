"""An arm that is ready to be measured: built, frozen, traced, compiled, and checked.

In: what is frozen, and how the model is made. Out: `TracedArm`. Refuses (`TrialError`) a freeze
that did not take effect, and a step without a single gradient. The baseline goes the same way with
nothing frozen: what its step trains is what a trial's step has to train but for what it froze.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from frostline.attribute.step_graph import StepGraph
from frostline.measure import device, freeze_check
from frostline.measure.arm import LONGEST_CYCLE, Arm
from frostline.measure.eager import runs_eagerly
from frostline.measure.fresh_step import fresh_train_function
from frostline.measure.graph.recorder import StepRecorder
from frostline.measure.graph.step import analyse_step, facts_of_step
from frostline.measure.graph.step_facts import StepFacts
from frostline.measure.held_bytes import held_bytes
from frostline.measure.layers import OwnedLayer, freeze, owned_layers
from frostline.measure.messages import HeldBytes
from frostline.measure.phase_times import Phases
from frostline.measure.variants import base_weights
from frostline.trial import Trial
from frostline.variant import is_lora

Make = Callable[[], tuple[Arm, tuple[str, ...]]]
"""Builds the model's arm, nothing frozen yet; and warnings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedArm:
    """An arm after its first steps, with what tracing it showed.

    Attributes:
        arm: ready to be warmed up.
        trains: paths of the variables that its step trains.
        graph: the traced step; None for a baseline, and where it could not be analysed.
        warnings: of building, tracing and checking.
        peak_memory_bytes: device memory of the arm alone; None where the device has no account.
        held: what its model holds, from shapes and types.
    """

    arm: Arm
    trains: frozenset[str]
    graph: StepGraph | None
    warnings: tuple[str, ...]
    peak_memory_bytes: int | None
    held: HeldBytes


def trace_baseline(make: Make, phases: Phases) -> TracedArm:
    """Build, trace, compile and check a baseline; `phases` takes the time of each.

    Raises:
        TrialError: it does not train what it should, or nothing has a gradient.
    """
    return _trace(make, phases, frozen=frozenset(), frozen_layers=frozenset(), trains=None)


def trace_alone(
    make: Make, phases: Phases, *, frozen: frozenset[str], frozen_layers: frozenset[str]
) -> TracedArm:
    """Build, freeze, trace, compile and check a configuration that no baseline stands beside.

    Raises:
        TrialError: it does not train what it should, or nothing has a gradient.
    """
    return _trace(make, phases, frozen=frozen, frozen_layers=frozen_layers, trains=None)


def trace_trial(trial: Trial, make: Make, phases: Phases, *, trains: frozenset[str]) -> TracedArm:
    """Build, freeze, trace, compile and check a trial's model; `trains` is the baseline's.

    Raises:
        TrialError: the freeze check failed, or nothing has a gradient.
    """
    return _trace(
        make,
        phases,
        frozen=frozenset(trial.frozen_variables),
        frozen_layers=frozenset(trial.frozen_layers),
        trains=trains,
        batch_size=trial.setting.batch_size,
        varied=trial.variant is not None,
    )


def _trace(
    make: Make,
    phases: Phases,
    *,
    frozen: frozenset[str],
    frozen_layers: frozenset[str],
    trains: frozenset[str] | None,
    batch_size: int | None = None,
    varied: bool = False,
) -> TracedArm:
    resident = device.current_bytes()
    arm, warnings = make()
    owned = owned_layers(arm.model)
    freeze(arm.model, frozen)
    with phases.timed("trace", "trace"):
        arm.state.build()
        watched, still = _watched(owned, frozen, frozen_layers)
    with phases.timed("check", "check"):
        before = freeze_check.digests(watched)
    with phases.timed("trace", "trace"):
        with StepRecorder(arm.model) as recorder:
            first_step(arm)
        arm.applies(recorder.optimizers)
        graph: StepGraph | None = None
        if trains is None:
            facts, unseen = facts_of_step(recorder, owned)
        else:
            graph, facts, unseen = analyse_step(recorder, owned, batch_size=batch_size)
        if runs_eagerly(arm.model):
            unseen = ()  # the row says so, and what to change
        cycle = _repeat(arm, facts)
    every = frozenset(variable.path for entry in owned for variable in entry.variables)
    known = every if facts.gradient_variables is None else every & facts.gradient_variables
    if trains is not None and varied:  # kernels under LoRA do not train, and its products do
        trains = (trains & every) | _of_lora(owned)
    expected = (known if trains is None else trains) - frozen
    with phases.timed("check", "check"):
        _check_step(facts, expected, frozen)
        device.reset_peak()
        arm.run(arm.whole_cycles(2))
        peak = device.peak_bytes()
        after = freeze_check.digests(watched)
        if facts.gradient_variables is None:
            freeze_check.check_unseen({path: before[path] for path in expected}, after)
        moved = freeze_check.check_values(
            before,
            after,
            still=still,
            trained=expected,
            self_assigned=facts.self_assigned_variables,
        )
    return TracedArm(
        arm=arm,
        trains=expected,
        graph=graph,
        warnings=(*warnings, *unseen, *cycle, *moved),
        peak_memory_bytes=None if peak is None or resident is None else peak - resident,
        held=held_bytes(arm.model, arm.state.looks_like(), arm.optimizers),
    )


def _of_lora(owned: tuple[OwnedLayer, ...]) -> frozenset[str]:
    return frozenset(each.path for entry in owned for each in entry.variables if is_lora(each.name))


def _check_step(facts: StepFacts, expected: frozenset[str], frozen: frozenset[str]) -> None:
    """Hold what was seen of the step against what should train."""
    if facts.gradient_variables is not None:
        freeze_check.check_differentiable(expected, facts.unconnected_variables)
        freeze_check.check_gradients(facts.gradient_variables, expected, frozen=frozen)
    if facts.assigned_variables is not None:
        freeze_check.check_assigned(
            facts.assigned_variables, expected - facts.unconnected_variables, frozen=frozen
        )


def _repeat(arm: Arm, facts: StepFacts) -> tuple[str, ...]:
    """Let the arm know after how many steps its work repeats; returns warnings."""
    observed = arm.observed_cycle(facts.counters) if facts.counters else 1
    warnings = arm.repeat_after(math.lcm(facts.cycle, observed or 1))
    if observed is None:
        warnings = (
            *warnings,
            "a counter chooses what the training step does, and did not come back to its value "
            f"within {LONGEST_CYCLE} steps or half a minute; samples and profiles do not cover "
            "whole cycles, so what happens in some steps only is seen by chance",
        )
    return warnings


def first_step(arm: Arm) -> None:
    """Make the training function and run the step that traces and compiles.

    Raises:
        TrialError: Keras found no gradient to apply.
    """

    def run() -> None:
        fresh_train_function(arm.model)
        arm.run(1)

    try:
        arm.state.first(run)
    except ValueError as error:
        refused = freeze_check.refused_by_keras(error)
        if refused is None:
            raise
        raise refused from error


def _watched(
    owned: tuple[OwnedLayer, ...], frozen: frozenset[str], frozen_layers: frozenset[str]
) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The variables to watch by path, and the paths that must stand still."""
    watched: dict[str, Any] = {}
    still = set(frozen)
    for entry in owned:
        for variable in entry.variables:
            watched[variable.path] = variable.variable
        for name, weight in base_weights(entry.layer).items():
            watched[f"{entry.name}/{name}"] = weight
            still.add(f"{entry.name}/{name}")
        if isinstance(entry.layer, keras.layers.BatchNormalization) and entry.name in frozen_layers:
            known = {id(variable.variable) for variable in entry.variables}
            for statistic in entry.layer.variables:
                if id(statistic) not in known:
                    path = f"{entry.name}/{statistic.name}"
                    watched[path] = statistic
                    still.add(path)
    return watched, frozenset(still)
