"""A trial's arm: built, frozen, traced, compiled, and checked before it is measured.

In: the trial, and how its model is made. Out: `TracedArm`. Refuses (`TrialError`) a freeze that did
not take effect, and a step without a single gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from frostline.attribute.step_graph import StepGraph
from frostline.measure import device, freeze_check
from frostline.measure.arm import Arm
from frostline.measure.eager import runs_eagerly
from frostline.measure.graph.recorder import StepRecorder
from frostline.measure.graph.step import analyse_step
from frostline.measure.layers import OwnedLayer, freeze, owned_layers
from frostline.measure.phase_times import Phases
from frostline.trial import Trial

Make = Callable[[], tuple[Arm, tuple[str, ...]]]
"""Builds the model's arm, nothing frozen yet; and warnings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedArm:
    """A trial's arm after its first steps, with what tracing it showed.

    Attributes:
        arm: ready to be warmed up.
        graph: the traced step; None where it could not be analysed.
        warnings: of building, tracing and checking.
        peak_memory_bytes: device memory of the trial alone; None where the device has no account.
    """

    arm: Arm
    graph: StepGraph | None
    warnings: tuple[str, ...]
    peak_memory_bytes: int | None


def trace_trial(trial: Trial, make: Make, phases: Phases) -> TracedArm:
    """Build, freeze, trace, compile and check a trial's model; `phases` takes the time of each.

    Raises:
        TrialError: the freeze check failed, or nothing has a gradient.
    """
    resident = device.current_bytes()
    arm, warnings = make()
    owned = owned_layers(arm.model)
    freeze(arm.model, trial.frozen_variables)
    with phases.timed("trace", "trace"):
        arm.build_state()
        expected, watched, still = _what_should_happen(owned, trial)
    with phases.timed("check", "check"):
        before = freeze_check.digests(watched)
    with phases.timed("trace", "trace"):
        with StepRecorder(arm.model) as recorder:
            arm.model.make_train_function()
            first_step(arm)
        graph, facts, graph_warnings = analyse_step(recorder, owned)
        if runs_eagerly(arm.model):
            graph_warnings = ()  # the row says so, and what to change
    with phases.timed("check", "check"):
        if facts is not None:
            freeze_check.check_differentiable(expected, facts.unconnected_variables)
            freeze_check.check_gradients(facts.gradient_variables, expected)
            freeze_check.check_assigned(
                facts.assigned_variables, expected - facts.unconnected_variables
            )
        device.reset_peak()
        arm.run(arm.whole(2))
        peak = device.peak_bytes()
        after = freeze_check.digests(watched)
        if not recorder.tape_asked:
            freeze_check.check_some_gradient({path: before[path] for path in expected}, after)
        moved = freeze_check.check_values(before, after, still=still, trained=expected)
    alone = None if peak is None or resident is None else peak - resident
    return TracedArm(
        arm=arm,
        graph=graph,
        warnings=(*warnings, *graph_warnings, *moved),
        peak_memory_bytes=alone,
    )


def first_step(arm: Arm) -> None:
    """Run the step that traces and compiles.

    Raises:
        TrialError: Keras found no gradient to apply.
    """
    try:
        arm.run(1)
    except ValueError as error:
        if "No gradients provided" not in str(error):
            raise
        raise freeze_check.no_gradients(f"Keras says {str(error).splitlines()[0]!r}") from error


def _what_should_happen(
    owned: tuple[OwnedLayer, ...], trial: Trial
) -> tuple[frozenset[str], Mapping[str, Any], frozenset[str]]:
    """Paths that should train, the variables to watch, and the paths that must stand still."""
    frozen = frozenset(trial.frozen_variables)
    frozen_layers = frozenset(trial.frozen_layers)
    watched: dict[str, Any] = {}
    still = set(frozen)
    for entry in owned:
        for variable in entry.variables:
            watched[variable.path] = variable.variable
        if entry.is_norm and entry.name in frozen_layers:
            known = {id(variable.variable) for variable in entry.variables}
            for statistic in entry.layer.variables:
                if id(statistic) not in known:
                    path = f"{entry.name}/{statistic.name}"
                    watched[path] = statistic
                    still.add(path)
    paths = {variable.path for entry in owned for variable in entry.variables}
    return frozenset(paths - frozen), watched, frozenset(still)
