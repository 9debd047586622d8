"""What a sweep keeps of a model: what is written is read again."""

from dataclasses import replace
from pathlib import Path

import pytest
from predict_kit import world, world_facts
from schedule_kit import facts, with_variables

from frostline.analyse.stored_model import load_facts, read_graph
from frostline.attribute.step_graph import StepGraph
from frostline.errors import SweepError
from frostline.facts.model_facts import ModelFacts, dump_facts, facts_path
from frostline.prediction import sort_groups
from frostline.store.outdir import OutDir, TrialTables
from frostline.store.sweep import Sweep, open_sweep

GRAPH = StepGraph.load(Path(__file__).parent / "data" / "profiles" / "graph.graph.json")
KEPT, EMPTY = "kept", "empty"


def owning(*variables: str) -> ModelFacts:
    """A model of one layer that owns these variables."""
    return with_variables(facts(["net"]), "net", variables)


MODEL = owning(*GRAPH.variables)


@pytest.fixture
def sweep(make_sweep, make_row) -> Sweep:
    """One trial with a graph, and one of which none could be made."""
    folder = make_sweep([make_row("layer:1", [0], 1.5, trial_id=EMPTY)])
    rows = [
        {
            "trial_id": KEPT, "op_name": op.op_name, "op_type": op.op_type, "layer": op.layer,
            "pass": op.pass_, "forward_flops": op.forward_flops,
            "needed_by": [GRAPH.variables[position] for position in op.needed_by],
        }
        for op in GRAPH.ops
    ]  # fmt: skip
    trial = make_row("layer:2", [1], 1.5, trial_id=KEPT)
    OutDir.open(str(folder), create=False).publish(
        TrialTables(trial_id=KEPT, trials=[trial], graph_ops=rows)
    )
    return open_sweep(str(folder))


def test_a_graph_is_read_as_it_was_traced(sweep: Sweep):
    assert any(op.needed_by for op in GRAPH.ops)
    assert any(not op.needed_by for op in GRAPH.ops)
    assert any(op.forward_flops for op in GRAPH.ops)
    assert read_graph(sweep, KEPT, MODEL) == replace(GRAPH, trained=GRAPH.variables)


def test_what_the_trial_froze_did_not_train(sweep: Sweep):
    frozen = GRAPH.variables[1:3]
    graph = read_graph(sweep, KEPT, MODEL, frozen=frozen)
    assert graph is not None
    assert graph.trained == (GRAPH.variables[0], *GRAPH.variables[3:])
    assert graph.variables == GRAPH.variables


def test_positions_are_those_of_the_models_variables(sweep: Sweep):
    """GIVEN a model that owns its variables in another order THEN an op serves the same ones."""
    graph = read_graph(sweep, KEPT, owning("none", *GRAPH.variables[::-1]))
    assert graph is not None
    assert [{graph.variables[i] for i in op.needed_by} for op in graph.ops] == [
        {GRAPH.variables[i] for i in op.needed_by} for op in GRAPH.ops
    ]


def test_where_none_was_kept_there_is_none(sweep: Sweep):
    assert read_graph(sweep, EMPTY, MODEL) is None
    assert read_graph(sweep, "unknown", MODEL) is None


def test_a_graph_of_another_model_is_refused(sweep: Sweep):
    last = GRAPH.variables[-1]
    with pytest.raises(SweepError, match=rf"of {KEPT} serves the variable '{last}'.*new OUT"):
        read_graph(sweep, KEPT, owning(*GRAPH.variables[:-1]))


def test_facts_are_read_as_they_were_written(sweep: Sweep):
    with pytest.raises(SweepError, match=r"has no models/net\.json"):
        load_facts(sweep, "net")
    sweep.out.write_text(facts_path("net"), dump_facts(MODEL))
    assert load_facts(sweep, "net") == MODEL


def test_predictions_of_a_model_that_was_changed_since_say_why(tmp_path: Path):
    folder = world(tmp_path / "out", "prefix:1")
    (group,), rest = sort_groups(open_sweep(str(folder)))
    assert group.model.speedup(()) == 1.0
    assert rest == ()
    smaller = dump_facts(world_facts(layers=4))
    OutDir.open(str(folder), create=False).write_text(facts_path("net"), smaller)
    fitted, (group,) = sort_groups(open_sweep(str(folder)))
    assert fitted == ()
    assert "the model was changed after this trial" in group.notice


def test_in_an_older_graph_a_normalisations_sum_is_the_normalisations(make_sweep, make_row) -> None:
    # GIVEN what was kept before sums were credited by their summands: the reader's layer
    about = facts(["conv", "norm", "add"])
    about = replace(
        about,
        layers=tuple(replace(layer, is_norm=layer.name == "norm") for layer in about.layers),
    )
    conv, norm, add = (layer.variables[0].path for layer in about.layers)
    ops = [
        ("grad/add", "Mul", "add", "weight_gradient", [add]),
        ("AddN", "AddN", "add", "activation_gradient", [conv, norm]),  # two branches join
        ("grad/norm/mul", "Mul", "norm", "activation_gradient", [conv]),
        ("grad/norm/shape", "Shape", None, "other", []),
        ("AddN_1", "AddN", "conv", "weight_gradient", [conv]),  # the norm's input, used thrice
        ("grad/conv", "Conv2DBackpropFilter", "conv", "weight_gradient", [conv]),
    ]
    folder = make_sweep([])
    trial = make_row("layer:2", [1], 1.5, trial_id=KEPT)
    rows = [
        {
            "trial_id": KEPT, "op_name": name, "op_type": kind, "layer": layer, "pass": pass_,
            "needed_by": needed, "forward_flops": None,
        }
        for name, kind, layer, pass_, needed in ops
    ]  # fmt: skip
    OutDir.open(str(folder), create=False).publish(
        TrialTables(trial_id=KEPT, trials=[trial], graph_ops=rows)
    )
    graph = read_graph(open_sweep(str(folder)), KEPT, about)
    assert graph is not None
    found = {op.op_name: (op.layer, op.pass_) for op in graph.ops}
    assert found["AddN_1"] == ("norm", "activation_gradient")
    assert found["AddN"] == ("add", "activation_gradient")
    assert found["grad/conv"] == ("conv", "weight_gradient")
