"""Trials that measure nothing: a study of any number of them, its facts, and their answer.

In: how many trials. Out: what the program plans from, and what a measuring process would answer,
at once: 22 samples, no profile. So a trial has 1 row in `trials`, 22 in `steps`, 24 in `layers`.
And what the other sides of the comparison do with that answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from frostline.facts.model_facts import LayerFacts, ModelFacts, VariableFacts
from frostline.measure.messages import ArmName, Failed, Measured, Ready, Sample
from frostline.results.rows import TrialRun, tables_of
from frostline.store.outdir import OutDir
from frostline.study.study import Study, parse_study
from frostline.trial import Trial

LAYERS = 24
BASELINE_NS = 40_000_000
STUDY = """
name = "noop"
[[model]]
name = "net"
builder = "noop:net"
[train]
batch_size = [8]
[freeze]
policies = ["random:{draws}@0.5"]
anchors = false
[measure]
profile_steps = 0
keep_traces = "none"
[resources]
gpus_per_trial = 0
cpus_per_trial = {cpus}
trial_timeout_s = 60.0
"""
_CONTROLS = 3


def study(trials: int, *, cpus: int) -> Study:
    """A study of so many trials, its controls included."""
    return parse_study(STUDY.format(draws=trials - _CONTROLS, cpus=cpus), check_builders=False)


def facts() -> ModelFacts:
    """A chain of dense layers."""
    names = [f"block{index}/dense" for index in range(LAYERS)]
    return ModelFacts(
        name="net",
        layers=tuple(
            LayerFacts(
                name=name,
                index=index,
                kind="Dense",
                block=f"block{index}",
                is_norm=False,
                variables=tuple(
                    VariableFacts(
                        path=f"{name}/{own}",
                        layer=name,
                        name=own,
                        shape=shape,
                        params=params,
                        is_bias=own == "bias",
                    )
                    for own, shape, params in (("kernel", (64, 64), 4096), ("bias", (64,), 64))
                ),
                upstream=tuple(names[:index]),
                forward_flops=8 * 8256,
                uses=1,
            )
            for index, name in enumerate(names)
        ),
        untrainable_params=0,
        batch_size=8,
        build_s=0.0,
        trace_s=0.0,
    )


def inspected(_study: Study, _logs: Path) -> Mapping[str, ModelFacts | Failed]:
    """The facts, in place of building a model."""
    return {"net": facts()}


def ready() -> Ready:
    """The answer to the opening of a baseline."""
    return Ready(
        device_kind="none", device_id="cpu", jit_compile=False, seconds={}, rss_bytes=1 << 28
    )


def measured() -> Measured:
    """The answer to a trial: the figures of no machine."""
    arms: tuple[tuple[ArmName, int], ...] = (("baseline", BASELINE_NS), ("trial", BASELINE_NS // 2))
    samples = tuple(
        Sample(
            arm=arm, pair=pair, position=position, warmup=pair < 0, n_steps=4,
            step_ns=step_ns + (pair if position == 0 else -pair),
        )
        for pair in range(-1, 10)
        for position, (arm, step_ns) in enumerate(arms)
    )  # fmt: skip
    return Measured(
        samples=samples,
        pairing="interleaved",
        stop_reason="target_ci",
        speedup=2.0,
        speedup_low=1.99,
        speedup_high=2.01,
        step_ns=BASELINE_NS // 2,
        baseline_step_ns=BASELINE_NS,
        profiled_step_ns=None,
        trace_file=None,
        profile_error=None,
        graph_file=None,
        warnings=(),
        peak_memory_bytes=None,
        energy_joules_per_step=None,
        seconds={"build": 0.0, "trace": 0.0, "step": 0.0, "check": 0.0},
        rss_bytes=1 << 28,
    )


def write_trial(trial: Trial, known: ModelFacts, out: str) -> None:
    """What bare tasks and Tune do for a trial: make the answer, encode the tables, publish them."""
    run = TrialRun(
        trial=trial, facts=known, attempts=1, started_at=datetime.now(UTC), duration_s=0.0,
        measured=measured(),
    )  # fmt: skip
    _opened(out).publish(tables_of(run))


@cache
def _opened(out: str) -> OutDir:
    return OutDir.open(out, create=False)
