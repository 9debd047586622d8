"""What the report reads of a sweep beyond its trials: layers, predictions, unattributed ops.

In: a sweep, its summary, and the trials that the page shows. Out: `ReportEvidence` for each group.
Op rows are added up in DuckDB and never reach Python. Whatever is missing (facts of a model,
anchors, rows of a table) is left out, with a notice that says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, TypeAlias

from frostline.analyse import GroupKey, GroupSummary, Summary, TrialSummary
from frostline.analyse.backward_flops import LayerWork, flops_saved
from frostline.analyse.layer_costs import LayerCost, layer_costs
from frostline.analyse.prediction_error import PredictedTrial, held_out_of
from frostline.analyse.stored_model import load_facts
from frostline.errors import DamagedError, UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.prediction import THREE_ANCHOR, PredictedGroup, Unpredicted, predictions, sort_groups
from frostline.reporting.page_limits import spread
from frostline.store.sweep import Sweep
from frostline.store.trial_row import TrialRow
from frostline.trial import AXES

PREDICTED = 400
"""The most held-out configurations of a group from which errors of predictors are computed."""
UNATTRIBUTED = 20
_CONTROLS = 8

_Fitted: TypeAlias = Mapping[tuple[GroupKey, str | None], PredictedGroup | Unpredicted]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnattributedOp:
    """An op whose pass is not known.

    Attributes:
        op_name, op_type, rule: as in `op_costs`.
        ns: mean over the profiled trials of the group, per step.
        share: of these trials' op time.
    """

    op_name: str
    op_type: str
    rule: str
    ns: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEvidence:
    """What the report shows of a group beyond its summary.

    Attributes:
        layers: the baseline's layers with their costs; empty where no control left any.
        order: names of all layers in order of first use; empty where not known.
        flops_saved: by `trial_id`, saved share of the baseline's backward FLOPs.
        flops_known: number of layers with a registered FLOP count, and number of layers.
        predicted: every predictor's answers for measured trials.
        predicted_peaks: by `trial_id`, predicted memory at the peak in bytes.
        unattributed: the largest ops without a pass.
        unattributed_share: of all op time of the group.
        unattributed_ops: how many different ones there are.
        unpredicted: why the cost model, or every predictor, says nothing; empty where they do.
        notices: what else the report leaves out, and why.
    """

    layers: tuple[LayerCost, ...]
    order: tuple[str, ...]
    flops_saved: Mapping[str, float]
    flops_known: tuple[int, int]
    predicted: tuple[PredictedTrial, ...]
    predicted_peaks: Mapping[str, int]
    unattributed: tuple[UnattributedOp, ...]
    unattributed_share: float | None
    unattributed_ops: int
    unpredicted: tuple[str, ...]
    notices: tuple[str, ...]


def gather(
    sweep: Sweep, summary: Summary, shown: Mapping[int, Sequence[TrialSummary]]
) -> tuple[ReportEvidence, ...]:
    """Read the evidence of every group of the summary, in its order.

    `shown` has, by position of the group, the trials that the page shows.

    Raises:
        StorageError: OUT cannot be read.
    """
    stored = _stored_predictions(sweep, shown)
    fitted = None if stored else _fitted(sweep)
    unattributed = _unattributed(sweep, summary)
    found = []
    for number, group in enumerate(summary.groups):
        rows = [item.row for item in shown[number] if item.row.speedup is not None]
        notices: list[str] = []
        unpredicted: list[str] = []
        layers = _layers(sweep, group)
        facts = _facts(sweep, group, notices)
        works = _works(layers, facts)
        saved = {
            row.trial_id: share
            for row in rows
            if (share := flops_saved(works, _frozen(row, facts))) is not None
        }
        ops, count = unattributed[number]
        op_time = sum(sum((item.row.passes_ns or {}).values()) for item in group.trials)
        other = sum((item.row.passes_ns or {}).get("other", 0) for item in group.trials)
        found.append(
            ReportEvidence(
                layers=layers,
                order=_order(layers, facts),
                flops_saved=saved,
                flops_known=(sum(work.forward_flops is not None for work in works), len(works)),
                predicted=tuple(
                    _predicted(group, _judged(rows, notices), stored, fitted, unpredicted)
                ),
                predicted_peaks=_peaks(rows, stored),
                unattributed=ops,
                unattributed_share=other / op_time if op_time else None,
                unattributed_ops=count,
                unpredicted=tuple(unpredicted),
                notices=tuple(notices),
            )
        )
    return tuple(found)


def _layers(sweep: Sweep, group: GroupSummary) -> tuple[LayerCost, ...]:
    # A variant has layers of its own, which the plain model's controls say nothing of.
    controls = group.control_rows[:_CONTROLS] if group.key.variant is None else ()
    rows = sweep.table("layers", trials=[row.trial_id for row in controls]).to_pylist()
    ids = [row.trial_id for row in controls]
    known = {row["layer"] for row in rows}
    ops = sweep.table("op_costs", ["trial_id", "layer", "pass", "ns_per_step"], trials=ids)
    sums = ops.group_by(["trial_id", "layer", "pass"]).aggregate([("ns_per_step", "sum")])
    weightless = [
        {**row, "ns": row["ns_per_step_sum"]}
        for row in sums.to_pylist()
        if row["layer"] is not None and row["layer"] not in known
    ]
    return layer_costs(controls, rows, weightless if known else ())


def _facts(sweep: Sweep, group: GroupSummary, notices: list[str]) -> ModelFacts | None:
    try:
        return load_facts(sweep, group.key.model_key)
    except DamagedError:
        raise
    except UsageError as error:
        notices.append(f"Which layer feeds which is not known, so they count as a chain: {error}.")
    return None


def _works(layers: Sequence[LayerCost], facts: ModelFacts | None) -> list[LayerWork]:
    named = [cost for cost in layers if cost.index >= 0]
    before = [tuple(cost.layer for cost in named[:number]) for number in range(len(named))]
    known = facts.by_name if facts is not None else {}
    return [
        LayerWork(
            layer=cost.layer,
            forward_flops=cost.forward_flops,
            variables=(
                {variable.path: variable.params for variable in known[cost.layer].variables}
                if cost.layer in known
                else {cost.layer: cost.params}
            ),
            upstream=known[cost.layer].upstream if cost.layer in known else chain,
        )
        for cost, chain in zip(named, before, strict=True)
    ]


def _frozen(row: TrialRow, facts: ModelFacts | None) -> Sequence[str]:
    return row.frozen_layers if facts is None else (*row.frozen_variables, *row.frozen_layers)


def _order(layers: Sequence[LayerCost], facts: ModelFacts | None) -> tuple[str, ...]:
    if facts is not None:
        return tuple(layer.name for layer in facts.layers)
    return tuple(cost.layer for cost in layers if cost.index >= 0)


def _stored_predictions(
    sweep: Sweep, shown: Mapping[int, Sequence[TrialSummary]]
) -> dict[str, list[dict[str, Any]]]:
    columns = [
        "trial_id", "predictor", "is_anchor", "predicted_speedup", "predicted_peak_bytes",
    ]  # fmt: skip
    trials = [item.row.trial_id for items in shown.values() for item in items]
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sweep.table("predictions", columns, trials=trials).to_pylist():
        found.setdefault(row["trial_id"], []).append(row)
    return found


def _fitted(sweep: Sweep) -> _Fitted:
    fitted, rest = sort_groups(sweep)
    everything: list[PredictedGroup | Unpredicted] = [*fitted, *rest]
    return {(group.key, group.device_kind): group for group in everything}


def _predicted(
    group: GroupSummary,
    judged: Sequence[TrialRow],
    stored: Mapping[str, Sequence[Mapping[str, Any]]],
    fitted: _Fitted | None,
    unpredicted: list[str],
) -> Iterable[PredictedTrial]:
    """Every predictor's answers for these trials; why there are none goes to `unpredicted`."""
    by_trial = {row.trial_id: row for row in judged}
    if fitted is None:
        answers = [(row, answer) for row in judged for answer in stored.get(row.trial_id, ())]
        if not answers:
            unpredicted.append("No predictions: the table has none of these trials.")
        for row, answer in answers:
            yield from _one(row, answer["predictor"], answer["predicted_speedup"],
                            is_anchor=answer["is_anchor"])  # fmt: skip
        return
    model = fitted.get((group.key, group.device_kind))
    if model is None:
        return
    if isinstance(model, Unpredicted):
        unpredicted.append(f"No prediction by the cost model: {model.reason}.")
    for found in predictions(replace(model, rows=tuple(judged))):
        yield from _one(by_trial[found.trial_id], found.predictor, found.predicted_speedup,
                        is_anchor=found.is_anchor)  # fmt: skip


