"""Random models with random prices, as anchors that were measured on them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from conftest import trial_row

from frostline.analyse.groups import GroupKey
from frostline.attribute.step_graph import GraphOp, Pass, StepGraph
from frostline.costmodel.anchor import AnchorRun, ProfiledOp
from frostline.costmodel.model import CostModel
from frostline.costmodel.naive import NaiveInputs
from frostline.costmodel.waits import NEVER_IDLE, IdleShares
from frostline.facts.model_facts import (
    LayerFacts,
    ModelFacts,
    VariableFacts,
    dump_facts,
    facts_path,
)
from frostline.policies import anchors, frozen_layers, layer_modes, why_not
from frostline.prediction import PredictedGroup
from frostline.store.outdir import OutDir, TrialTables
from frostline.study.study import parse_study
from frostline.trial import Setting

KEY = GroupKey(
    model="net",
    setting=Setting(
        batch_size=8, optimizer="adam", precision="float32", jit_compile="auto", strategy="single"
    ),
)


def facts_of(upstream: Sequence[Sequence[int]], params: Sequence[Sequence[int]]) -> ModelFacts:
    """A model by what lies upstream of each layer, and the sizes of each layer's variables."""
    return ModelFacts(
        name="net",
        layers=tuple(
            LayerFacts(
                name=f"l{index}",
                index=index,
                kind="Dense",
                block=f"l{index}",
                is_norm=False,
                variables=tuple(
                    VariableFacts(
                        path=f"l{index}/v{number}", layer=f"l{index}", name=f"v{number}",
                        shape=(size,), params=size, is_bias=False,
                    )
                    for number, size in enumerate(sizes)
                ),
                upstream=tuple(f"l{other}" for other in above if other != index),
                forward_flops=None,
                uses=1 + (index in above),
            )
            for index, (above, sizes) in enumerate(zip(upstream, params, strict=True))
        ),
        untrainable_params=0,
        batch_size=8,
        build_s=0.1,
        trace_s=0.1,
    )  # fmt: skip


def chain(length: int) -> list[list[int]]:
    """Each layer behind all that come before it."""
    return [list(range(index)) for index in range(length)]


def chain_graph(facts: ModelFacts) -> StepGraph:
    """The gradients of a chain: dX of a layer serves all variables before it, dW its own."""
    paths = tuple(variable.path for variable in facts.variables)
    ops = []
    for layer in facts.layers:
        own = tuple(paths.index(variable.path) for variable in layer.variables)
        for pass_, needed in (
            ("activation_gradient", tuple(range(own[0]))), ("weight_gradient", own),
        ):  # fmt: skip
            if needed:
                ops.append(
                    GraphOp(
                        op_name=f"{layer.name}/{pass_}", op_type="Op", layer=layer.name,
                        pass_=pass_, needed_by=needed,  # type: ignore[arg-type]
                    )
                )  # fmt: skip
    return StepGraph(variables=paths, trained=paths, ops=tuple(ops))


