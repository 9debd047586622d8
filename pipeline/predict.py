"""Predictions from a sweep: for the trials that were measured, and for any other configuration.

In: a sweep's tables and its models' facts. Out: rows of `predictions`, and answers for policies
that were never run. Groups without a trainable anchor that left a trace are skipped with a notice:
null beats a guess. Needs neither TensorFlow nor Ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from pipeline.analyse import noise_floor
from pipeline.attribute.step_graph import GraphOp, StepGraph
from pipeline.costmodel.anchor import AnchorRun, ProfiledOp
from pipeline.costmodel.model import CostModel
from pipeline.costmodel.naive import LayerProfile, NaiveInputs, naive_speedups
from pipeline.errors import SweepError, UsageError
from pipeline.model_facts import ModelFacts, facts_path, parse_facts
from pipeline.policies import expand, frozen_layers
from pipeline.store.trial_row import TrialRow
from pipeline.sweep_view import Sweep

THREE_ANCHOR = "three_anchor"
TRAINABLE = "trainable"
GroupKey = tuple[str, int, str | None, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One predictor's answer for one trial; a row of `predictions`."""

    trial_id: str
    predictor: str
    is_anchor: bool
    predicted_step_ns: int | None
    predicted_speedup: float | None
    measured_speedup: float | None
    noise_floor: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A predicted configuration.

    Attributes:
        model: the model's name in the study.
        policy: the expanded policy.
        frozen_layers: layers with nothing left to train.
        predicted_speedup: baseline / configuration.
        low, high: interval from the held-out errors of this sweep; None where fewer than five
            configurations were held out.
    """

    model: str
    policy: str
    frozen_layers: tuple[str, ...]
    predicted_speedup: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The trials of one model under one setting, and the cost model fitted to its anchors."""

    key: GroupKey
    rows: tuple[TrialRow, ...]
    facts: ModelFacts
    model: CostModel
    naive: NaiveInputs

    @property
    def held_out(self) -> tuple[TrialRow, ...]:
        """Measured configurations that are no anchors and no controls."""
        return tuple(row for row in self.rows if row.anchor is None and not row.is_control)

    def relative_errors(self) -> tuple[float, ...]:
        """Predicted / measured speedup - 1, for each held-out configuration."""
        return tuple(
            self.model.speedup(row.frozen_variables) / row.speedup - 1
            for row in self.held_out
            if row.speedup
        )


def load_facts(sweep: Sweep, model: str) -> ModelFacts:
    """Facts of a model of the sweep.

    Raises:
        SweepError: the sweep has none.
    """
    text = sweep.out.read_text(facts_path(model))
    if text is None:
        raise SweepError(
            f"{sweep.out.uri} has no {facts_path(model)}; run the study on it again to write it"
        )
    return parse_facts(text)


def group_key(row: TrialRow) -> GroupKey:
    """Model and setting of a trial."""
    return (
        row.model, row.batch_size, row.optimizer, row.precision, row.jit_compile, row.strategy,
    )  # fmt: skip


def groups(sweep: Sweep) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Cost models of every model and setting whose anchors are there, and notices for the rest."""
    by_key: dict[GroupKey, list[TrialRow]] = {}
    for row in sweep.trial_rows():
        if row.status == "ok":
            by_key.setdefault(group_key(row), []).append(row)
    found, notices = [], []
    for key, rows in by_key.items():
        try:
            found.append(_group(sweep, key, rows))
        except UsageError as error:
            notices.append(f"no predictions for {key[0]}: {error}")
    return tuple(found), tuple(notices)


def predictions(group: Group) -> list[Prediction]:
    """Every predictor's answer for every trial of a group."""
    floor = noise_floor(group.rows)
    found = []
    for row in group.rows:
        answers: dict[str, float | None] = {
            THREE_ANCHOR: group.model.speedup(row.frozen_variables),
            **naive_speedups(
                group.naive,
                frozen_fraction=row.frozen_fraction or 0.0,
                frozen_layers=frozenset(row.frozen_layers),
            ),
        }
        found += [
            Prediction(
                trial_id=row.trial_id,
                predictor=predictor,
                is_anchor=row.anchor is not None or row.is_control,
                predicted_step_ns=(
                    round(row.baseline_step_ns / speedup)
                    if speedup and row.baseline_step_ns
                    else None
                ),
                predicted_speedup=speedup,
                measured_speedup=row.speedup,
                noise_floor=floor,
            )
            for predictor, speedup in answers.items()
        ]
    return found


