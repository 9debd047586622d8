"""The answer to `RunAlone`: a configuration trained for a few steps with no baseline beside it.

For what a comparison cannot do: see whether a batch fits with which the baseline would not. Its
step is traced and checked as a trial's, and like a baseline it goes at a smaller learning rate
where synthetic batches make it diverge. Nothing is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from frostline.errors import TrialError
from frostline.measure.arm import Arm
from frostline.measure.build import strategy_for
from frostline.measure.fed_arm import fed_arm
from frostline.measure.learning_rate import may_go_slower
from frostline.measure.memory_release import release_memory
from frostline.measure.messages import RanAlone, RunAlone
from frostline.measure.phase_times import Phases
from frostline.measure.profiler import ProfiledWindow, profile
from frostline.measure.trial_arm import Make, trace_alone


def run_alone(request: RunAlone, enter: Callable[[str], None]) -> RanAlone:
    """Run a few steps; `enter` is told the stages.

    Raises:
        TrialError: the model cannot be built, or does not train what it should.
        Exception: as TensorFlow raises it; one that says that memory ran out among them.
    """
    phases = Phases(enter)
    strategy = strategy_for(request.setting)
    is_slowed = is_synthetic = False

    def make() -> tuple[Arm, tuple[str, ...]]:
        nonlocal is_synthetic
        with phases.timed("build", "build"):
            made = fed_arm(
                request.model, request.setting, strategy, seed=request.seed, slowed=is_slowed
            )
        is_synthetic = made.feed.synthetic is not None
        return made.arm, made.warnings

    try:
        return _run(request, make, phases)
    except TrialError as error:
        if not may_go_slower(error, is_synthetic=is_synthetic):
            raise
    release_memory()  # of the model that diverged: memory may not hold another one beside it
    is_slowed = True
    return _run(request, make, phases)


def _run(request: RunAlone, make: Make, phases: Phases) -> RanAlone:
    traced = trace_alone(
        make,
        phases,
        frozen=frozenset(request.frozen_variables),
        frozen_layers=frozenset(request.frozen_layers),
    )
    with phases.timed("profile", "profile"):
        window = (
            profile(traced.arm, request.profile_steps, Path(request.scratch))
            if traced.peak_memory_bytes is None
            else ProfiledWindow(trace_file=None, step_ns=None, error=None)
        )
    held, peak = traced.held, traced.peak_memory_bytes
    del traced
    release_memory()
    return RanAlone(
        held=held, peak_memory_bytes=peak, trace_file=window.trace_file, error=window.error
    )