def measured(facts: ModelFacts, seed: int, *, largest_ns: int = 50) -> list[AnchorRun]:
    """Anchors of a model whose ops cost what a seeded generator says, some of them nothing.

    Beside plain dX and dW there are ops that variables of several layers need, ops of weightless
    layers, ops that were not matched to the graph, and shared parts of the optimizer.
    """
    rng = random.Random(seed)
    variables = tuple(variable.path for variable in facts.variables)
    graph: list[GraphOp] = []
    for layer in facts.layers:
        own = {v.path for v in layer.variables}
        above = {v.path for name in layer.upstream for v in facts.by_name[name].variables}
        mixed = set(rng.sample(variables, rng.randint(1, len(variables))))
        wanted: list[tuple[str, Pass, str, set[str]]] = [
            ("dx", "activation_gradient", layer.name, above),
            ("relu", "activation_gradient", f"{layer.name}/relu", above | own),
            ("odd", "activation_gradient", layer.name, mixed),
            ("loss", "activation_gradient", "", set(variables)),
            ("both", "weight_gradient", layer.name, own | set(rng.sample(variables, 1))),
            *((f"dw{path}", "weight_gradient", layer.name, {path}) for path in sorted(own)),
        ]
        graph += [
            GraphOp(
                op_name=f"{layer.name}/{kind}", op_type="Op", layer=owner or None, pass_=pass_,
                needed_by=tuple(variables.index(path) for path in sorted(needed)),
            )
            for kind, pass_, owner, needed in wanted
            if needed
        ]  # fmt: skip
    step = StepGraph(variables=variables, trained=variables, ops=tuple(graph))
    return [
        AnchorRun(
            name=anchor.name,
            frozen_variables=anchor.frozen_variables,
            relative_step=1.0 if anchor.name == "trainable" else rng.uniform(0.2, 1.1),
            ops=tuple(_profiled(facts, step, anchor.frozen_variables, rng, largest_ns)),
            idle=rng.choice(
                (NEVER_IDLE, IdleShares(waits=rng.uniform(0, 0.6), between=rng.uniform(0, 0.3)))
            ),
            graph=step,
        )
        for anchor in anchors(facts)
    ]


def _profiled(
    facts: ModelFacts, step: StepGraph, frozen: frozenset[str], rng: random.Random, largest_ns: int
) -> Iterator[ProfiledOp]:
    def op(layer: str | None, pass_: Pass, graph_op: str | None = None) -> ProfiledOp:
        ns = rng.choice((0, 1, rng.randint(0, largest_ns), rng.randint(0, largest_ns)))
        wait_ns = rng.choice((0, rng.randint(0, largest_ns)))
        return ProfiledOp(
            layer=layer, pass_=pass_, graph_op=graph_op, ns_per_step=ns, wait_ns_per_step=wait_ns,
            kernels=1.0 + ns % 2,
        )  # fmt: skip

    modes = layer_modes(facts, frozen)
    for layer in facts.layers:
        yield op(layer.name, "forward")
        yield op(f"{layer.name}/relu", "forward")
        if modes[layer.name] != "pruned" and rng.random() < 0.3:
            yield op(layer.name, "activation_gradient")
            yield op(layer.name, "weight_gradient")
        if modes[layer.name] == "trainable":
            yield op(layer.name, "optimizer")
    for traced in step.ops:
        if any(step.variables[index] not in frozen for index in traced.needed_by):
            yield op(traced.layer, traced.pass_, traced.op_name)
    for pass_ in ("forward", "optimizer", "input", "other"):
        yield op(None, pass_)
    yield ProfiledOp(layer=None, pass_="input", graph_op=None, ns_per_step=5, wait_ns_per_step=0)


def group_of(facts: ModelFacts, seed: int, **changes: int) -> PredictedGroup:
    """A group without rows around the cost model of such anchors."""
    model = CostModel(facts, measured(facts, seed, **changes))
    naive = NaiveInputs(layers={}, head_fraction=None, head_relative_step=None)
    return PredictedGroup(
        key=KEY, device_kind=None, title=KEY.label, rows=(), facts=facts, model=model, naive=naive
    )


def configurations(facts: ModelFacts) -> Iterator[tuple[bool, ...]]:
    """Every configuration of whole layers that the training step can run."""
    every = itertools.product((False, True), repeat=len(facts.layers))
    return (
        training for training in every if why_not(facts, frozen_variables(facts, training)) is None
    )


def frozen_variables(facts: ModelFacts, training: Sequence[bool]) -> list[str]:
    """What a configuration freezes."""
    return [
        variable.path
        for layer, trains in zip(facts.layers, training, strict=True)
        if not trains
        for variable in layer.variables
    ]


STUDY = """
name = "demo"
[[model]]
name = "net"
builder = "netmodels:net"
[train]
batch_size = [8]
optimizer = ["adam"]
[freeze]
policies = ["prefix:*"]
[measure]
profile_steps = 0
[resources]
cpus_per_trial = 1
trial_timeout_s = 20.0
"""


