"""Freezing over time and stored outputs of a frozen prefix, in a world where the truth is known."""

from dataclasses import replace
from pathlib import Path

import pytest
from predict_kit import (
    FORWARD,
    UNIT_NS,
    changed,
    profiled,
    step_ns,
    study_text,
    world,
    world_facts,
)

from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.billing.run import Run
from frostline.cli import main
from frostline.cli.predict_over_time import parsed_schedule
from frostline.errors import PolicyError, StudyError, SweepError, UsageError
from frostline.policies import expand
from frostline.prediction import predict_cached, predict_schedule, sort_groups
from frostline.prediction.cached_features import boundary_of, cached_features
from frostline.prediction.schedules import compile_s
from frostline.reporting.make import content_of
from frostline.store.sweep import open_sweep
from frostline.study.study import parse_study

COMPILE_S = 2.0
"""In `fit`, which traces twice what a trial traces once."""
RUN = Run(examples=80, epochs=10)  # 10 steps an epoch


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiling twice took 4 s in each trial."""
    return world(
        tmp_path_factory.mktemp("sweep") / "out",
        text=study_text("prefix:*").replace(
            "[freeze]\n", '[freeze]\nschedule = [[1, "none"], [4, "prefix:2"], [8, "prefix:5"]]\n'
        ),
        tamper=lambda _trial, rows: profiled(
            changed(rows, compile_s=COMPILE_S, step_compilations=2)
        ),
    )


def frozen(policy: str) -> frozenset[str]:
    (one,) = expand(policy, world_facts())
    return one.frozen_variables


def true_seconds(policy: str, epochs: int) -> float:
    return epochs * 10 * step_ns(world_facts(), frozen(policy)) / 1e9


def test_a_schedule_is_the_sum_of_its_stages_and_their_compilations(out: Path):
    (cost,), notices = predict_schedule(str(out), run=RUN)
    assert notices == ()
    assert [(stage.policy, stage.epochs, stage.steps) for stage in cost.stages] == [
        ("none", 3, 30),
        ("prefix:2", 4, 40),
        ("prefix:5", 3, 30),
    ]
    stages = (("none", 3), ("prefix:2", 4), ("prefix:5", 3))
    truth = sum(true_seconds(policy, epochs) for policy, epochs in stages)
    assert cost.total_s == pytest.approx(truth + 3 * COMPILE_S, rel=1e-3)
    assert cost.compile_s == pytest.approx(3 * COMPILE_S)
    assert cost.nothing_frozen_s == pytest.approx(true_seconds("none", 10) + COMPILE_S, rel=1e-3)
    assert cost.speedup == pytest.approx(cost.nothing_frozen_s / cost.total_s)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([(2, "none")], "begins at epoch 1"),
        ([(1, "none"), (1, "prefix:2")], "ascend"),
        ([(1, "prefix:*")], "one configuration"),
        ([(1, "none"), (11, "prefix:2")], "the run has 10"),
    ],
)
def test_a_schedule_that_is_none_is_refused(out: Path, stages: list, said: str):
    with pytest.raises(UsageError, match=said):
        predict_schedule(str(out), stages, run=RUN)


def test_a_schedule_needs_a_run(out: Path):
    with pytest.raises(UsageError, match="--examples"):
        predict_schedule(str(out))


def test_a_study_says_its_schedule_in_order():
    text = study_text("prefix:1")
    plain = parse_study(text, check_builders=False)
    assert plain.freeze.schedule == ()
    good = text.replace("[freeze]\n", '[freeze]\nschedule = [[1, "none"], [3, "prefix:1"]]\n')
    found = parse_study(good, check_builders=False)
    assert found.freeze.schedule == ((1, "none"), (3, "prefix:1"))
    assert found.digest != plain.digest
    for wrong in ('[[2, "none"]]', '[[1, "none"], [1, "norms"]]', '[[1, "prefx:1"]]', "[[1]]"):
        bad = text.replace("[freeze]\n", f"[freeze]\nschedule = {wrong}\n")
        with pytest.raises(StudyError, match=r"freeze\.schedule"):
            parse_study(bad, check_builders=False)


def test_the_command_tells_a_schedule(out: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["predict", str(out), "--examples", "80", "--epochs", "10"]
    assert main([*arguments, "--schedule", "study"]) == 0
    shown = capsys.readouterr().out
    assert "prefix:5" in shown
    assert "8-10" in shown
    assert main([*arguments, "--schedule", "1:none", "--schedule", "5:prefix:2", "--json"]) == 0
    assert '"from_epoch": 5' in capsys.readouterr().out
    assert main([*arguments, "--schedule", "none"]) == 2
    assert main(arguments) == 2
    assert "--freeze" in capsys.readouterr().err
    assert parsed_schedule(["study"]) is None


def graph(*, dropout: bool = False, state: bool = False) -> StepGraph:
    """Six products in a row; an addition without a layer behind the second, 64 bytes an output."""
    ops: list[GraphOp] = []

    def add(layer: str | None, kind: str, *reads: int) -> int:
        ops.append(
            GraphOp(
                op_name=f"{layer}/{kind}", op_type=kind, layer=layer, pass_="forward",
                inputs=tuple((read, 0) for read in reads), output_bytes=(64 * (len(ops) + 1),),
            )
        )  # fmt: skip
        return len(ops) - 1

    last = add(None, "IteratorGetNext")
    for index in range(6):
        last = add(f"net/l{index}", "MatMul", last)
        if index == 1:
            if dropout:
                last = add("net/drop", "Mul", last, add("net/drop", "StatelessRandomUniformV2"))
            if state:
                add("net/count", "AssignAddVariableOp", last)
            last = add("net/plus", "AddV2", last, last)
    return StepGraph(variables=(), trained=(), ops=tuple(ops))


LAYERS = [f"net/l{index}" for index in range(6)]


def test_what_is_stored_is_what_crosses_the_end_of_the_prefix():
    found = boundary_of(graph(), LAYERS[:2], LAYERS[2:], batch_size=8)
    assert found.bytes_per_example == 4 * 64 / 8  # the addition's output, the fourth op
    assert found.changing == ()


@pytest.mark.parametrize("kind", ["dropout", "state"])
def test_nothing_is_stored_that_differs_from_epoch_to_epoch(out: Path, kind: str):
    group = sort_groups(open_sweep(str(out)))[0][0]
    found = cached_features(
        group,
        graph(**{kind: True}),
        policy="prefix:2",
        frozen=frozen("prefix:2"),
        baseline_step_ns=1e6,
        batch_size=8,
        examples=80,
    )
    assert found.why_not is not None
    assert "differ from epoch to epoch" in found.why_not


def test_stored_outputs_of_open_size_are_not_known_and_not_0(out: Path):
    group = sort_groups(open_sweep(str(out)))[0][0]
    known = graph()
    ops = [replace(op, output_bytes=(None,)) if op.op_type == "AddV2" else op for op in known.ops]
    boundary = boundary_of(replace(known, ops=tuple(ops)), LAYERS[:2], LAYERS[2:], batch_size=8)
    assert (boundary.bytes_per_example, boundary.open_sized) == (None, ("net/plus/AddV2",))

    def stored(bandwidth: float | None):
        return cached_features(
            group,
            replace(known, ops=tuple(ops)),
            policy="prefix:2",
            frozen=frozen("prefix:2"),
            baseline_step_ns=step_ns(world_facts(), frozenset()),
            batch_size=8,
            examples=80,
            bandwidth=bandwidth,
        )

    in_memory, on_disk = stored(None), stored(1e6)
    for found in (in_memory, on_disk):
        assert found.bytes_per_example is found.stored_bytes is found.bytes_per_second is None
        assert found.why_not == (
            "the size of what net/plus/AddV2 makes is not known before a step runs"
        )
    assert in_memory.pays_after_epochs == pytest.approx(1)
    assert in_memory.speedup is not None
    assert on_disk.cached_step_ns is on_disk.speedup is on_disk.pays_after_epochs is None


def test_dropout_behind_the_prefix_does_not_matter():
    assert boundary_of(graph(dropout=True), LAYERS[:1], LAYERS[1:], batch_size=8).changing == ()


def test_the_prefix_forward_pass_falls_away(out: Path):
    group = sort_groups(open_sweep(str(out)))[0][0]
    base = step_ns(world_facts(), frozenset())
    found = cached_features(
        group,
        graph(),
        policy="prefix:2",
        frozen=frozen("prefix:2"),
        baseline_step_ns=base,
        batch_size=8,
        examples=80,
    )
    forward = UNIT_NS * sum(FORWARD[:2])
    truth = step_ns(world_facts(), frozen("prefix:2"))
    assert found.step_ns == pytest.approx(truth, rel=0.01)
    assert found.forward_ns == pytest.approx(forward, rel=0.01)
    assert found.cached_step_ns == pytest.approx(truth - forward, rel=0.01)
    assert found.stored_bytes == 80 * found.bytes_per_example
    assert found.bytes_per_second == pytest.approx(256 / (found.cached_step_ns / 1e9))
    assert found.pays_after_epochs == pytest.approx(1)
    assert found.why_not is None


def test_a_slow_store_pays_later_or_never(out: Path):
    group = sort_groups(open_sweep(str(out)))[0][0]
    base = step_ns(world_facts(), frozenset())
    truth, forward = step_ns(world_facts(), frozen("prefix:2")), UNIT_NS * sum(FORWARD[:2])

    def at(bandwidth: float):
        return cached_features(
            group,
            graph(),
            policy="prefix:2",
            frozen=frozen("prefix:2"),
            baseline_step_ns=base,
            batch_size=8,
            examples=80,
            bandwidth=bandwidth,
        )

    fast_enough = at(256 / ((truth - forward) / 1e9) * 2)
    writing = (truth - forward) / 2
    assert fast_enough.cached_step_ns == pytest.approx(truth - forward, rel=0.01)
    assert fast_enough.pays_after_epochs == pytest.approx(1 + writing / forward, rel=0.02)
    slow = at(256 / (2 * truth / 1e9))
    assert slow.cached_step_ns == pytest.approx(2 * truth, rel=0.01)
    assert slow.pays_after_epochs is None


def test_what_cannot_be_stored_is_refused_with_the_reason(out: Path, capsys):
    with pytest.raises(UsageError, match="nothing can be stored:\n`norms` matches nothing in"):
        predict_cached(str(out), "norms")
    with pytest.raises(PolicyError, match="Did you mean `prefix"):
        predict_cached(str(out), ["prefix:2", "prefx:2"])
    with pytest.raises(PolicyError, match="`nowhere`"):
        predict_cached(str(out), ["prefix:2", "list:nowhere"])
    for bandwidth in ("nan", "inf", "0", "-1"):
        asked = ["predict", str(out), "--freeze", "prefix:2", "--cached", "--bandwidth", bandwidth]
        assert main(asked) == 2
        assert "a bandwidth of" in capsys.readouterr().err
    for also in ([], ["--schedule", "study"]):
        freeze = [] if also else ["--freeze", "prefix:2"]
        assert main(["predict", str(out), *freeze, *also, "--bandwidth", "5"]) == 2
        assert "--bandwidth is for stored outputs: pass --cached" in capsys.readouterr().err


def test_courses_of_a_sweep_without_a_measured_trial_say_so(tmp_path: Path):
    failed = {"status": "failed", "error_stage": "check", "speedup": None, "step_ns": None}
    folder = world(
        tmp_path / "out",
        text=study_text("prefix:1"),
        tamper=lambda _trial, rows: changed(rows, **failed),
    )
    for asked in (
        lambda: predict_schedule(str(folder), [(1, "none")], run=RUN),
        lambda: predict_cached(str(folder), "prefix:1"),
    ):
        with pytest.raises(SweepError, match="has no measured anchors to predict from; run its"):
            asked()


def test_without_a_prefix_there_is_nothing_to_store(out: Path):
    group = sort_groups(open_sweep(str(out)))[0][0]
    with pytest.raises(UsageError, match="a gradient reaches every layer"):
        cached_features(
            group,
            graph(),
            policy="layer:6",
            frozen=frozen("layer:6"),
            baseline_step_ns=1e6,
            batch_size=8,
            examples=None,
        )


@pytest.mark.parametrize(("xla", "times"), [(False, 2), (None, 2), (True, 1)])
def test_fit_traces_twice_what_xla_compiles_once(xla: bool | None, times: int, out: Path):
    rows = [replace(row, jit_resolved=xla) for row in open_sweep(str(out)).trial_rows()]
    assert compile_s(rows, ()) == pytest.approx(times * COMPILE_S / 2)


def test_the_report_has_the_schedule_of_the_study(out: Path):
    def titles() -> list[str]:
        return [table.title for table in content_of(open_sweep(str(out))).compared]

    assert not any(title.startswith("Freezing over time") for title in titles()), "no run is known"
    table = content_of(open_sweep(str(out)), run=RUN).compared[-1]
    assert table.title.startswith("Freezing over time: net")
    assert [(row[0], row[1]) for row in table.rows] == [
        ("none", "1-3"), ("prefix:2", "4-7"), ("prefix:5", "8-10"),
    ]  # fmt: skip
    assert "with nothing frozen" in table.words[0]
