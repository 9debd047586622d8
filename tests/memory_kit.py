"""Traced steps of random models with tensors of random sizes, and memory models of them."""

from __future__ import annotations

import random
from collections.abc import Iterable

from frostline.attribute.step_graph import GraphOp, Pass, StepGraph
from frostline.facts.model_facts import ModelFacts
from frostline.memory.model import AnchorMemory, MemoryModel
from frostline.policies import anchors

WEIGHT_BYTES = 4


def added(
    ops: list[GraphOp],
    kind: str,
    layer: str | None,
    pass_: Pass,
    *,
    reads: Iterable[int],
    needed_by: Iterable[int],
    n_bytes: int,
    temporary: int | None = None,
) -> int:
    """Append an op of one output, and return its position."""
    ops.append(
        GraphOp(
            op_name=f"op{len(ops)}",
            op_type=kind,
            layer=layer,
            pass_=pass_,
            needed_by=tuple(needed_by),
            inputs=tuple((each, 0) for each in dict.fromkeys(reads)),
            output_bytes=(n_bytes,),
            temporary_bytes=temporary,
        )
    )
    return len(ops) - 1


def step_of(facts: ModelFacts, seed: int) -> StepGraph:
    """A step in which each layer reads the layers directly upstream, and whatever is usual behind.

    Its dW reads the layer's input and the gradient of its output, its dX the gradient and at times
    the input; dX is needed by all variables upstream, dW by the layer's own.
    """
    rng = random.Random(seed)
    paths = tuple(variable.path for variable in facts.variables)
    ops: list[GraphOp] = []

    def add(
        kind: str, layer: str | None, pass_: Pass, reads: list[int], needs: set[str], size: int
    ) -> int:
        needed_by = sorted(paths.index(path) for path in needs)
        temporary = rng.randint(1, 500) if rng.random() < 0.3 else None
        return added(
            ops, kind, layer, pass_,
            reads=reads, needed_by=needed_by, n_bytes=size, temporary=temporary,
        )  # fmt: skip

    data = add("Placeholder", None, "input", [], set(), rng.randint(1, 50))
    outputs: dict[str, int] = {}
    inputs: dict[str, list[int]] = {}
    for layer in facts.layers:
        above = [name for name in layer.upstream if name in outputs]
        inputs[layer.name] = [outputs[name] for name in above[-2:]] or [data]
        size = rng.choice((1, rng.randint(1, 100), rng.randint(1, 1000)))
        outputs[layer.name] = add("Conv2D", layer.name, "forward", inputs[layer.name], set(), size)
    every = set(paths)
    gradient = add("Mean", None, "activation_gradient", [*outputs.values()], every, 1)
    for layer in reversed(facts.layers):
        own = {variable.path for variable in layer.variables}
        above = {v.path for name in layer.upstream for v in facts.by_name[name].variables} - own
        for path in sorted(own):
            size = WEIGHT_BYTES * next(v.params for v in layer.variables if v.path == path)
            reads = [*inputs[layer.name], gradient]
            made = add("Conv2DBackpropFilter", layer.name, "weight_gradient", reads, {path}, size)
            add("AssignSubVariableOp", layer.name, "optimizer", [made], set(), 0)
        if above:
            reads = [gradient, *(inputs[layer.name] if rng.random() < 0.5 else [])]
            size = rng.randint(1, 200)
            kind = rng.choice(("Conv2DBackpropInput", "ReluGrad"))
            gradient = add(kind, layer.name, "activation_gradient", reads, above, size)
    return StepGraph(variables=paths, trained=paths, ops=tuple(ops))


def memory_model(
    facts: ModelFacts, seed: int, *, measured: bool = True, slack_bytes: int = 0
) -> MemoryModel:
    """A memory model whose anchors measured what the step needs, a constant, and slack."""
    graph = step_of(facts, seed)
    total = sum(variable.params for variable in facts.variables)
    held = [
        AnchorMemory(
            frozen_variables=anchor.frozen_variables,
            weights_bytes=WEIGHT_BYTES * total,
            optimizer_slots_bytes=2
            * WEIGHT_BYTES
            * sum(v.params for v in facts.variables if v.path not in anchor.frozen_variables),
            input_bytes=16,
            peak_bytes=None,
            graph=None if anchor.frozen_variables else graph,
        )
        for anchor in anchors(facts)
    ]
    if not measured:
        return MemoryModel(facts, held)
    alone = MemoryModel(facts, held)
    return MemoryModel(
        facts,
        [
            AnchorMemory(
                frozen_variables=each.frozen_variables,
                weights_bytes=each.weights_bytes,
                optimizer_slots_bytes=each.optimizer_slots_bytes,
                input_bytes=each.input_bytes,
                peak_bytes=alone.peak_bytes(each.frozen_variables) + 1000 + slack_bytes,
                slack_bytes=slack_bytes,
                graph=each.graph,
            )
            for each in held
        ],
    )