def publish(
    folder: Path,
    facts: ModelFacts,
    *,
    seed: int = 0,
    batch_sizes: Sequence[int] = (8,),
    held_out: Sequence[int] = (),
    gradient_norms: Mapping[str, float] | None = None,
    traced: bool = True,
) -> Path:
    """A sweep of the model with its anchors, and trials that freeze the first k layers.

    Args:
        folder: the output folder.
        facts: the model.
        seed: of the prices.
        batch_sizes: settings, all with the same prices.
        held_out: a trial for each k, measured 5% faster than predicted.
        gradient_norms: what the control recorded.
        traced: False: nothing was profiled.
    """
    # The tables of this kit know no waits.
    runs = [replace(run, idle=NEVER_IDLE) for run in measured(facts, seed)]
    model = CostModel(facts, runs)
    tables = []
    for batch_size in batch_sizes:
        tables += [_trial(facts, run, batch_size, traced, gradient_norms) for run in runs]
        for count in held_out:
            frozen = frozenset(v.path for layer in facts.layers[:count] for v in layer.variables)
            speedup = model.speedup(frozen) * 1.05
            tables.append(
                TrialTables(
                    trial_id=f"held-{batch_size}-{count}",
                    trials=[_row(f"held-{batch_size}-{count}", facts, frozen, speedup, batch_size)],
                )
            )
    out = OutDir.open(str(folder), create=True)
    with out.lock():
        digest = parse_study(STUDY, check_builders=False).digest
        out.begin_run(STUDY, digest, "demo", {"python": "3.11.7"})
        out.write_text(facts_path(facts.name), dump_facts(facts))
        for one in tables:
            out.publish(one)
    return folder


def _row(
    trial_id: str, facts: ModelFacts, frozen: frozenset[str], speedup: float, batch_size: int
) -> dict[str, object]:
    layers = frozen_layers(facts, frozen)
    return trial_row(trial_id, [], speedup) | {
        "trial_id": trial_id,
        "frozen_layers": list(layers),
        "frozen_variables": sorted(frozen),
        "frozen_fraction": 0.5 if frozen else 0.0,
        "batch_size": batch_size,
    }


def _trial(
    facts: ModelFacts,
    run: AnchorRun,
    batch_size: int,
    traced: bool,
    gradient_norms: Mapping[str, float] | None,
) -> TrialTables:
    control = run.name == "trainable"
    trial_id = f"{run.name.replace(':', '-')}-{batch_size}"
    key = {"trial_id": trial_id}
    row = _row(trial_id, facts, run.frozen_variables, 1 / run.relative_step, batch_size)
    row |= {
        "anchor": run.name,
        "is_control": control,
        "policy": "none" if control else f"anchors:{run.name}",
        "trace_steps": 5 if traced else None,
    }
    modes = layer_modes(facts, run.frozen_variables)
    assert run.graph is not None
    return TrialTables(
        trial_id=trial_id,
        trials=[row],
        op_costs=[
            key
            | {
                "layer": op.layer, "pass": op.pass_, "op_type": "Op", "op_name": f"op{number}",
                "device": "/host:CPU", "calls_per_step": 1.0, "ns_per_step": op.ns_per_step,
                "rule": "exact", "graph_op": op.graph_op,
            }
            for number, op in enumerate(run.ops)
        ],
        layers=[
            key
            | {
                "layer": layer.name, "index": layer.index, "kind": layer.kind,
                "params": layer.params, "trainable": modes[layer.name] == "trainable",
                "mode": modes[layer.name],
                "gradient_norm": (gradient_norms or {}).get(layer.name) if control else None,
            }
            for layer in facts.layers
        ],
        graph_ops=[
            key
            | {
                "op_name": op.op_name, "op_type": op.op_type, "layer": op.layer,
                "pass": op.pass_,
                "needed_by": [run.graph.variables[index] for index in op.needed_by],
            }
            for op in run.graph.ops
        ],
    )  # fmt: skip
