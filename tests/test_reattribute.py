"""Attribution again from what a sweep kept: nothing measured changes, nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from frostline.attribute.step_graph import StepGraph
from frostline.cli import main
from frostline.errors import SweepError
from frostline.facts.model_facts import (
    LayerFacts,
    ModelFacts,
    VariableFacts,
    dump_facts,
    facts_path,
)
from frostline.store.outdir import OutDir, TrialTables
from frostline.store.sweep import Sweep, open_sweep
from frostline.sweep.reattribute import reattribute
from frostline.tensorboard.events import events_path, trial_events

PROFILES = Path(__file__).parent / "data" / "profiles"
GRAPH = StepGraph.load(PROFILES / "graph.graph.json")
FROZEN = ["conv2/kernel", "conv2/bias"]
STEPS = [{"arm": "trial", "pair": 0, "position": 0, "warmup": False, "n_steps": 4, "step_ns": 7}]


def facts() -> ModelFacts:
    owners = list(dict.fromkeys(path.rpartition("/")[0] for path in GRAPH.variables))
    return ModelFacts(
        name="net",
        layers=tuple(
            LayerFacts(
                name=owner, index=index, kind="Layer", block=owner, is_norm=False,
                variables=tuple(
                    VariableFacts(
                        path=path, layer=owner, name=path.rpartition("/")[2], shape=(2,), params=2,
                        is_bias=path.endswith("bias"),
                    )
                    for path in GRAPH.variables
                    if path.rpartition("/")[0] == owner
                ),
                upstream=tuple(owners[:index]), forward_flops=None, uses=1,
            )
            for index, owner in enumerate(owners)
        ),
        untrainable_params=0, batch_size=16, build_s=0.1, trace_s=0.1,
    )  # fmt: skip


@pytest.fixture
def out(make_sweep, make_row) -> Path:
    """A sweep of three trials: one with a trace, one without, one with a damaged one."""
    rows = [make_row(policy, [2], 1.5) for policy in ("layer:2", "norms", "biases")]
    folder: Path = make_sweep(rows)
    store = OutDir.open(str(folder), create=False)
    store.write_text(facts_path("net"), dump_facts(facts()))
    for row in rows:
        trial_id = row["trial_id"]
        row |= {"frozen_variables": FROZEN, "frozen_layers": ["conv2"], "trace_path": None}
        if row["policy"] != "norms":
            row["trace_path"] = f"tensorboard/{trial_id}/plugins/profile/{trial_id}/x.xplane.pb"
            row |= {"error_stage": "profile", "error_type": "NoTrace", "error_message": "old"}
            content = (PROFILES / "graph.xplane.pb").read_bytes()
            store.put_file(content if row["policy"] == "layer:2" else b"\x00", row["trace_path"])
        wrong = {
            "trial_id": trial_id, "layer": None, "pass": "other", "op_type": "X", "op_name": "x",
            "device": "/host:CPU", "calls_per_step": 1.0, "ns_per_step": 1, "rule": "none",
            "graph_op": None,
        }  # fmt: skip
        store.publish(
            TrialTables(
                trial_id=trial_id,
                trials=[row],
                steps=[{"trial_id": trial_id, **each} for each in STEPS],
                op_costs=[wrong],
                graph_ops=[
                    {
                        "trial_id": trial_id, "op_name": op.op_name, "op_type": op.op_type,
                        "layer": op.layer, "pass": op.pass_, "forward_flops": op.forward_flops,
                        "needed_by": [GRAPH.variables[index] for index in op.needed_by],
                    }
                    for op in GRAPH.ops
                ],
            )
        )  # fmt: skip
    return folder


def by_policy(sweep: Sweep) -> dict[str, dict]:
    return {row["policy"]: row for row in sweep.trials().to_pylist()}


def test_a_kept_trace_is_attributed_again_and_nothing_that_was_measured_changes(out: Path) -> None:
    before = open_sweep(str(out))
    measured = by_policy(before)["layer:2"]
    steps, graph = before.table("steps"), before.table("graph_ops")
    done = reattribute(str(out))
    after = open_sweep(str(out))
    row = by_policy(after)["layer:2"]

    assert done.rewritten == (row["trial_id"],)
    passes = ["forward", "activation_gradient", "weight_gradient", "optimizer", "input", "other"]
    total = after.sql(
        f"SELECT sum(ns_per_step)::BIGINT FROM op_costs WHERE trial_id = '{row['trial_id']}'"
    ).fetchall()[0][0]
    assert sum(row[f"{name}_ns"] for name in passes) == total > 1000
    assert row["attributed_fraction"] >= 0.99
    assert row["error_stage"] is None
    layers = {
        each["layer"]: each
        for each in after.table("layers").to_pylist()
        if each["trial_id"] == row["trial_id"]
    }
    assert layers["conv2"]["weight_gradient_ns"] == 0
    assert layers["conv2"]["activation_gradient_ns"] > 0
    for name in ("step_ns", "speedup", "started_at", "attempts", "host", "trace_path"):
        assert row[name] == measured[name]
    assert after.table("steps") == steps
    assert after.table("graph_ops") == graph


def test_tensorboard_shows_the_new_times(out: Path) -> None:
    rows = by_policy(open_sweep(str(out)))
    for row in rows.values():
        stale = row | {"forward_ns": 7_000_000, "other_ns": 9_000_000}
        (out / events_path(row["trial_id"])).parent.mkdir(parents=True, exist_ok=True)
        (out / events_path(row["trial_id"])).write_bytes(trial_events(stale, STEPS))
    reattribute(str(out))
    after = by_policy(open_sweep(str(out)))
    shown = scalars_in(out / events_path(after["layer:2"]["trial_id"]))
    for name in ("forward", "activation_gradient", "weight_gradient", "optimizer", "other"):
        ns = after["layer:2"][f"{name}_ns"]
        assert shown.get(f"pass_ms/{name}") == pytest.approx(ns / 1e6, rel=1e-6)
    assert shown["speedup"] == 1.5, "what was measured is still there"
    assert shown["samples/step_ms"] == pytest.approx(7e-6)
    assert scalars_in(out / events_path(after["norms"]["trial_id"]))["pass_ms/forward"] == 7


def scalars_in(events: Path) -> dict[str, float]:
    """What TensorBoard's own reader finds, the last value of each tag."""
    return {
        value.tag: value.tensor.float_val[0]
        for event in EventFileLoader(str(events)).Load()
        for value in event.summary.value
        if value.tensor.float_val
    }


