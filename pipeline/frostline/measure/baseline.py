"""A warm baseline, and the trials that are measured against it, one after the other.

Importing TensorFlow, building the baseline and compiling its step are done once for many trials.
Each trial's model is built, traced and compiled once, checked, measured beside the baseline,
profiled, and deleted again so that its memory is freed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf

from frostline.errors import TrialError
from frostline.gpus import gpus_here
from frostline.measure import device
from frostline.measure.arm import Arm
from frostline.measure.batches import Feed
from frostline.measure.build import strategy_for
from frostline.measure.compilations import step_traces
from frostline.measure.device_state import device_state
from frostline.measure.eager import is_compiled_by_xla, why_eager
from frostline.measure.fed_arm import fed_arm
from frostline.measure.fresh_state import clears
from frostline.measure.gradient_norms import gradient_norms
from frostline.measure.interleave import WARM_UP, Comparison, interleave, median_ns, sample
from frostline.measure.layers import owned_layers
from frostline.measure.learning_rate import may_go_slower
from frostline.measure.memory_release import (
    let_go,
    release_memory,
    settle,
    transient_models,
    unsettle,
)
from frostline.measure.messages import ArmName, Measured, OpenGroup, Ready, Sample
from frostline.measure.out_of_memory import is_out_of_memory
from frostline.measure.pairing import estimate, looks
from frostline.measure.phase_times import Phases
from frostline.measure.profiler import ProfiledWindow, profile_trial
from frostline.measure.short_error import short_error
from frostline.measure.trial_arm import TracedArm, trace_baseline, trace_trial
from frostline.trial import ModelSpec, Trial

_SANDWICH_PAIRS = 22
_ENERGY_WINDOW_S = 1.5


class WarmBaseline:
    """One model under one setting, with its baseline; owned by the measuring process."""

    def __init__(self, request: OpenGroup, enter: Callable[[str], None]) -> None:
        self._spec = request.model
        self._setting = request.setting
        self._measure = request.measure
        self._phases = Phases(enter)
        if not tf.config.list_logical_devices():
            raise TrialError("build", "NoDevice", "TensorFlow sees no device at all")
        if gpus_here() and not tf.config.list_physical_devices("GPU"):
            raise TrialError(
                "build",
                "NoGpu",
                "the trial holds a GPU of the driver's, and TensorFlow sees none: pip install "
                "'.[gpu]' (`frostline doctor` checks it), or set gpus_per_trial = 0 under "
                "[resources]",
            )
        self._strategy = strategy_for(self._setting)
        self._feed: Feed | None = None
        self._trains: frozenset[str] = frozenset()
        self._clears_before = clears()
        self._slowed = False
        self._baseline: Arm | None = self._first_baseline()
        self._seconds_to_open = self._phases.seconds
        settle()

    def ready(self, *, import_s: float) -> Ready:
        """What the lease is told of an open baseline."""
        return Ready(
            device_kind=device.device_kind(),
            device_id=device.device_id(),
            jit_compile=is_compiled_by_xla(self._open_baseline().model),
            seconds={"import": import_s, **self._seconds_to_open},
            rss_bytes=device.resident_bytes(),
            tensorflow_version=tf.__version__,
            keras_version=keras.__version__,
        )

    def close(self) -> None:
        """Drop the baseline and give its memory back."""
        self._baseline = None
        unsettle()
        keras.utils.clear_session()
        release_memory()
        let_go()

    def run(self, trial: Trial, scratch: Path) -> Measured:
        """Measure one trial; `scratch` is an empty folder for the trace and the graph.

        Raises:
            TrialError: the freeze check failed, or the loss is not finite.
            Exception: as TensorFlow raises it; one that says that memory ran out where the model
                does not fit even alone.
        """
        self._phases.restart()
        self._clears_before = clears()
        measured = self._beside_baseline(trial, scratch)
        if measured is None:
            measured = self._sandwiched(trial, scratch)
        return replace(measured, rss_bytes=device.resident_bytes())

    def _beside_baseline(self, trial: Trial, scratch: Path) -> Measured | None:
        """Measure a trial with both models resident; None where memory does not hold both.

        The error is gone when this returns: its frames would keep the trial's model alive.
        """
        try:
            with transient_models():
                return self._interleaved(trial, scratch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _interleaved(self, trial: Trial, scratch: Path) -> Measured:
        baseline = self._open_baseline()
        traced = self._traced(trial)
        with self._phases.timed("step", "measure"):
            warm = [
                sample(block, "trial", WARM_UP, position, warmup=True)
                for position, block in enumerate(traced.arm.warm_up())
            ]
            before = device_state()
            compared = interleave(baseline, traced.arm, self._measure, label=trial.trial_id)
            after = device_state()
        measured = self._report(trial, traced, scratch, (*warm, *compared.samples), compared)
        return replace(measured, device_before=before, device_after=after)

    def _traced(self, trial: Trial) -> TracedArm:
        make = partial(self._build, trial.model)
        return trace_trial(trial, make, self._phases, trains=self._trains)

    def _sandwiched(self, trial: Trial, scratch: Path) -> Measured:
        """Baseline, trial, baseline, one resident at a time; where two models do not fit."""
        pairs = min(_SANDWICH_PAIRS, looks(self._measure.min_pairs, self._measure.max_pairs)[-1])
        before = self._blocks(self._open_baseline(), "baseline", pairs, position=0)
        self._baseline = None
        unsettle()
        release_memory()
        let_go()
        with transient_models():
            traced = self._traced(trial)
            with self._phases.timed("step", "measure"):
                traced.arm.warm_up()
            state_before = device_state()
            own = self._blocks(traced.arm, "trial", pairs, position=1)
            state_after = device_state()
            measured = self._report(trial, traced, scratch, (*before, *own), None)
            del traced
        self._baseline = self._warm_baseline()
        settle()
        after = self._blocks(self._baseline, "baseline", pairs, position=2)
        ratios = [
            (first.step_ns + last.step_ns) / (2 * middle.step_ns)
            for first, middle, last in zip(before, own, after, strict=True)
        ]
        found = estimate(ratios, rule=self._measure.stopping, seed=self._measure.seed)
        samples = (*before, *own, *after)
        return replace(
            measured,
            samples=samples,
            pairing="sandwich",
            stop_reason="max_pairs",
            speedup=found.speedup,
            speedup_low=found.low,
            speedup_high=found.high,
            baseline_step_ns=median_ns(samples, "baseline"),
            device_before=state_before,
            device_after=state_after,
        )

    def _blocks(self, arm: Arm, name: ArmName, count: int, *, position: int) -> tuple[Sample, ...]:
        with self._phases.timed("step", "measure"):
            return tuple(
                sample(arm.run(arm.block_steps), name, pair, position, warmup=False)
                for pair in range(count)
            )

    def _report(
        self,
        trial: Trial,
        traced: TracedArm,
        scratch: Path,
        samples: tuple[Sample, ...],
        compared: Comparison | None,
    ) -> Measured:
        """Profile the trial, save its graph, and put everything into one message."""
        energy = self._energy(traced.arm)
        eager = why_eager(traced.arm.model, self._spec)
        with self._phases.timed("profile", "profile"):
            window = (
                profile_trial(trial, traced.arm, self._measure.profile_steps, scratch)
                if eager is None
                else ProfiledWindow(trace_file=None, step_ns=None, error=eager)
            )
        norms, warnings = self._gradient_norms(trial, traced.arm)
        graph_file = None
        if traced.graph is not None:
            graph_file = scratch / "graph.json"
            traced.graph.save(graph_file)
        found = compared.estimate if compared is not None else None
        own_ns = median_ns(samples, "trial")
        base_ns = median_ns(samples, "baseline")
        return Measured(
            samples=samples,
            pairing="interleaved",
            stop_reason=compared.stop_reason if compared is not None else "max_pairs",
            speedup=found.speedup if found is not None else base_ns / own_ns,
            speedup_low=found.low if found is not None else 0.0,
            speedup_high=found.high if found is not None else 0.0,
            step_ns=own_ns,
            baseline_step_ns=base_ns,
            profiled_step_ns=window.step_ns,
            steps_per_mark=traced.arm.cycle,
            trace_file=window.trace_file,
            profile_error=window.error,
            graph_file=None if graph_file is None else str(graph_file),
            warnings=(*traced.warnings, *warnings),
            peak_memory_bytes=traced.peak_memory_bytes,
            held=traced.held,
            energy_joules_per_step=energy,
            seconds=self._phases.seconds,
            rss_bytes=device.resident_bytes(),
            examples_per_step=None if self._feed is None else self._feed.examples_per_batch,
            gradient_norms=norms,
            runs_eagerly=eager is not None,
            profile_windows=window.windows,
            step_compilations=self._compilations(traced.arm),
        )

    def _gradient_norms(
        self, trial: Trial, arm: Arm
    ) -> tuple[dict[str, float] | None, tuple[str, ...]]:
        """Gradient norms by layer, if this is the trial that records them; and warnings."""
        if not (self._measure.gradient_norms and trial.is_control and trial.replicate == 0):
            return None, ()
        try:
            with self._phases.timed("profile", "gradients"):
                found = gradient_norms(
                    arm.model, arm.batches, self._strategy, owned_layers(arm.model)
                )
        except Exception as error:  # noqa: BLE001 - foreign code; the timing is good without it
            return None, (f"no gradient norms: {short_error(error)}",)
        return dict(found), ()

    def _compilations(self, arm: Arm) -> int | None:
        """Steps compiled for a trial: its own, and the baseline's where its kernels were lost."""
        own = step_traces(arm.model)
        return None if own is None else own + clears() - self._clears_before

    def _energy(self, arm: Arm) -> float | None:
        """Joules per step over a window of its own, long enough for the counter's resolution."""
        before = device.energy_millijoules()
        if before is None:
            return None
        with self._phases.timed("step", "measure"):
            steps, end = 0, time.monotonic() + _ENERGY_WINDOW_S
            while time.monotonic() < end:
                steps += arm.run(arm.block_steps).n_steps
        after = device.energy_millijoules()
        return None if after is None else (after - before) / 1000 / steps

    def _first_baseline(self) -> Arm:
        """The baseline; at a smaller learning rate where synthetic batches make it diverge."""
        try:
            return self._warm_baseline()
        except TrialError as error:
            is_synthetic = self._feed is not None and self._feed.synthetic is not None
            if not may_go_slower(error, is_synthetic=is_synthetic):
                raise
        self._slowed = True
        release_memory()  # of the model that diverged: memory may not hold another one beside it
        return self._warm_baseline()

    def _warm_baseline(self) -> Arm:
        traced = trace_baseline(self._build, self._phases)
        self._trains = traced.trains
        with self._phases.timed("step", "measure"):
            traced.arm.warm_up()
        return traced.arm

    def _build(self, spec: ModelSpec | None = None) -> tuple[Arm, tuple[str, ...]]:
        """An arm of a variant, or of the plain model."""
        with self._phases.timed("build", "build"):
            made = fed_arm(
                spec or self._spec,
                self._setting,
                self._strategy,
                seed=self._measure.seed,
                known=self._feed,
                slowed=self._slowed,
            )
        self._feed = made.feed
        return made.arm, made.warnings

    def _open_baseline(self) -> Arm:
        if self._baseline is None:
            raise TrialError("build", "NoBaseline", "the baseline is gone; start the group again")
        return self._baseline
