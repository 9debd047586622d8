"""A row of `trials` as a typed value, for everything of the program that reads a sweep.

In: a mapping by column, as Arrow gives it. Out: `TrialRow`. Imports no Arrow, so that analysis and
rendering can be used and tested without it. `docs/tables.md` says what each column means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One committed trial; fields are the columns of `trials`, units in their names.

    None stands where nothing was measured. Fractions, speedups and their intervals are ratios
    (dimensionless); `*_ns` are nanoseconds per training step.
    """

    trial_id: str
    study: str
    model: str
    policy: str
    aliases: tuple[str, ...]
    frozen_layers: tuple[str, ...]
    frozen_variables: tuple[str, ...]
    frozen_params: int | None
    total_params: int | None
    frozen_fraction: float | None
    earliest_trainable_layer: int | None
    batch_size: int
    optimizer: str | None
    precision: str
    jit_compile: str
    jit_resolved: bool | None
    strategy: str
    is_control: bool
    replicate: int
    anchor: str | None
    status: Literal["ok", "failed"]
    error_stage: str | None
    error_type: str | None
    error_message: str | None
    warnings: tuple[str, ...]
    attempts: int
    pairs: int | None
    pairing: str | None
    stop_reason: str | None
    step_ns: int | None
    baseline_step_ns: int | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    noise_floor: float | None
    forward_ns: int | None
    activation_gradient_ns: int | None
    weight_gradient_ns: int | None
    optimizer_ns: int | None
    input_ns: int | None
    other_ns: int | None
    busy_ns: int | None
    attributed_fraction: float | None
    profiler_overhead: float | None
    peak_memory_bytes: int | None
    energy_joules_per_step: float | None
    examples_per_second: float | None
    predicted_step_ns: int | None
    host: str | None
    device_kind: str | None
    device_id: str | None
    trace_path: str | None
    trace_steps: int | None
    frostline_version: str
    tensorflow_version: str | None
    keras_version: str | None
    started_at: datetime
    duration_s: float
    build_s: float | None
    compile_s: float | None
    stepping_s: float | None
    check_s: float | None
    profile_s: float | None
    convert_s: float | None
    process_rss_bytes: int | None
    process_trials: int | None

    @staticmethod
    def from_mapping(row: Mapping[str, object]) -> TrialRow:
        """Make a row from its columns; lists become tuples, unknown columns are passed over.

        Raises:
            KeyError: a column is missing (a reader fills those that old files lack with None).
        """
        values = {}
        for field in fields(TrialRow):
            value = row[field.name]
            if field.type == "tuple[str, ...]":
                value = tuple(value) if isinstance(value, list | tuple) else ()
            values[field.name] = value
        return TrialRow(**values)  # type: ignore[arg-type]

    @property
    def passes_ns(self) -> dict[str, int] | None:
        """Profiled op time per step by pass, in nanoseconds; None without a trace."""
        times = {
            "forward": self.forward_ns,
            "activation_gradient": self.activation_gradient_ns,
            "weight_gradient": self.weight_gradient_ns,
            "optimizer": self.optimizer_ns,
            "input": self.input_ns,
            "other": self.other_ns,
        }
        known = {name: time for name, time in times.items() if time is not None}
        return known if len(known) == len(times) else None
