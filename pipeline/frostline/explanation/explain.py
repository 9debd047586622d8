"""Explains one trial of a sweep: reads its tables, splits its step, applies the rules.

In: a sweep and a trial's name. Out: `Explanation`. Refuses (`UsageError`) a name that no committed
trial has.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import PathLike

from frostline.analyse import GroupKey, TrialGroup, verdict
from frostline.analyse.groups import group_of
from frostline.analyse.lookup import find_trial
from frostline.analyse.lora_products import lora_products
from frostline.analyse.profiles import LayerMode, StepProfile, read_profiles
from frostline.analyse.stored_memory import memory_of
from frostline.analyse.stored_model import facts_if_known, load_facts, read_graph
from frostline.analyse.stored_study import study_of
from frostline.costmodel.units import units_of
from frostline.errors import SweepError, UsageError
from frostline.explanation.case import Case
from frostline.explanation.explanation import Explanation, Reason
from frostline.explanation.ledger import step_ledger
from frostline.explanation.memory import MemoryShare, memory_share
from frostline.explanation.remains import REMAINS
from frostline.explanation.saved import SAVED
from frostline.explanation.variants import VARIANTS
from frostline.explanation.worth import WORTH
from frostline.memory.model import MemoryModel
from frostline.store.sweep import Sweep, as_sweep
from frostline.store.trial_row import TrialRow
from frostline.words import layer_number, policy_words

_EFFECTS = ("verdict", "saved", "remains", "unknown")
_WORTH = (
    "failed", "too_noisy", "control", "freeze_without_effect", "within_noise", "lora_full_product",
    "lora_low_rank", "recomputed",
)  # fmt: skip


def explain(
    sweep: Sweep | str | PathLike[str], trial: str, *, model: str | None = None
) -> Explanation:
    """Say where a trial's time went, and why it is or is not faster.

    Args:
        sweep: the sweep, or its path; the controls are read too, for the baseline's profile.
        trial: its id, the start of its id, its policy, or its name in tables (`control 2`), with
            the model's before it where that is needed (`vgg16/prefix:8`).
        model: only trials of this model.

    Raises:
        UsageError: there is no such trial, or the name fits several.
        StorageError: a table cannot be read.
    """
    sweep = as_sweep(sweep)
    rows = sweep.trial_rows()
    row = find_trial(rows, trial, partial(facts_if_known, sweep), model=model)
    case = _case(sweep, row, group_of(rows, row))
    reasons = [
        reason
        for rule in (*WORTH, *VARIANTS, *SAVED, *REMAINS)
        if (reason := rule(case)) is not None
    ]
    first = case.first_trainable
    log = f"logs/{row.trial_id}.log"
    return Explanation(
        trial_id=row.trial_id,
        policy=policy_words(row),
        setting=GroupKey.of(row).label,
        status=row.status,
        device_kind=row.device_kind,
        frozen_layers=len(row.frozen_layers),
        layers=len(case.layers) or None,
        frozen_fraction=row.frozen_fraction,
        trains_from=first.layer if first else None,
        trains_from_number=layer_number(first.index) if first else None,
        verdict=case.verdict,
        speedup=row.speedup,
        speedup_low=row.speedup_low,
        speedup_high=row.speedup_high,
        noise_floor=case.noise_floor,
        forward_alone=case.forward_alone(),
        profiled_controls=len(case.controls),
        baseline_step_ns=row.baseline_step_ns,
        step_ns=case.step_ns,
        median_step_ns=row.step_ns,
        parts=case.parts(),
        reasons=tuple(sorted(reasons, key=_order)),
        warnings=row.warnings,
        log_path=log if f"{row.trial_id}.log" in sweep.out.files.stamps("logs") else None,
        trace_path=row.trace_path,
        memory=_memory(sweep, row, rows),
    )


def _memory(sweep: Sweep, row: TrialRow, rows: Sequence[TrialRow]) -> MemoryShare | None:
    """What holds the trial's memory, beside the baseline: the plain model's."""
    if row.status != "ok":
        return None
    rows = [one for one in rows if one.device_kind == row.device_kind]
    own = _memory_model(sweep, GroupKey.of(row), rows)
    plain = own if row.variant is None else _memory_model(sweep, GroupKey.of(row).plain, rows)
    return memory_share(own, row, plain=plain)


def _memory_model(sweep: Sweep, key: GroupKey, rows: Sequence[TrialRow]) -> MemoryModel | None:
    facts = facts_if_known(sweep, key.model_key)
    if facts is None:
        return None
    measured = [one for one in rows if one.status == "ok" and GroupKey.of(one) == key]
    return memory_of(sweep, measured, facts)


def _case(sweep: Sweep, row: TrialRow, group: TrialGroup) -> Case:
    """Collect the inputs of the rules."""
    floor = group.noise_floor
    baseline_ns = row.baseline_step_ns
    step_ns = round(baseline_ns / row.speedup) if baseline_ns and row.speedup else None
    profiles = read_profiles(sweep, [row, *_references(row, group.controls)])
    own = profiles.pop(row.trial_id, None)
    controls = tuple(profiles.values()) if baseline_ns else ()
    layers = own.layers if own else _layers(sweep, row)
    return Case(
        row=row,
        verdict=verdict(row, floor),
        noise_floor=floor,
        step_ns=step_ns,
        controls=tuple(step_ledger(profile, baseline_ns or 0) for profile in controls),
        control_rows=tuple(profile.row for profile in controls),
        trial=step_ledger(own, step_ns) if own and step_ns else None,
        launches=own.waits if own else {},
        layers=layers,
        stands_for=_stands_for(sweep, row.model, controls),
        devices=own.devices if own else (),
        lora=lora_products(sweep, row),
        recomputes=_recomputes(sweep, row),
    )


def _recomputes(sweep: Sweep, row: TrialRow) -> bool:
    """Whether it is a variant that recomputes activations, by the study."""
    if row.variant is None:
        return False
    try:
        specs = study_of(sweep).model_specs()
    except SweepError:
        return False
    return any(
        spec.name == row.model_key and spec.variant is not None and spec.variant.remat is not None
        for spec in specs
    )


def _references(row: TrialRow, controls: Sequence[TrialRow]) -> list[TrialRow]:
    """Controls on the same kind of device as this trial, compiled the same way."""
    return [
        one
        for one in controls
        if one.trial_id != row.trial_id
        and one.device_kind == row.device_kind
        and one.jit_resolved == row.jit_resolved
    ]


def _layers(sweep: Sweep, row: TrialRow) -> tuple[LayerMode, ...]:
    columns = ["layer", "index", "kind", "mode"]
    found = sweep.table("layers", columns, trials=(row.trial_id,)).to_pylist()
    return tuple(sorted((LayerMode(**one) for one in found), key=lambda layer: layer.index))


def _stands_for(sweep: Sweep, model: str, controls: Sequence[StepProfile]) -> dict[str, str]:
    """Empty where the model's facts or the controls' graphs were not kept, or do not match."""
    try:
        facts = load_facts(sweep, model)
        for profile in controls:
            if graph := read_graph(sweep, profile.row.trial_id, facts):
                return units_of(facts, graph)
    except (UsageError, ValueError):
        return {}  # facts of another build, or damaged: such layers stay without a place
    return {}


def _order(reason: Reason) -> tuple[int, int, int, str]:
    """By effect; what a speedup is worth in the order of its rules, anything else by its time."""
    first = _WORTH.index(reason.kind) if reason.effect == "verdict" else 0
    return (_EFFECTS.index(reason.effect), first, -abs(reason.share_ns or 0), reason.kind)