def _peaks(
    rows: Sequence[TrialRow], stored: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, int]:
    return {
        row.trial_id: answer["predicted_peak_bytes"]
        for row in rows
        for answer in stored.get(row.trial_id, ())
        if answer["predictor"] == THREE_ANCHOR and answer["predicted_peak_bytes"] is not None
    }


def _judged(rows: Sequence[TrialRow], notices: list[str]) -> list[TrialRow]:
    """Anchors, and an even selection of the configurations that are held out."""
    others = [row for row in rows if row.anchor is None and not row.is_control]
    kept = {row.trial_id for row in spread(others, PREDICTED)}
    if len(others) > PREDICTED:
        notices.append(
            f"Errors of predictors on this page are those of {PREDICTED} out of {len(others)} "
            "held-out configurations, evenly spread over the frozen share."
        )
    return [row for row in rows if row.trial_id in kept or row.anchor is not None or row.is_control]


def _one(
    row: TrialRow, predictor: str, speedup: float | None, *, is_anchor: bool
) -> Iterable[PredictedTrial]:
    judged = held_out_of(row, speedup)
    if judged is not None:
        yield PredictedTrial(
            trial_id=row.trial_id,
            predictor=predictor,
            is_anchor=bool(is_anchor),
            speedup=judged,
        )


