"""What a training step does to the variables that train in the baseline.

In: the step's tape calls, its writes and its updates, or a recorder alone where there is no graph.
Out: `StepFacts`, which the freeze check compares with what should happen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from frostline.measure.graph.cycles import Counter, cycle_of_optimizers
from frostline.measure.graph.recorder import StepRecorder, TapeCall, variable_key
from frostline.measure.layers import OwnedLayer, OwnedVariable


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """What the step does to the variables that train in the baseline, and how often it repeats.

    Attributes:
        gradient_variables: paths whose gradient a tape was asked for; a variable that Keras does
            not train appears under its own Keras path. None where no tape was seen to be asked.
        assigned_variables: paths of baseline variables that are updated, branches included; without
            what a layer assigns to itself while it is called. None where the step has no graph.
        self_assigned_variables: paths of baseline variables that their layer assigns while it is
            called (spectral normalisation), frozen or not.
        unconnected_variables: asked for, but the loss does not depend on them.
        cycle: steps after which the work repeats; 1 where every step does the same.
        counters: variables that a step sets back and that choose its work; `cycle` knows nothing of
            these.
    """

    gradient_variables: frozenset[str] | None
    assigned_variables: frozenset[str] | None = None
    self_assigned_variables: frozenset[str] = frozenset()
    unconnected_variables: frozenset[str] = frozenset()
    cycle: int = 1
    counters: tuple[Counter, ...] = ()


def facts_without_graph(recorder: StepRecorder, owned: tuple[OwnedLayer, ...]) -> StepFacts:
    """What was seen of a step that ran eagerly, or whose tape is in a function traced before."""
    variables = tuple(entry for layer in owned for entry in layer.variables)
    positions = {variable_key(entry.variable): i for i, entry in enumerate(variables)}
    calls = recorder.tape_calls
    return StepFacts(
        gradient_variables=frozenset(asked(calls, variables, positions)) if calls else None,
        unconnected_variables=unconnected(calls, variables, positions),
        cycle=cycle_of_optimizers(recorder.optimizers),
    )


def asked(
    calls: Iterable[TapeCall], variables: tuple[OwnedVariable, ...], positions: dict[int, int]
) -> dict[str, bool]:
    """Paths of the variables whose gradients were asked for, and whether one came back."""
    found: dict[str, bool] = {}
    for call in calls:
        for gradient in call.gradients:
            known = positions.get(gradient.variable)
            path = gradient.path if known is None else variables[known].path
            found[path] = found.get(path, False) or gradient.connected
    return found


def unconnected(
    calls: Iterable[TapeCall], variables: tuple[OwnedVariable, ...], positions: dict[int, int]
) -> frozenset[str]:
    """Paths of those whose gradients were asked for, and never came back."""
    found = asked(calls, variables, positions)
    return frozenset(path for path, connected in found.items() if not connected)


def written(
    variables: tuple[OwnedVariable, ...],
    handles: tuple[frozenset[int], ...],
    writes: dict[int, frozenset[int]],
    by: Collection[int],
) -> frozenset[str]:
    """Paths of the variables that these vertices write."""
    all_written: frozenset[int] = frozenset().union(*(writes[vertex] for vertex in by))
    return frozenset(
        entry.path for entry, own in zip(variables, handles, strict=True) if own & all_written
    )
