"""Sweeps of a made-up world in which a step's time is exactly the sum of its ops' times.

A chain of dense layers; the costs below decide what every op of every configuration takes. So a
prediction can be held against the truth, and what a tampered trial changes can be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from schedule_kit import facts, with_variables

from frostline.facts.model_facts import ModelFacts, dump_facts, facts_path
from frostline.plan.trials import plan_trials
from frostline.policies import layer_modes
from frostline.results.rows import planned_columns
from frostline.store.outdir import OutDir, TrialTables
from frostline.study.study import parse_study
from frostline.trial import Trial

LAYERS = tuple(f"net/l{index}" for index in range(6))
FORWARD = (900, 700, 1_100, 400, 300, 200)
DX = (0, 1_300, 800, 1_700, 600, 500)
DW = (1_500, 900, 400, 1_200, 800, 300)
UPDATE = (90, 80, 70, 60, 50, 40)
FIXED = 250
PASSES = ("forward", "activation_gradient", "weight_gradient", "optimizer", "input", "other")
UNIT_NS = 1_000
STUDY = """
name = "world"
[[model]]
name = "net"
builder = "models:net"
[train]
batch_size = [8]
[freeze]
policies = {policies}
[resources]
cpus_per_trial = 1
"""

PLAIN = """
name = "s"
[[model]]
name = "net"
builder = "models:net"
{variants}
[freeze]
policies = ["prefix:2", "all_but_lora"]
"""
LORA = """
[[model.variant]]
name = "low"
lora = { rank = 4, alpha = 8.0, layers = ["l1"] }
"""

Row = dict[str, object]
Tamper = Callable[[Trial, TrialTables], TrialTables | None]


def study_text(*policies: str) -> str:
    return STUDY.format(policies=list(policies)).replace("'", '"')


def world_facts(name: str = "net", layers: int = len(LAYERS)) -> ModelFacts:
    return replace(facts(LAYERS[:layers]), name=name)


def ops(known: ModelFacts, frozen: frozenset[str]) -> Iterator[tuple[str, str | None, str, int]]:
    """Name, layer, pass and time of what one step of a configuration runs."""
    for layer, mode in layer_modes(known, frozen).items():
        i = LAYERS.index(layer)
        yield f"{layer}/MatMul", layer, "forward", FORWARD[i]
        if mode == "pass_through" or (mode == "trainable" and _above(known, i) - frozen):
            yield f"gradient/{layer}/dX", layer, "activation_gradient", DX[i]
        if mode == "trainable":
            yield f"gradient/{layer}/dW", layer, "weight_gradient", DW[i]
            yield f"adam/{layer}", layer, "optimizer", UPDATE[i]
    yield "input", None, "input", FIXED


def _above(known: ModelFacts, index: int) -> set[str]:
    return {variable.path for layer in known.layers[:index] for variable in layer.variables}


def step_ns(known: ModelFacts, frozen: frozenset[str]) -> int:
    return UNIT_NS * sum(time for *_, time in ops(known, frozen))


def true_speedup(known: ModelFacts, frozen: frozenset[str]) -> float:
    return step_ns(known, frozenset()) / step_ns(known, frozen)


def tables(trial: Trial, known: ModelFacts) -> TrialTables:
    """The rows of a trial as the world has it."""
    key = {"trial_id": trial.trial_id}
    frozen = frozenset(trial.frozen_variables)
    speedup = true_speedup(known, frozen)
    found = list(ops(known, frozen))
    everything = list(ops(known, frozenset()))
    modes = layer_modes(known, frozen)
    return TrialTables(
        trial_id=trial.trial_id,
        trials=[
            {
                **planned_columns(trial).values(),
                "status": "ok",
                "warnings": [],
                "attempts": 1,
                "step_ns": step_ns(known, frozen),
                "baseline_step_ns": step_ns(known, frozenset()),
                "speedup": speedup,
                "speedup_low": speedup * 0.99,
                "speedup_high": speedup * 1.01,
                "trace_steps": 5,
                "frostline_version": "0.1.0",
                "started_at": datetime(2026, 1, 2, tzinfo=UTC),
                "duration_s": 1.0,
            }
        ],
        op_costs=[
            {
                **key, "layer": layer, "pass": pass_, "op_type": "Op", "op_name": name,
                "device": "/cpu", "calls_per_step": 1.0, "ns_per_step": UNIT_NS * time,
                "rule": "graph", "graph_op": name,
            }
            for name, layer, pass_, time in found
        ],
        graph_ops=[
            {
                **key, "op_name": name, "op_type": "Op", "layer": layer, "pass": pass_,
                "needed_by": _needed_by(known, layer, pass_),
            }
            for name, layer, pass_, _ in everything
        ],
        layers=[
            {
                **key, "layer": layer.name, "index": layer.index, "kind": "Dense",
                "params": layer.params, "trainable": modes[layer.name] == "trainable",
                "mode": modes[layer.name], "forward_ns": UNIT_NS * FORWARD[layer.index],
                "activation_gradient_ns": UNIT_NS * DX[layer.index],
                "weight_gradient_ns": UNIT_NS * DW[layer.index], "forward_flops": 1000,
            }
            for layer in known.layers
        ],
    )  # fmt: skip


def _needed_by(known: ModelFacts, layer: str | None, pass_: str) -> list[str]:
    if layer is None:
        return []
    match pass_:
        case "activation_gradient":
            return sorted(_above(known, LAYERS.index(layer)))
        case "weight_gradient":
            return [variable.path for variable in known.by_name[layer].variables]
        case _:
            return []


def world(
    folder: Path,
    *policies: str,
    text: str | None = None,
    models: dict[str, ModelFacts] | None = None,
    tamper: Tamper = lambda _trial, rows: rows,
) -> Path:
    """Write a sweep of these policies, its anchors and controls, and return its folder.

    Args:
        folder: where.
        policies: of the study.
        text: the study itself, instead.
        models: facts by model; default: `net`.
        tamper: changes a trial's rows, or leaves the trial out with None.
    """
    text = text or study_text(*policies)
    known = models or {"net": world_facts()}
    study = parse_study(text, check_builders=False)
    out = OutDir.open(str(folder), create=True)
    with out.lock():
        out.begin_run(text, study.digest, study.name, {})
        for name, each in known.items():
            out.write_text(facts_path(name), dump_facts(each))
        for trial in plan_trials(study, known).trials:
            rows = tamper(trial, tables(trial, known[trial.model.name]))
            if rows is not None:
                out.publish(rows)
    return folder


def changed(rows: TrialTables, **columns: object) -> TrialTables:
    """The same trial with other values in its row of `trials`."""
    return replace(rows, trials=[{**rows.trials[0], **columns}])


def profiled(rows: TrialTables) -> TrialTables:
    """The trial with its times by pass, and a trace that was kept."""
    ops: list[dict] = list(rows.op_costs)  # type: ignore[arg-type]
    sums = {name: sum(op["ns_per_step"] for op in ops if op["pass"] == name) for name in PASSES}
    columns = {f"{name}_ns": ns for name, ns in sums.items()}
    path = f"tensorboard/{rows.trial_id}/plugins/profile/{rows.trial_id}/host.xplane.pb"
    return changed(rows, trace_path=path, busy_ns=sum(sums.values()), **columns)


def with_lora(name: str = "net@low") -> ModelFacts:
    paths = [f"net/l1/lora_kernel_{half}" for half in "ab"]
    return replace(with_variables(world_facts(), "net/l1", paths), name=name)


def varied_world(
    folder: Path, factor: float, also: Tamper = lambda _trial, rows: rows, variants: str = LORA
) -> Path:
    """A world with a variant of which every op takes `factor` of what it takes in the plain model.

    `also` changes a trial's rows after that.
    """

    def tamper(trial: Trial, rows: TrialTables) -> TrialTables | None:
        if trial.variant is not None:
            row: dict = rows.trials[0]  # type: ignore[assignment]
            speedup = row["speedup"] / factor
            ops: list[dict] = list(rows.op_costs)  # type: ignore[arg-type]
            slower = [{**op, "ns_per_step": round(op["ns_per_step"] * factor)} for op in ops]
            rows = changed(
                replace(rows, op_costs=slower),
                speedup=speedup,
                speedup_low=speedup * 0.99,
                speedup_high=speedup * 1.01,
                step_ns=round(row["step_ns"] * factor),
            )
        return also(trial, profiled(rows))

    return world(
        folder,
        text=PLAIN.replace("{variants}", variants),
        models={"net": world_facts(), "net@low": with_lora()},
        tamper=tamper,
    )
