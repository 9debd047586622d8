"""Recorded steps with their graphs: layers and passes of a model whose middle layer is frozen."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from frostline.attribute.attribute import attribute, attributed_fraction
from frostline.attribute.costs import OpCost, per_step
from frostline.attribute.step_graph import StepGraph
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import Trace

PROFILES = Path(__file__).parent / "data" / "profiles"
Costs = tuple[OpCost, ...]


@pytest.fixture(scope="module")
def traces() -> Iterator[dict[str, Trace]]:
    with TraceConverter() as converter:
        yield {
            kind: converter.convert(PROFILES / f"{kind}.xplane.pb", deadline_s=60)
            for kind in ("graph", "xla")
        }


@pytest.fixture(scope="module", params=["graph", "xla"])
def costs(request: pytest.FixtureRequest, traces: dict[str, Trace]) -> Costs:
    graph = StepGraph.load(PROFILES / f"{request.param}.graph.json")
    trace = traces[request.param]
    attributed = attribute(trace, graph)
    assert sum(cost.ns_per_step for cost in attributed) == per_step(trace.total_ns, trace.steps)
    return attributed


def passes(costs: Costs, layer: str) -> set[str]:
    return {cost.pass_ for cost in costs if cost.layer == layer}


def test_nearly_all_of_the_time_is_attributed(costs: Costs):
    fraction = attributed_fraction(costs)
    assert fraction is not None
    assert fraction >= 0.99


def test_a_frozen_layer_in_the_middle_passes_gradients_on_and_computes_none(costs: Costs):
    assert passes(costs, "conv2") == {"forward", "activation_gradient"}


def test_the_first_layer_computes_its_own_gradient_alone(costs: Costs):
    assert passes(costs, "conv1") == {"forward", "weight_gradient", "optimizer"}


@pytest.mark.parametrize("layer", ["conv3", "norm", "head"])
def test_layers_that_train_behind_others_have_all_passes(costs: Costs, layer: str):
    everything = {"forward", "activation_gradient", "weight_gradient", "optimizer"}
    assert passes(costs, layer) == everything


def test_layers_without_weights_have_no_weight_gradients(costs: Costs):
    assert passes(costs, "pool") == {"forward", "activation_gradient"}


def test_convolution_gradients_carry_the_time_of_their_passes(costs: Costs):
    """Whatever XLA renames and rewrites: the filters' gradients are there, once, under dW."""
    filters = [cost for cost in costs if "Conv2DBackpropFilter" in cost.op_name]
    assert {(cost.layer, cost.pass_) for cost in filters} == {
        ("conv1", "weight_gradient"),
        ("conv3", "weight_gradient"),
    }
    by_pass = Counter[str]()
    for cost in costs:
        by_pass[cost.pass_] += cost.ns_per_step
    assert sum(cost.ns_per_step for cost in filters) > by_pass["weight_gradient"] / 2


@pytest.mark.parametrize("kind", ["graph", "xla"])
def test_without_the_graph_names_never_contradict_it(traces: dict[str, Trace], kind: str):
    """Names decide less than the graph, and what they decide is the same."""
    graph = StepGraph.load(PROFILES / f"{kind}.graph.json")
    known = {
        cost.op_name: cost.pass_
        for cost in attribute(traces[kind], graph)
        if cost.rule != "dispatch"
    }
    by_name = {
        cost.op_name: cost for cost in attribute(traces[kind], None) if cost.rule != "dispatch"
    }
    assert by_name.keys() == known.keys()
    decided = {name: cost for name, cost in by_name.items() if cost.pass_ != "other"}
    assert {cost.rule.removeprefix("hlo:").partition(":")[0] for cost in decided.values()} == {
        "name"
    }
    wrong = {name for name, cost in decided.items() if cost.pass_ != known[name]}
    assert wrong == set()
