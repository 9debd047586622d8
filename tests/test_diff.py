"""Differences of two trials: what became of each op, and that no nanosecond is lost."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from built_trials import FAILED, GPU, MS, NO_TRACE, Built, Chain
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from frostline.cli import main
from frostline.difference import Difference, Op, diff
from frostline.difference.difference import Side
from frostline.difference.match import changes
from frostline.difference.terminal import rendered
from frostline.errors import UsageError
from frostline.store.sweep import open_sweep

DATA = Path(__file__).parent / "data" / "sweep_v1"


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return Built(folder=tmp_path / "out")


def op(name: str, ns: int, *, layer="net/conv", pass_="forward", op_type="Conv2D") -> Op:
    return Op(layer=layer, pass_=pass_, name=name, op_type=op_type, ns=ns, calls=1.0)


def only(groups):
    (group,) = groups
    (change,) = group.ops
    return change


OPS = st.lists(
    st.builds(
        Op,
        layer=st.sampled_from([None, "net/a", "net/b"]),
        pass_=st.sampled_from(["forward", "activation_gradient", "weight_gradient"]),
        name=st.sampled_from(["Conv", "a/Conv", "AddN", "AddN_1", "AddN_2", "a/b_7/AddN_3", ""]),
        op_type=st.sampled_from(["Conv2D", "AddN", "Mul"]),
        ns=st.integers(0, 10**12),
        calls=st.just(1.0),
    )
)


@given(a=OPS, b=OPS, top=st.integers(0, 8))
def test_any_two_tables_differ_by_the_difference_of_their_totals(a, b, top):
    groups = changes(a, b)
    total_a, total_b = sum(op.ns for op in a), sum(op.ns for op in b)
    ops = [change for group in groups for change in group.ops]
    assert sum(change.a_ns for change in ops) == total_a
    assert sum(change.b_ns for change in ops) == total_b
    assert sum(group.change_ns for group in groups) == total_b - total_a
    for group in groups:  # by layer and pass, too
        where = (group.layer, group.pass_)
        assert group.a_ns == sum(op.ns for op in a if (op.layer, op.pass_) == where)
        assert group.b_ns == sum(op.ns for op in b if (op.layer, op.pass_) == where)
    keys = {(op.layer, op.pass_, op.name, op.op_type) for op in (*a, *b)}
    assert len(ops) <= len(keys)
    difference = Difference(
        a=side(total_a), b=side(total_b), clock="profiled", groups=groups, notices=()
    )
    assert sum(ns for _, ns in difference.by_kind().values()) == difference.change_ns
    rows_add_up(difference, top)


def side(total_ns: int) -> Side:
    return Side(
        trial_id="net-1", policy="none", setting="net", device_kind=None, speedup=None,
        total_ns=total_ns,
    )  # fmt: skip


def rows_add_up(difference: Difference, top: int) -> None:
    """In the printed table the groups and the remainder add up to the totals, as rounded."""
    table = rendered(difference, top=top).renderables
    table = next(each for each in table if hasattr(each, "columns"))
    labels = [str(cell) for cell in table.columns[0].cells]
    for column in table.columns[1:4]:
        cells = [float(cell) for cell in column.cells]
        outer = [ns for label, ns in zip(labels, cells, strict=True) if label[:1] != " "]
        assert sum(outer) == pytest.approx(float(column.footer), abs=0.06 * (len(outer) + 1))


def test_each_op_has_a_fate():
    groups = changes(
        [op("gone", 5), op("less", 5), op("same", 5), op("more", 5)],
        [op("less", 4), op("same", 5), op("more", 6), op("new", 5)],
    )
    (group,) = groups
    assert {change.name: change.kind for change in group.ops} == {
        "gone": "vanished", "less": "shrank", "same": "unchanged", "more": "grew",
        "new": "appeared",
    }  # fmt: skip


def test_a_kernel_that_was_fused_otherwise_is_the_same_op():
    change = only(changes([op("conv/BiasAdd", 5)], [op("conv/BiasAdd", 4, op_type="FusedConv2D")]))
    assert (change.kind, change.a_type, change.b_type) == ("shrank", "Conv2D", "FusedConv2D")


def test_ops_that_tensorflow_counts_through_the_graph_are_the_same_under_another_number():
    change = only(changes([op("AddN_9", 5)], [op("AddN_5", 5)]))
    assert change.kind == "unchanged"
    # with one more of them it is not known which is new
    (group,) = changes([op("AddN_9", 5)], [op("AddN_5", 5), op("AddN_6", 5)])
    assert sorted(change.kind for change in group.ops) == ["appeared", "appeared", "vanished"]


def test_numbers_are_matched_in_their_order():
    (group,) = changes([op("AddN_2", 2), op("AddN_10", 10)], [op("AddN_3", 2), op("AddN_11", 10)])
    assert [change.kind for change in group.ops] == ["unchanged", "unchanged"]


def test_an_op_that_is_counted_elsewhere_says_where():
    groups = changes(
        [op("conv/Mul", 5, pass_="activation_gradient")],
        [op("conv/Mul", 5, pass_="weight_gradient")],
    )
    said = {change.kind: change.elsewhere for group in groups for change in group.ops}
    assert said == {
        "vanished": "weight_gradient of net/conv",
        "appeared": "activation_gradient of net/conv",
    }
    assert sum(group.change_ns for group in groups) == 0


def test_the_same_op_on_two_devices_is_one(tmp_path: Path):
    built = Built(folder=tmp_path / "out", chain=Chain(device=GPU))
    ops = [*built.chain.ops(), *Chain(device="/device:GPU:1").ops()]
    built.controls(ops=ops).trial("layer:3", [2])
    found = diff(built.sweep(), "control 1", "layer:3", clock="profiled")
    forward = next(group for group in found.groups if group.pass_ == "forward")
    assert len(forward.ops) == 1
    assert (forward.a_ns, forward.b_ns) == (4 * MS, 2 * MS)


def test_a_prefix_takes_away_what_it_should(built: Built):
    built.controls().trial("prefix:2", [0, 1])
    found = diff(built.sweep(), "control 1", "prefix:2", clock="profiled")
    # dW and update of layers 0 and 1, dX of layers 1 and 2
    assert found.by_kind()["vanished"] == (6, -(4 + 4 + 1) * MS)
    assert found.change_ns == -9 * MS
    assert found.notices == ()
    assert {(group.layer, group.pass_) for group in found.groups if group.change_ns} == {
        ("net/layer0", "weight_gradient"), ("net/layer1", "weight_gradient"),
        ("net/layer0", "optimizer"), ("net/layer1", "optimizer"),
        ("net/layer1", "activation_gradient"), ("net/layer2", "activation_gradient"),
    }  # fmt: skip
    changes_ns = [abs(group.change_ns) for group in found.groups]
    assert changes_ns == sorted(changes_ns, reverse=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 64}, r"batch size \(16, 64\)"),
        ({"optimizer": None}, r"optimizer \(adam, the model's own optimizer\)"),
        ({"precision": "mixed_float16"}, "precision"),
        ({"jit_resolved": True}, "XLA"),
        ({"device_kind": "Another CPU"}, r"device \(Test CPU, Another CPU\)"),
        ({"model": "other"}, r"model \(net, other\)"),
    ],
)
def test_what_is_not_the_same_work_is_refused_and_named_even_when_forced(built, change, said):
    built.controls().trial("prefix:2", [0, 1], **change)
    sweep = built.sweep()
    with pytest.raises(UsageError, match=said):
        diff(sweep, "control 1", "prefix:2")
    forced = diff(sweep, "control 1", "prefix:2", force=True)
    assert len(forced.notices) == 1
    with pytest.raises(UsageError, match="common baseline"):
        diff(sweep, "control 1", "prefix:2", force=True, clock="timed")


def test_trials_without_ops_are_refused(built: Built):
    built.controls().trial("prefix:2", [0, 1], **NO_TRACE)
    built.trial("layer:3", [2], **(FAILED | {"error_message": "out of memory"}))
    sweep = built.sweep()
    with pytest.raises(UsageError, match=r"prefix:2 .* left no profile"):
        diff(sweep, "control 1", "prefix:2")
    with pytest.raises(UsageError, match=r"layer:3 .* failed: out of memory"):
        diff(sweep, "layer:3", "control 1", force=True)


def test_a_slower_minute_is_noticed_and_timed_takes_it_out(built: Built):
    slow = [op | {"ns_per_step": 2 * op["ns_per_step"]} for op in built.chain.ops([0, 1])]
    built.controls()
    # profiled at half the pace, timed at full pace: 28 ms against 37
    built.trial("prefix:2", [0, 1], ops=slow, speedup=37 / 28, step_ns=28 * MS, profiler_overhead=2)
    sweep = built.sweep()
    raw = diff(sweep, "control 3", "prefix:2", clock="profiled")
    assert raw.change_ns == (56 - 37) * MS
    assert "2.00x slower while prefix:2 was profiled" in raw.notices[0]
    timed = diff(sweep, "control 3", "prefix:2")  # drift is taken out unless told otherwise
    assert timed.clock == "timed"
    assert timed.notices == ()
    assert timed.change_ns == pytest.approx(-9 * MS, abs=2)
    assert timed.change_ns == sum(group.change_ns for group in timed.groups)


@pytest.mark.parametrize(("of_a", "of_b", "count"), [(0, 5, 1), (5, 0, 1), (0, 0, 0)])
def test_ops_that_left_no_event_are_said_whichever_trial_has_them(built: Built, of_a, of_b, count):
    built.controls(unobserved_ops=of_a).trial("prefix:2", [0, 1], unobserved_ops=of_b)
    found = diff(built.sweep(), "control 1", "prefix:2")
    assert len([each for each in found.notices if "left no event" in each]) == count


def test_baseline_is_the_first_control_with_a_profile(built: Built):
    built.controls(speedups=(0.999,), **NO_TRACE)
    built.trial("none", (), speedup=1.0, is_control=True, replicate=1)
    built.trial("prefix:2", [0, 1])
    found = diff(built.sweep(), "baseline", "prefix:2")
    assert found.a.policy == "control 2"
    assert diff(built.sweep(), "prefix:2", "baseline", model="net").b.policy == "control 2"
    with pytest.raises(UsageError, match="no model `nett`"):
        diff(built.sweep(), "baseline", "prefix:2", model="nett")


def test_a_trial_differs_from_itself_by_nothing(built: Built):
    built.controls()
    found = diff(built.sweep(), "control 1", "control 1")
    assert found.change_ns == 0
    assert found.by_kind()["unchanged"][0] == len(built.chain.ops())


def test_every_pair_of_the_stored_sweep_adds_up(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    sweep = open_sweep(str(DATA))
    ids = [trial_id for trial_id, status in sweep.commits.items() if status == "ok"]
    for a, b in pairwise(ids):
        found = diff(sweep, a, b)
        assert sum(op.change_ns for group in found.groups for op in group.ops) == found.change_ns
        rows_add_up(found, 3)
    assert main(["diff", str(DATA), "prefix:1", "suffix:2", "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "conv2, dW" in text
    assert "other groups" in text
    assert "all ops" in text


def test_long_names_fold_within_eighty_columns():
    long = "functional_1/" + "/".join(["a_rather_long_scope"] * 6) + "/Conv2DBackpropInput"
    found = Difference(
        a=side(5 * MS), b=side(0), clock="profiled", notices=("they differ",),
        groups=changes([op(long, 5 * MS, layer="net/conv2d_with_a_long_name")], []),
    )  # fmt: skip
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(rendered(found, top=5))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "vanished" in text


def test_json_lists_every_op_and_adds_up(capsys):
    assert main(["diff", str(DATA), "control 1", "prefix:2", "--profiled", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["change_ns"] == found["b"]["total_ns"] - found["a"]["total_ns"]
    ops = [op for group in found["groups"] for op in group["ops"]]
    assert sum(op["change_ns"] for op in ops) == found["change_ns"]
    assert sum(kind["change_ns"] for kind in found["by_kind"].values()) == found["change_ns"]
    assert {op["kind"] for op in ops} >= {"vanished", "unchanged"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["control 1", "norms"], "failed: nothing was frozen"),
        (["control 1", "prefixx:1"], "Did you mean `prefix:1`?"),
        (["none", "prefix:1"], "3 trials"),
    ],
)
def test_mistakes_are_two(arguments, said, capsys):
    assert main(["diff", str(DATA), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_top_is_not_negative(capsys):
    assert main(["diff", str(DATA), "control 1", "prefix:1", "--top", "-1"]) == 2
    capsys.readouterr()