def test_trials_without_a_usable_trace_are_left_and_named(out: Path, capsys) -> None:
    rows = by_policy(open_sweep(str(out)))
    assert main_of(out) == 0
    said = capsys.readouterr()
    assert f"{rows['norms']['trial_id']}: left as it is, no trace of it was kept" in said.err
    assert f"{rows['biases']['trial_id']}: left as it is, its trace cannot be used" in said.err
    assert "1 trial attributed again, 2 left as they are" in said.out
    after = by_policy(open_sweep(str(out)))
    assert after["norms"] == rows["norms"]
    assert after["biases"] == rows["biases"]
    again = reattribute(str(out))
    assert by_policy(open_sweep(str(out))) == after
    assert again.predicted == 0


def test_the_document_says_why_trials_are_left(out: Path, capsys) -> None:
    rows = by_policy(open_sweep(str(out)))
    assert main(["reattribute", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    norms, biases = rows["norms"]["trial_id"], rows["biases"]["trial_id"]
    assert set(said["left"]) == {norms, biases}
    assert said["left_because"][norms] == "no trace of it was kept"
    assert said["left_because"][biases].startswith("its trace cannot be used")
    assert said["untraced"] == {}


@pytest.mark.parametrize("absolute", [False, True])
def test_a_trace_path_that_leads_out_of_out_is_not_followed(
    out: Path, capsys, absolute: bool
) -> None:
    outside = out.parent / "x.xplane.pb"
    outside.write_bytes((PROFILES / "graph.xplane.pb").read_bytes())
    said = str(outside) if absolute else "tensorboard/../../x.xplane.pb"
    trial_id = by_policy(open_sweep(str(out)))["layer:2"]["trial_id"]
    OutDir.open(str(out), create=False).amend(trial_id, tables={}, columns={"trace_path": said})
    before = open_sweep(str(out)).table("op_costs")
    assert main_of(out) == 0
    told = f"left as it is, its trace is not there: '{said}' is not a name below OUT"
    assert told in capsys.readouterr().err
    assert open_sweep(str(out)).table("op_costs") == before


def test_a_trial_of_a_model_that_was_changed_since_is_left(out: Path) -> None:
    known = facts()
    changed = dump_facts(replace(known, layers=known.layers[:-1]))
    OutDir.open(str(out), create=False).write_text(facts_path("net"), changed)
    before = open_sweep(str(out)).table("op_costs")
    done = reattribute(str(out))
    assert done.rewritten == ()
    assert "the model was changed after this trial" in " ".join(done.left.values())
    assert open_sweep(str(out)).table("op_costs") == before


def test_time_for_a_frozen_variables_gradient_stops_everything(out: Path, capsys) -> None:
    """The trace and the graph say that conv1 trained; a table that says otherwise is a defect."""
    row = by_policy(open_sweep(str(out)))["layer:2"]
    store = OutDir.open(str(out), create=False)
    frozen = ["conv1/kernel", "conv1/bias"]
    store.amend(row["trial_id"], tables={}, columns={"frozen_variables": frozen})
    before = open_sweep(str(out)).table("op_costs")
    assert main_of(out) == 1
    assert "would be a weight gradient of layer conv1" in capsys.readouterr().err
    assert open_sweep(str(out)).table("op_costs") == before


def test_not_beside_a_sweep(out: Path) -> None:
    store = OutDir.open(str(out), create=False)
    with store.lock(), pytest.raises(SweepError, match="is in use by process"):
        reattribute(str(out))


def test_a_study_is_for_tracing_again_alone(out: Path, capsys) -> None:
    for option in (["--study", "x.toml"], ["--trust-study"]):
        assert main(["reattribute", str(out), *option]) == 2
        assert "only --retrace calls any" in capsys.readouterr().err


def test_what_is_no_sweep_is_refused(tmp_path: Path, capsys) -> None:
    assert main_of(tmp_path) == 2
    assert "is no sweep" in capsys.readouterr().err


def test_no_tensorflow_and_no_ray_take_part() -> None:
    program = "import frostline.sweep.reattribute, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "frostline" in loaded
    assert loaded & {"tensorflow", "keras", "ray"} == set()


def main_of(out: Path) -> int:
    return main(["reattribute", str(out)])
