"""The hyperparameters and scalars of a trial in TensorBoard, as literal data.

In: a row of `trials`, finished or only planned. Out: its hyperparameters by name, and its scalars
by tag. What a row does not have is left out: TensorBoard shows a gap, not a zero. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from frostline.policies.family import family

Row = Mapping[str, object]
Value = str | float


@dataclass(frozen=True, slots=True, kw_only=True)
class HParam:
    """A column of TensorBoard's table of hyperparameters.

    Attributes:
        name: as shown; also the column of `trials`, except for the two that are derived.
        numeric: a number; otherwise text.
        doc: one line, shown beside it.
    """

    name: str
    numeric: bool
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarTag:
    """A scalar of a trial.

    Attributes:
        tag: as shown; the part before `/` is the section it stands in.
        column: the column of `trials` that it shows.
        divisor: the column's value is divided by this.
        doc: one line, shown beside it.
        metric: also a metric of the table of hyperparameters.
    """

    tag: str
    column: str
    divisor: float = 1
    doc: str
    metric: bool = False


HPARAMS = (
    HParam(name="model", numeric=False, doc="The model's name in the study."),
    HParam(name="policy", numeric=False, doc="What is frozen."),
    HParam(name="policy_family", numeric=False, doc="The kind of policy: prefix, suffix, ..."),
    HParam(name="role", numeric=False, doc="control, anchor of the cost model, or configuration."),
    HParam(name="frozen_fraction", numeric=True, doc="Frozen / trainable parameters."),
    HParam(
        name="earliest_trainable_layer",
        numeric=True,
        doc="The first layer that still trains, counted from 0 as in the column of that name.",
    ),
    HParam(name="batch_size", numeric=True, doc="Examples per step."),
    HParam(name="optimizer", numeric=False, doc="Keras identifier."),
    HParam(name="precision", numeric=False, doc="Keras dtype policy."),
    HParam(name="jit_compile", numeric=False, doc="XLA, as asked for."),
    HParam(name="strategy", numeric=False, doc="single or mirrored."),
)

_DERIVED = ("policy_family", "role")
COLUMNS = (*(each.name for each in HPARAMS if each.name not in _DERIVED), "is_control", "anchor")
"""Columns of `trials` that the hyperparameters are made of."""

_MS = 1e6
SCALARS = (
    ScalarTag(
        tag="speedup",
        column="speedup",
        doc="Baseline step time / this trial's: median of paired ratios.",
        metric=True,
    ),
    ScalarTag(
        tag="step_ms",
        column="step_ns",
        divisor=_MS,
        doc="Unprofiled step time, median, in milliseconds.",
        metric=True,
    ),
    ScalarTag(
        tag="speedup/low", column="speedup_low", doc="Lower end of the speedup's 95% interval."
    ),
    ScalarTag(
        tag="speedup/high", column="speedup_high", doc="Upper end of the speedup's 95% interval."
    ),
    ScalarTag(
        tag="step_ms/baseline",
        column="baseline_step_ns",
        divisor=_MS,
        doc="Step time of the baseline beside it, median, in milliseconds.",
    ),
    ScalarTag(
        tag="examples_per_second",
        column="examples_per_second",
        doc="Examples of the batches that ran / step time.",
    ),
    ScalarTag(
        tag="peak_memory_mib",
        column="peak_memory_bytes",
        divisor=1 << 20,
        doc="Device memory of the trial alone, in MiB.",
    ),
    ScalarTag(
        tag="energy_joules_per_step",
        column="energy_joules_per_step",
        doc="Device energy per step, in joules.",
    ),
    *(
        ScalarTag(
            tag=f"pass_ms/{name}",
            column=f"{name}_ns",
            divisor=_MS,
            doc=f"Profiled op time per step, {words}, in milliseconds.",
        )
        for name, words in (
            ("forward", "forward pass"),
            ("activation_gradient", "gradients handed on (dX)"),
            ("weight_gradient", "gradients of weights (dW)"),
            ("optimizer", "from gradients to updates"),
            ("input", "input and copies to the device"),
            ("other", "not attributed to a pass"),
        )
    ),
    ScalarTag(
        tag="profiler/overhead", column="profiler_overhead", doc="Profiled / unprofiled step time."
    ),
    ScalarTag(
        tag="profiler/attributed_fraction",
        column="attributed_fraction",
        doc="Share of profiled op time that belongs to a pass.",
    ),
)

SAMPLES = {"trial": "samples/step_ms", "baseline": "samples/step_ms/baseline"}
"""Tags of the raw samples by arm; their step is the number of the pair."""


def hparams_of(row: Row) -> dict[str, Value]:
    """Hyperparameters of a trial, by name, from its row of `trials`, measured or only planned."""
    told = {
        **row,
        "policy_family": family(str(row["policy"])),
        "role": "control"
        if row["is_control"]
        else "anchor"
        if row.get("anchor") is not None
        else "configuration",
        "optimizer": row.get("optimizer") or "the model's own",
    }
    return {
        each.name: float(value) if isinstance(value, int | float) else str(value)
        for each in HPARAMS
        if (value := told.get(each.name)) is not None
    }


def scalars_of(row: Row) -> dict[str, float]:
    """Scalars of a trial, by tag; those that its row does not have are left out."""
    return {
        each.tag: value / each.divisor
        for each in SCALARS
        if isinstance(value := row.get(each.column), int | float)
    }


def samples_of(steps: Sequence[Row]) -> dict[str, list[tuple[int, float]]]:
    """Raw step times in milliseconds, warm-up left out: (pair, time) by tag, ascending.

    Args:
        steps: rows of `steps`; of a sandwich's two baseline samples the mean is taken.
    """
    times: dict[str, dict[int, list[int]]] = {tag: {} for tag in SAMPLES.values()}
    for row in steps:
        pair, step_ns = row["pair"], row["step_ns"]
        if not row["warmup"] and isinstance(pair, int) and isinstance(step_ns, int):
            times[SAMPLES[str(row["arm"])]].setdefault(pair, []).append(step_ns)
    return {
        tag: [(pair, fmean(found) / _MS) for pair, found in sorted(by_pair.items())]
        for tag, by_pair in times.items()
    }