_SETTING = f"model, {', '.join(AXES)}, variant, device_kind"
_UNATTRIBUTED = f"""
WITH ops AS (
    SELECT {_SETTING}, o.op_name, o.op_type, o.rule, sum(o.ns_per_step)::DOUBLE AS ns
    FROM op_costs AS o JOIN trials AS t USING (trial_id)
    WHERE o.pass = 'other' AND o.ns_per_step > 0
    GROUP BY ALL
)
SELECT *, count(*) OVER (PARTITION BY {_SETTING}) AS ops
FROM ops
QUALIFY row_number() OVER (PARTITION BY {_SETTING} ORDER BY ns DESC, op_name) <= {UNATTRIBUTED}
ORDER BY ns DESC, op_name
"""


def _unattributed(
    sweep: Sweep, summary: Summary
) -> dict[int, tuple[tuple[UnattributedOp, ...], int]]:
    """The largest ops without a pass, and how many there are, by position of the group."""
    found: dict[int, tuple[tuple[UnattributedOp, ...], int]] = {}
    by_group: dict[tuple[object, ...], list[tuple[Any, ...]]] = {}
    if any(_other(item.row) for group in summary.groups for item in group.trials):
        for row in sweep.fetch(_UNATTRIBUTED):
            *setting, name, kind, rule, ns, count = row
            by_group.setdefault(tuple(setting), []).append((name, kind, rule, ns, count))
    for number, group in enumerate(summary.groups):
        profiled = [item.row for item in group.trials if item.row.passes_ns]
        op_time = sum(sum((row.passes_ns or {}).values()) for row in profiled) or 1
        key = group.key
        rows = by_group.get((key.model, *astuple(key.setting), key.variant, group.device_kind), [])
        ops = tuple(
            UnattributedOp(
                op_name=name, op_type=kind, rule=rule,
                ns=ns / max(1, len(profiled)), share=ns / op_time,
            )
            for name, kind, rule, ns, _ in rows
        )  # fmt: skip
        found[number] = (ops, rows[0][-1] if rows else 0)
    return found


def _other(row: TrialRow) -> int:
    return (row.passes_ns or {}).get("other", 0)
