"""Explanations of trials whose causes are known by construction: one test a cause."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from built_trials import FAILED, GPU, MS, NO_TRACE, TWO_GPUS, Built, Chain, row_of
from hypothesis import given
from hypothesis import strategies as st
from schedule_kit import with_variables

from frostline.analyse import group_answer, summarise
from frostline.analyse.profiles import ProfileCell, StepProfile, Waits
from frostline.cli import main
from frostline.errors import UsageError
from frostline.explanation import Explanation, explain
from frostline.explanation.explanation import ReasonKind
from frostline.explanation.ledger import WAITING, mean_ledger, step_ledger
from frostline.facts.model_facts import dump_facts, facts_path
from frostline.store.sweep import open_sweep

DATA = Path(__file__).parent / "data" / "sweep_v1"


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return Built(folder=tmp_path / "out")


def kinds(explanation: Explanation) -> set[ReasonKind]:
    return {reason.kind for reason in explanation.reasons}


def part(explanation: Explanation, kind: str):
    return next(part for part in explanation.parts if part.kind == kind)


def adds_up(explanation: Explanation) -> bool:
    return (
        sum(part.baseline_ns or 0 for part in explanation.parts) == explanation.baseline_step_ns
        and sum(part.trial_ns or 0 for part in explanation.parts) == explanation.step_ns
        and sum(part.saved_ns or 0 for part in explanation.parts)
        == explanation.baseline_step_ns - explanation.step_ns
    )


def test_the_step_in_parts_adds_up_and_the_ceiling_is_the_formula(built: Built):
    built.controls().trial("prefix:2", [0, 1])
    found = explain(built.sweep(), "prefix:2")
    assert adds_up(found)
    assert found.forward_alone is not None
    # six layers: forward 12 ms, dX 10 (none in the first), dW 12, update 3
    assert found.forward_alone.speedup == pytest.approx(1 + (10 + 12 + 3) / 12)
    assert found.forward_alone.with_rest == pytest.approx(found.forward_alone.speedup)
    assert len(found.forward_alone.controls) == 3
    assert found.speedup == pytest.approx(37 / 28)
    assert found.verdict == "faster"
    assert found.trains_from == "net/layer2"
    # What was in the baseline's step and is not in the trial's, by pass.
    assert part(found, "dx_pruned").saved_ns == pytest.approx(2 * MS, abs=2)
    assert part(found, "dw_frozen").saved_ns == pytest.approx(4 * MS, abs=2)
    assert part(found, "update").saved_ns == pytest.approx(MS, abs=2)
    assert part(found, "forward").saved_ns == pytest.approx(0, abs=2)


def test_controls_are_counted_where_the_forward_pass_left_no_event(built: Built, capsys):
    seen = [op for op in built.chain.ops() if op["pass"] != "forward"]
    built.controls(ops=seen).trial("prefix:2", [0, 1])
    found = explain(built.sweep(), "prefix:2")
    assert found.forward_alone is None
    assert found.profiled_controls == 3
    assert main(["explain", str(built.folder), "prefix:2"]) == 0
    assert "split as the mean of 3 controls" in " ".join(capsys.readouterr().out.split())


def test_backward_ends_at_the_first_layer_that_trains(built: Built):
    built.controls().trial("prefix:2", [0, 1])
    reason = explain(built.sweep(), "prefix:2").reason("backward_ends")
    assert reason is not None
    assert reason.effect == "saved"
    # dX of layer 2, frozen, and of layer 3, which is the first that trains now
    assert reason.share_ns == pytest.approx(4 * MS, abs=2)
    assert "ends at layer 3 (net/layer2)" in reason.text


def test_weight_gradients_that_are_gone_have_their_share(built: Built):
    built.controls().trial("layer:3", [2])
    reason = explain(built.sweep(), "layer:3").reason("weight_gradients_gone")
    assert reason is not None
    assert reason.share_ns == pytest.approx(2 * MS, abs=2)
    assert "1 layer" in reason.text


def test_a_gradient_that_flows_through_frozen_layers(built: Built):
    built.controls().trial("suffix:3", [2, 3, 4])
    found = explain(built.sweep(), "suffix:3")
    reason = found.reason("gradient_flows_through")
    assert reason is not None
    assert reason.effect == "remains"
    assert reason.share_ns == part(found, "dx_through").trial_ns
    assert reason.share_ns == pytest.approx(6 * MS, abs=3)
    assert "through 3 layers that are frozen" in reason.text
    assert "down to layer 1 (net/layer0)" in reason.text
    assert "layers 1 to 5 are frozen" in reason.advice
    assert "backward_ends" not in kinds(found)


def test_there_is_no_advice_to_freeze_everything(built: Built):
    built.controls().trial("anchors:pass_through", range(1, 6))
    reason = explain(built.sweep(), "anchors:pass_through").reason("gradient_flows_through")
    assert reason is not None
    assert "1 to" not in reason.advice
    assert "from the input on" in reason.advice


def with_relu(built: Built, needed_by: Sequence[str]) -> None:
    """Add the controls, and a trial that freezes layers 2 to 4, with an activation behind 3."""
    chain = built.chain
    relu = chain.op("net/relu", "activation_gradient", "ReluGrad", 3 * MS)
    graph = {key: relu[key] for key in ("op_name", "op_type", "layer", "pass")}
    built.controls(ops=[*chain.ops(), relu], graph=[graph | {"needed_by": needed_by}])
    built.trial("suffix:3", [2, 3, 4], ops=[*chain.ops([2, 3, 4]), relu])


def test_a_layer_without_weights_counts_with_the_one_its_gradient_reaches_first(built: Built):
    with_relu(built, [f"net/layer{i}/kernel" for i in range(4)])
    found = explain(built.sweep(), "suffix:3")  # layer 3, behind which it stands, is frozen
    assert part(found, "dx_through").trial_ns == pytest.approx(9 * MS, abs=3)
    assert all(part.kind != "dx_elsewhere" for part in found.parts)


def test_behind_stacked_cells_it_counts_with_the_layer_that_holds_them(built: Built):
    cells = [f"net/layer3/stacked/cell{i}/kernel" for i in range(2)]
    with_relu(built, [*(f"net/layer{i}/kernel" for i in range(3)), *cells])
    built.trial("layer:4", [3], ops=[*built.chain.ops([3]), built.tables[-1].op_costs[-1]])
    facts = with_variables(built.chain.facts, "net/layer3", cells)
    found = explain(built.sweep(facts), "layer:4")  # its neighbours train
    assert part(found, "dx_through").trial_ns == pytest.approx(5 * MS, abs=3)
    assert all(part.kind != "dx_elsewhere" for part in found.parts)


def test_without_a_layer_to_count_with_it_is_outside_of_layers(built: Built):
    """GIVEN facts that are damaged, gone, or of another model THEN nothing is guessed."""
    with_relu(built, [f"net/layer{i}/kernel" for i in range(4)])
    sweep = built.sweep()
    path = built.folder / facts_path("net")
    for text in ("{", None, dump_facts(replace(built.chain.facts, layers=()))):
        path.unlink() if text is None else path.write_text(text)
        found = explain(sweep, "suffix:3")
        assert part(found, "dx_elsewhere").trial_ns == pytest.approx(3 * MS, abs=3)
        assert part(found, "dx_through").trial_ns == pytest.approx(6 * MS, abs=3)
        assert adds_up(found)


def test_the_forward_pass_dominates_when_all_else_is_gone(built: Built):
    built.controls().trial("all_but_head", range(5))
    found = explain(built.sweep(), "all_but_head")
    reason = found.reason("forward_dominates")
    assert reason is not None
    assert reason.share_ns == part(found, "forward").trial_ns == pytest.approx(12 * MS, abs=3)
    assert "gradient_flows_through" not in kinds(found)


def test_a_large_update_pays_by_parameters(tmp_path: Path):
    built = Built(folder=tmp_path / "out", chain=Chain(update=6 * MS))
    built.controls().trial("suffix:3", [2, 3, 4])
    found = explain(built.sweep(), "suffix:3")
    reason = found.reason("update_large")
    assert reason is not None
    assert reason.share_ns == pytest.approx(18 * MS, abs=3)
    assert "update_small" not in kinds(found)


def test_a_small_update_is_no_reason_to_freeze_many_parameters(tmp_path: Path):
    built = Built(folder=tmp_path / "out", chain=Chain(update=20_000))
    built.controls().trial("suffix:3", [2, 3, 4])
    reason = explain(built.sweep(), "suffix:3").reason("update_small")
    assert reason is not None
    assert reason.share_ns == pytest.approx(60_000, abs=3)
    assert reason.text.startswith("50% of the parameters are frozen")


def test_an_update_that_the_device_waits_for_is_not_small(tmp_path: Path):
    chain = Chain(update=20_000, device=GPU)
    built = Built(folder=tmp_path / "out", chain=chain, waiting_ns=12 * MS)

    def launched(frozen):
        """Each update takes a hundredth of what the device waits for it."""
        return [
            op | {"wait_ns_per_step": 2 * MS if op["pass"] == "optimizer" else 0}
            for op in chain.ops(frozen)
        ]

    built.controls(ops=launched(())).trial(
        "suffix:3", [2, 3, 4], ops=launched([2, 3, 4]), waiting_ns=6 * MS
    )
    found = explain(built.sweep(), "suffix:3")
    assert found.forward_alone is not None
    assert found.forward_alone.update_ns > 0.2 * (found.baseline_step_ns or 0)
    assert "waiting_changed" in kinds(found)
    assert "update_small" not in kinds(found)


def test_batch_normalisations_in_inference_mode_are_told_apart(tmp_path: Path):
    chain = Chain(kinds=("Conv2D", "BatchNormalization", "Conv2D", "BatchNormalization", "Dense"))
    built = Built(folder=tmp_path / "out", chain=chain)
    frozen = [1, 3]
    cheaper = [
        op | {"ns_per_step": op["ns_per_step"] // 4}
        if op["layer"] in ("net/layer1", "net/layer3") and op["pass"] != "optimizer"
        else op
        for op in chain.ops(frozen)
    ]
    built.controls().trial("norms", frozen, ops=cheaper)
    found = explain(built.sweep(), "norms")
    reason = found.reason("norms_in_inference")
    assert reason is not None
    # forward and dX of both, three quarters of 2 ms each
    assert reason.share_ns == pytest.approx(6 * MS, abs=6)
    assert "2 batch normalisations" in reason.text
    assert "in 2 that it still flows through" in reason.text
    # what the norms explain is no second time a change of forward or dX
    assert not {"forward_changed", "gradients_changed", "backward_ends"} & kinds(found)
    assert adds_up(found)


def test_norms_before_the_first_trainable_layer_differ_in_forward_alone(tmp_path: Path):
    chain = Chain(kinds=("Conv2D", "BatchNormalization", "Conv2D", "Dense"))
    built = Built(folder=tmp_path / "out", chain=chain)
    built.controls().trial("prefix:2", [0, 1])
    reason = explain(built.sweep(), "prefix:2").reason("norms_in_inference")
    assert reason is not None
    assert reason.share_ns == pytest.approx(0, abs=2)
    assert "no larger than its own uncertainty" in reason.text


@pytest.mark.parametrize(("factor", "word"), [(0.5, "less"), (1.5, "more")])
def test_a_forward_pass_that_changed_is_named(built: Built, factor: float, word: str):
    ops = [
        op | {"ns_per_step": round(op["ns_per_step"] * factor)} if op["pass"] == "forward" else op
        for op in built.chain.ops([2])
    ]
    built.controls().trial("layer:3", [2], ops=ops)
    reason = explain(built.sweep(), "layer:3").reason("forward_changed")
    assert reason is not None
    assert reason.share_ns == pytest.approx((1 - factor) * 12 * MS, abs=3)
    assert f"takes {word} than" in reason.text


def test_dx_that_changed_on_the_same_way_is_named(built: Built):
    ops = [
        op | {"ns_per_step": 3 * MS} if op["pass"] == "activation_gradient" else op
        for op in built.chain.ops([2])
    ]
    built.controls().trial("layer:3", [2], ops=ops)
    reason = explain(built.sweep(), "layer:3").reason("gradients_changed")
    assert reason is not None
    assert reason.share_ns == pytest.approx(-5 * MS, abs=3)


def test_a_device_that_waits_is_host_bound(tmp_path: Path):
    built = Built(folder=tmp_path / "out", chain=Chain(device=GPU), waiting_ns=40 * MS)
    # Profiling doubles what the host takes; the kernels' time against the unprofiled step counts.
    about = {"profiler_overhead": 2.0, "jit_compile": "false"}
    built.controls(**about)
    built.trial("prefix:2", [0, 1], **about)
    found = explain(built.sweep(), "prefix:2")
    reason = found.reason("host_bound")
    assert reason is not None
    assert reason.share_ns == part(found, "waiting").trial_ns == pytest.approx(40 * MS, abs=3)
    assert "jit_compile = true" in reason.advice
    assert found.forward_alone is not None
    assert found.forward_alone.with_rest == pytest.approx(77 / 52)
    assert adds_up(found)


def test_a_cpu_that_was_profiled_in_a_slow_minute_is_not_host_bound(built: Built):
    built.controls()
    built.trial("prefix:2", [0, 1], step_ns=56 * MS, profiler_overhead=0.5)
    found = explain(built.sweep(), "prefix:2")
    assert not {"host_bound", "waiting_changed"} & kinds(found)
    assert all(part.kind != "waiting" for part in found.parts)


def test_waiting_that_freezing_took_away_is_named(tmp_path: Path):
    built = Built(folder=tmp_path / "out", chain=Chain(device=GPU), waiting_ns=20 * MS)
    built.controls().trial("prefix:2", [0, 1], waiting_ns=5 * MS)
    found = explain(built.sweep(), "prefix:2")
    reason = found.reason("waiting_changed")
    assert reason is not None
    assert reason.share_ns == pytest.approx(15 * MS, abs=3)
    assert "host_bound" not in kinds(found)


def test_a_step_that_reads_more_than_it_computes_is_input_bound(built: Built):
    read = built.chain.op(None, "input", "Dataset", 30 * MS)
    built.controls(ops=[*built.chain.ops(), read])
    built.trial("prefix:2", [0, 1], ops=[*built.chain.ops([0, 1]), read])
    reason = explain(built.sweep(), "prefix:2").reason("input_bound")
    assert reason is not None
    assert reason.share_ns == pytest.approx(30 * MS, abs=3)


def test_exchange_between_replicas_is_a_part_of_its_own(tmp_path: Path):
    built = Built(folder=tmp_path / "out", chain=Chain(device=GPU))
    second = Chain(device="/device:GPU:1")

    def both(frozen, exchange_ns):
        reduce = second.op(None, "optimizer", "CollectiveReduceV2", exchange_ns)
        return [*built.chain.ops(frozen), *second.ops(frozen), reduce]

    def step(frozen, exchange_ns):
        ops = both(frozen, exchange_ns)
        return {"ops": ops, "step_ns": sum(op["ns_per_step"] for op in ops) // 2, **TWO_GPUS}

    built.controls(**step([], 30 * MS))
    built.trial("suffix:2", [3, 4], **step([3, 4], 20 * MS))
    found = explain(built.sweep(), "suffix:2")
    reason = found.reason("communication")
    assert reason is not None
    assert reason.share_ns == part(found, "communication").trial_ns
    assert "between 2 devices" in reason.text
    assert part(found, "communication").saved_ns > 0
    assert adds_up(found)


def test_several_devices_without_a_known_exchange_are_not_given_a_number(tmp_path: Path):
    built = Built(folder=tmp_path / "out", chain=Chain(device=GPU))
    second = Chain(device="/device:GPU:1")
    built.controls(ops=[*built.chain.ops(), *second.ops()], **TWO_GPUS)
    built.trial("layer:3", [2], ops=[*built.chain.ops([2]), *second.ops([2])], **TWO_GPUS)
    reason = explain(built.sweep(), "layer:3").reason("communication")
    assert reason is not None
    assert reason.share_ns is None
    assert "names no op" in reason.text


def test_ops_without_a_place_are_named(built: Built):
    unknown = built.chain.op(None, "other", "", 10 * MS)
    built.controls(ops=[*built.chain.ops(), unknown])
    built.trial("layer:3", [2], ops=[*built.chain.ops([2]), unknown])
    reason = explain(built.sweep(), "layer:3").reason("unattributed")
    assert reason is not None
    assert reason.share_ns == pytest.approx(10 * MS, abs=3)


def test_a_speedup_inside_the_noise_is_said_to_be_none(built: Built):
    built.controls(speedups=(0.9, 1.0, 1.0)).trial("layer:3", [2])
    found = explain(built.sweep(), "layer:3")
    reason = found.reason("within_noise")
    assert reason is not None
    assert found.verdict == "no measurable difference"
    assert reason.share_ns == pytest.approx(0.1 * 37 * MS, rel=1e-6)
    assert reason.effect == "verdict"
    # the weight gradients of one layer are gone for sure, although the step shows too little of it
    assert "weight_gradients_gone" in kinds(found)
    assert "forward_changed" not in kinds(found)


def test_a_freeze_that_removes_nothing_is_without_effect(built: Built):
    built.controls().trial("biases", [2], ops=built.chain.ops(), speedup=1.0005)
    found = explain(built.sweep(), "biases")
    assert {"freeze_without_effect", "within_noise"} <= kinds(found)
    reason = found.reason("freeze_without_effect")
    assert reason is not None
    assert reason.share_ns == pytest.approx(0, abs=40_000)


def test_a_step_without_gradients_is_no_freeze_without_effect(built: Built):
    built.controls().trial(
        "layer:3", [2],
        **(FAILED | {
            "error_stage": "check", "error_type": "NoGradients", "attempts": 1,
            "error_message": "the training step computes no gradients: the loss depends on none",
        }),
    )  # fmt: skip
    found = explain(built.sweep(), "layer:3")
    assert kinds(found) == {"failed"}
    assert "did not take effect" not in found.reasons[0].text
    assert "computes no gradients" in found.reasons[0].text


def test_a_failed_check_is_a_freeze_without_effect(built: Built):
    built.controls().trial(
        "layer:3", [2],
        **(FAILED | {
            "error_stage": "check", "error_type": "FreezeCheckFailed", "attempts": 1,
            "error_message": "the training step updates frozen variables: net/layer2/kernel",
        }),
    )  # fmt: skip
    found = explain(built.sweep(), "layer:3")
    assert kinds(found) == {"freeze_without_effect"}
    assert "updates frozen variables" in found.reasons[0].text
    assert found.parts == ()


def test_a_failed_trial_says_error_stage_and_log(built: Built, capsys):
    trial_id = built.controls().trial(
        "layer:3", [2],
        **(FAILED | {
            "error_stage": "measure", "error_type": "ResourceExhausted", "attempts": 2,
            "error_message": "out of device memory",
        }),
    )  # fmt: skip
    built.sweep()
    (built.folder / "logs").mkdir()
    (built.folder / "logs" / f"{trial_id}.log").write_text("OOM")
    found = explain(open_sweep(str(built.folder)), "layer:3")
    assert kinds(found) == {"failed"}
    assert found.log_path == f"logs/{trial_id}.log"
    assert main(["explain", str(built.folder), "layer:3"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Failed in stage measure after 2 attempts: ResourceExhausted: out of device" in said
    assert f"logs/{trial_id}.log" in said


EAGER = NO_TRACE | {
    "error_stage": "profile", "error_type": "RunsEagerly",
    "error_message": "the step runs eagerly. Compile it: leave run_eagerly=True out (m.py, line 5)",
}  # fmt: skip


def test_an_eager_step_is_told_to_be_compiled_and_nothing_else(built: Built):
    built.controls(**EAGER).trial("prefix:2", [0, 1], **EAGER)
    found = explain(built.sweep(), "prefix:2")
    reason = found.reason("runs_eagerly")
    assert reason is not None
    assert reason.text.startswith("the step runs eagerly. Step time and speedup hold")
    assert reason.advice == "Compile it: leave run_eagerly=True out (m.py, line 5)."
    assert not kinds(found) & {"no_trace", "no_baseline_profile"}
    assert found.forward_alone is None


def test_a_trial_without_a_trace_says_what_cannot_be_known(built: Built):
    built.controls().trial(
        "prefix:2", [0, 1],
        **(NO_TRACE | {
            "error_stage": "profile", "error_type": "NoTrace",
            "error_message": "reading kernels needs permission for the CUPTI counters.",
        }),
    )  # fmt: skip
    found = explain(built.sweep(), "prefix:2")
    reason = found.reason("no_trace")
    assert reason is not None
    assert reason.effect == "unknown"
    assert "CUPTI" in reason.text
    assert "cannot be known" in reason.text
    assert found.forward_alone is not None  # the baseline's profile is there
    assert found.speedup is not None
    assert all(part.trial_ns is None and part.baseline_ns for part in found.parts)


def test_without_a_profiled_control_there_is_no_forward_alone(built: Built):
    built.controls(**NO_TRACE).trial("prefix:2", [0, 1])
    found = explain(built.sweep(), "prefix:2")
    assert found.forward_alone is None
    assert "no_baseline_profile" in kinds(found)
    assert all(part.baseline_ns is None for part in found.parts)
    assert sum(part.trial_ns or 0 for part in found.parts) == found.step_ns
    assert "still_trains" in kinds(found)


def test_the_noise_is_that_of_the_trials_own_kind_of_device(built: Built):
    built.controls().trial("prefix:2", [0, 1])
    elsewhere = {"is_control": True, "replicate": 3, "device_kind": "Another CPU"}
    built.trial("none", (), speedup=1.4, **elsewhere)
    found = explain(built.sweep(), "prefix:2")
    assert found.noise_floor == pytest.approx(0.002, rel=0.1)
    assert found.verdict == "faster"
    assert "too_noisy" not in kinds(found)


def test_a_control_on_another_device_is_no_reference(built: Built):
    built.controls().trial("prefix:2", [0, 1], device_kind="Another CPU")
    found = explain(built.sweep(), "prefix:2")
    assert found.forward_alone is None
    assert "no_baseline_profile" in kinds(found)


def test_old_rows_without_busy_time_say_so(built: Built):
    built.controls(busy_ns=None).trial("prefix:2", [0, 1])
    found = explain(built.sweep(), "prefix:2")
    assert "waiting_not_recorded" in kinds(found)
    assert adds_up(found)


def test_a_control_is_explained_as_noise(built: Built):
    built.controls()
    found = explain(built.sweep(), "control 2")
    assert "control" in kinds(found)
    assert found.forward_alone is not None
    assert len(found.forward_alone.controls) == 2  # itself is no reference for itself
    assert {reason.effect for reason in found.reasons} == {"verdict", "remains"}


CELLS = st.dictionaries(
    st.builds(
        ProfileCell,
        layer=st.sampled_from([None, "a", "b"]),
        pass_=st.sampled_from(["forward", "activation_gradient", "weight_gradient", "other"]),
        exchange=st.booleans(),
    ),
    st.integers(0, 10**9),
    min_size=1,
).filter(lambda cells: sum(cells.values()) > 0)


WAITS = st.dictionaries(
    st.builds(ProfileCell, layer=st.sampled_from([None, "a"]), pass_=st.just("optimizer")),
    st.builds(Waits, wait_ns=st.integers(0, 10**9), calls=st.just(1.0), short_calls=st.just(1.0)),
)


@given(
    cells=st.lists(CELLS, min_size=1, max_size=3),
    step_ns=st.integers(1, 10**10),
    busy=st.floats(0, 2),
    data=st.data(),
)
def test_ledgers_add_up_to_the_step_whatever_the_profile(cells, step_ns, busy, data):
    row = row_of(
        step_ns=step_ns,
        busy_ns=data.draw(st.sampled_from([None, round(step_ns * busy)])),
        profiler_overhead=1.0,
    )
    ledgers = [
        step_ledger(
            StepProfile(
                row=row,
                cells=each,
                waits=data.draw(WAITS),
                devices=("/host:CPU",),
                layers=(),
            ),
            step_ns,
        )
        for each in cells
    ]
    for ledger in (*ledgers, mean_ledger(ledgers, step_ns)):
        assert sum(ledger.cells.values()) == step_ns
        assert min(ledger.cells.values()) >= 0
        if ledger.waits:
            assert sum(ledger.waits.values()) == ledger.cells[WAITING]
            assert min(ledger.waits.values()) >= 0


def test_every_trial_of_the_stored_sweep_is_explained(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    sweep = open_sweep(str(DATA))
    for trial_id, status in sweep.commits.items():
        found = explain(sweep, trial_id)
        assert found.status == status
        assert found.reasons
        assert status == "failed" or adds_up(found)
        assert main(["explain", str(DATA), trial_id]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80


def test_the_stored_suffix_is_held_up_by_the_gradient_that_flows_through_it():
    found = explain(open_sweep(str(DATA)), "suffix:2")
    reason = found.reason("gradient_flows_through")
    assert reason is not None
    assert "(conv2, dense), down to layer 1 (conv1)" in reason.text
    truncated = explain(open_sweep(str(DATA)), "prefix:2")
    assert truncated.reason("backward_ends") is not None
    assert truncated.reason("gradient_flows_through") is None


def test_json_holds_everything(capsys):
    assert main(["explain", str(DATA), "prefix:2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["policy"] == "prefix:2"
    assert sum(part["saved_ns"] for part in found["parts"]) == (
        found["baseline_step_ns"] - found["step_ns"]
    )
    assert all({"kind", "share_ns", "text", "figures"} <= set(one) for one in found["reasons"])
    assert found["forward_alone"]["speedup"] > found["speedup"] > 1


def test_an_unknown_trial_is_wrong_use(capsys):
    assert main(["explain", str(DATA), "prefx:2"]) == 2
    assert "Did you mean `prefix:2`?" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no trial"):
        explain(open_sweep(str(DATA)), "zzz")


def test_a_sweep_that_is_too_noisy_says_so_first_and_nothing_else_of_its_worth(built: Built):
    built.controls(speedups=(0.5, 1.0, 1.9)).trial("prefix:2", [0, 1], speedup=2.2)
    found = explain(built.sweep(), "prefix:2")
    assert found.verdict == "faster"  # 2.2 lies outside of 0.9
    assert found.reasons[0].kind == "too_noisy"
    assert "differ from it by up to 90%" in found.reasons[0].text
    built.trial("prefix:1", [0], speedup=1.5)
    found = explain(built.sweep(), "prefix:1")
    assert found.verdict == "no measurable difference"
    assert found.reasons[0].kind == "too_noisy"
    assert not {"within_noise", "freeze_without_effect"} & kinds(found)


def test_a_part_is_held_against_its_own_uncertainty_not_the_steps(built: Built):
    # Gradients and update of five of six layers are gone for sure, however noisy the step is.
    built.controls(speedups=(0.8, 1.0, 1.2)).trial("all_but_head", range(5), speedup=1.1)
    found = explain(built.sweep(), "all_but_head")
    assert found.verdict == "no measurable difference"
    assert found.reason("freeze_without_effect") is None
    assert {"backward_ends", "weight_gradients_gone"} <= kinds(found)


def test_advice_goes_further_than_the_trial(built: Built):
    costs = Chain(forward=20 * MS, dx=1, dw=1, update=1)
    built.chain = costs
    built.controls(speedups=(0.99, 1.0, 1.01))
    built.trial("prefix:2", [0, 1], speedup=1.001, ops=costs.ops())
    built.trial("layer:3", [2], speedup=1.001, ops=costs.ops())
    sweep = built.sweep()
    reason = explain(sweep, "prefix:2").reason("freeze_without_effect")
    assert reason is not None
    assert reason.advice.startswith("Freeze further than layer 2")
    reason = explain(sweep, "layer:3").reason("freeze_without_effect")
    assert reason is not None
    assert "beginning at the input" in reason.advice


def test_a_model_and_its_policy_name_a_trial(built: Built):
    built.controls().trial("prefix:2", [0, 1])
    sweep = built.sweep()
    assert explain(sweep, "net/prefix:2").policy == "prefix:2"
    assert explain(sweep, "prefix:2", model="net").policy == "prefix:2"
    with pytest.raises(UsageError, match="no model `ne`"):
        explain(sweep, "prefix:2", model="ne")


@pytest.mark.parametrize(
    ("asked", "device", "strategy", "may"),
    [
        ("auto", GPU, "single", False),  # Keras would have compiled it
        ("true", GPU, "single", False),
        ("true", "/host:CPU", "single", False),
        ("auto", "/host:CPU", "single", True),
        ("auto", GPU, "mirrored", True),
        ("false", GPU, "single", True),
    ],
)
def test_a_model_that_keras_refuses_to_compile_is_not_advised_to_be_compiled(
    asked: str, device: str, strategy: str, may: bool, tmp_path: Path
):
    built = Built(folder=tmp_path / "out", chain=Chain(device=device), waiting_ns=40 * MS)
    about = {"jit_compile": asked, "jit_resolved": False, "strategy": strategy}
    built.controls(**about)
    built.trial("prefix:2", [0, 1], **about)
    reason = explain(built.sweep(), "prefix:2").reason("host_bound")
    assert reason is not None
    assert ("jit_compile = true" in reason.advice) == may
    (group,) = summarise(built.sweep().trial_rows()).groups
    assert ("jit_compile = true" in group_answer(group)) == may