def answer(group: Group, policies: Sequence[Any], *, granularity: Any, seed: int) -> list[Answer]:
    """Predict the configurations of policies, measured or not.

    Raises:
        PolicyError: a policy cannot be parsed or freezes everything.
    """
    errors = np.abs(group.relative_errors())
    spread = float(np.quantile(errors, 0.95)) if errors.size >= 5 else None
    found = []
    for policy in policies:
        for expanded in expand(policy, group.facts, granularity=granularity, seed=seed):
            speedup = group.model.speedup(expanded.frozen_variables)
            found.append(
                Answer(
                    model=group.facts.name,
                    policy=expanded.policy,
                    frozen_layers=frozen_layers(group.facts, expanded.frozen_variables),
                    predicted_speedup=speedup,
                    low=None if spread is None else speedup / (1 + spread),
                    high=None if spread is None else speedup * (1 + spread),
                )
            )
    return found


def _group(sweep: Sweep, key: GroupKey, rows: Sequence[TrialRow]) -> Group:
    facts = load_facts(sweep, key[0])
    anchors = _anchors(sweep, rows)
    pruned = next((row for row in rows if row.anchor == "pruned"), None)
    base = anchors.get(TRAINABLE)
    if base is None:
        raise UsageError(
            "no control of it left a trace; run the study with profile_steps > 0, and see "
            "`frostline doctor` where profiling fails"
        )
    model = CostModel(facts, [_anchor_run(sweep, name, row) for name, row in anchors.items()])
    return Group(
        key=key,
        rows=tuple(rows),
        facts=facts,
        model=model,
        naive=NaiveInputs(
            layers=_profiles(sweep, base.trial_id),
            head_fraction=pruned.frozen_fraction if pruned else None,
            head_relative_step=1 / pruned.speedup if pruned and pruned.speedup else None,
        ),
    )


def _anchors(sweep: Sweep, rows: Sequence[TrialRow]) -> dict[str, TrialRow]:
    """The profiled trial of each anchor.

    Every control is the trainable anchor's configuration; the one that was disturbed least, by the
    total of its ops, stands for it.
    """
    found: dict[str, tuple[int, TrialRow]] = {}
    for row in rows:
        name = TRAINABLE if row.is_control else row.anchor
        if name is None or not row.trace_steps:
            continue
        ((total_ns,),) = sweep.sql(
            "select coalesce(sum(coalesce(typical_ns_per_step, ns_per_step)), 0)::bigint "
            "from op_costs",
            trials=(row.trial_id,),
        ).fetchall()
        if total_ns and (name not in found or total_ns < found[name][0]):
            found[name] = (total_ns, row)
    return {name: row for name, (_, row) in found.items()}


def _anchor_run(sweep: Sweep, name: str, row: TrialRow) -> AnchorRun:
    costs = _rows(
        sweep,
        "op_costs",
        row.trial_id,
        'layer, "pass" as pass_, graph_op, '
        "coalesce(typical_ns_per_step, ns_per_step) as ns_per_step",
    )
    graph = _rows(
        sweep, "graph_ops", row.trial_id, 'op_name, op_type, layer, "pass" as pass_, needed_by'
    )
    variables = tuple(sorted({path for op in graph for path in cast("list[str]", op["needed_by"])}))
    position = {path: i for i, path in enumerate(variables)}
    return AnchorRun(
        name=name,
        frozen_variables=frozenset(row.frozen_variables),
        relative_step=1.0 if name == TRAINABLE else 1 / (row.speedup or float("nan")),
        ops=tuple(ProfiledOp(**op) for op in costs),
        graph=StepGraph(
            variables=variables,
            trained=variables,
            ops=tuple(
                GraphOp(
                    op_name=op["op_name"],
                    op_type=op["op_type"],
                    layer=op["layer"],
                    pass_=op["pass_"],
                    needed_by=tuple(position[path] for path in op["needed_by"]),
                )
                for op in graph
            ),
        ),
    )


def _profiles(sweep: Sweep, trial_id: str) -> dict[str, LayerProfile]:
    rows = _rows(
        sweep,
        "layers",
        trial_id,
        'layer, "index", params, forward_flops, activation_gradient_ns, weight_gradient_ns',
    )
    return {
        row["layer"]: LayerProfile(
            index=row["index"],
            params=row["params"],
            forward_flops=row["forward_flops"],
            dx_ns=row["activation_gradient_ns"] or 0,
            dw_ns=row["weight_gradient_ns"] or 0,
        )
        for row in rows
    }


def _rows(sweep: Sweep, table: str, trial_id: str, columns: str) -> list[dict[str, Any]]:
    relation = sweep.sql(f"select {columns} from {table}", trials=(trial_id,))
    names = relation.columns
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
