"""Which layer a layer without weights goes with: the last whose variables need its gradient."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from schedule_kit import facts, with_variables

from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.costmodel.units import FIXED, units_of
from frostline.facts.model_facts import ModelFacts

CELLS = ("rnn/stacked/cell0/kernel", "rnn/stacked/cell1/kernel")


MODEL = with_variables(facts(("embed", "rnn", "head")), "rnn", CELLS)
VARIABLES = ("embed/kernel", *CELLS, "head/kernel")


def units(*ops: tuple[str | None, Sequence[str]], model: ModelFacts = MODEL) -> dict[str, str]:
    """The layer that each layer goes with, those that decide about themselves left out."""
    variables = tuple(variable.path for variable in model.variables)
    graph = StepGraph(
        variables=variables,
        trained=variables,
        ops=tuple(
            GraphOp(
                op_name=f"op{number}", op_type="Mul", layer=layer, pass_="activation_gradient",
                needed_by=tuple(sorted(variables.index(path) for path in needed)),
            )
            for number, (layer, needed) in enumerate(ops)
        ),
    )  # fmt: skip
    found = units_of(model, graph)
    assert {name: found.pop(name) for name in (*model.by_name, FIXED)} == {
        **{name: name for name in model.by_name}, FIXED: FIXED,
    }  # fmt: skip
    return found


def test_behind_stacked_cells_it_goes_with_the_layer_that_holds_them():
    """Their variables' paths name the cells; which layer owns them is what the facts say."""
    assert units(("relu", VARIABLES[:2])) == {"relu": "rnn"}
    assert units(("relu", VARIABLES[:3])) == {"relu": "rnn"}
    assert units(("relu", CELLS)) == {"relu": "rnn"}


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_layers_and_ops_the_last_in_the_order_of_first_use_counts(order: int):
    needs = [("add", ["embed/kernel"]), ("add", VARIABLES[:2]), ("pool", ["embed/kernel"])]
    assert units(*needs[::order]) == {"add": "rnn", "pool": "embed"}


def test_the_order_of_first_use_is_not_that_of_ownership():
    """GIVEN a model that holds its last layer first."""
    model = replace(MODEL, layers=MODEL.layers[::-1])
    assert units(("relu", VARIABLES[:2]), model=model) == {"relu": "rnn"}
    assert units(("relu", ["embed/kernel"]), ("relu", VARIABLES), model=model) == {"relu": "head"}


def test_what_no_variable_needs_goes_with_none():
    assert units(("rescaling", []), (None, VARIABLES)) == {}


def test_a_layer_with_weights_decides_about_itself():
    assert units(("rnn", ["embed/kernel"]), ("embed", VARIABLES)) == {}
