"""Two sweeps side by side: verdicts, the gate, what is matched with what."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from compare_kit import NOISY, QUIET, TRUE, Noise, contents, drawn, rows, written
from hypothesis import given
from hypothesis import strategies as st

import frostline
from frostline.cli import main
from frostline.comparison import Comparison
from frostline.comparison.compare import compare_contents
from frostline.comparison.order import order
from frostline.comparison.ratio import Measured, Scatter, ratio
from frostline.comparison.verdict import gate_code, judge, parse_gate
from frostline.errors import UsageError

SEEDS = 100
LOWER = {"prefix_4": 0.95}


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def compared(a: list[dict], b: list[dict], gate: float | None = 0.03, **options) -> Comparison:
    return compare_contents(contents(a, "A"), contents(b, "B"), gate=gate, **options)


def again(seed: int, noise: Noise = QUIET, factor: float = 1.0, gate: float = 0.03) -> Comparison:
    """A sweep, and another one whose `prefix:4` has its speedup times a factor."""
    return compare_contents(drawn(seed, noise), drawn(1000 + seed, noise, factor), gate=gate)


def verdict_of(found: Comparison, policy: str) -> str | None:
    (group,) = found.groups
    (one,) = (each for each in group.configurations if each.policy == policy)
    return one.speedups.verdict if one.speedups else None


# ---- Statistics


def test_equal_sweeps_are_the_same():
    ends = [again(seed) for seed in range(SEEDS)]
    fine = [each for each in ends if each.exit_code == 0 and each.counts()["same"] == len(TRUE)]
    assert len(fine) >= 95


def test_a_trial_that_lost_five_per_cent_is_slower_and_no_other_is():
    fine = 0
    for seed in range(SEEDS):
        found = again(seed, factor=0.95)
        fine += (
            found.exit_code == 1
            and verdict_of(found, "prefix:4") == "slower"
            and found.counts()["slower"] == 1
        )
    assert fine >= 95


def test_a_trial_that_gained_five_per_cent_is_faster_and_passes():
    fine = 0
    for seed in range(SEEDS):
        found = again(seed, factor=1.055)
        fine += found.exit_code == 0 and verdict_of(found, "prefix:4") == "faster"
    assert fine >= 95


def test_noisy_sweeps_cannot_tell():
    fine = 0
    for seed in range(SEEDS):
        found = again(seed, NOISY, 0.95)
        fine += found.exit_code == 3 and found.counts()["cannot tell"] == len(TRUE)
    assert fine >= 95


@pytest.mark.parametrize(
    "noise",
    [
        Noise(pair=0.02, trial=0.0),
        Noise(pair=0.001, trial=0.02),
        Noise(pair=0.001, trial=0.001, sweep=0.02),
    ],
    ids=["of the pairs", "of the trials", "of the whole sweep"],
)
def test_unchanged_programs_fail_a_tiny_gate_in_one_of_twenty_at_most(noise: Noise):
    failed = sum(again(seed, noise, gate=0.001).exit_code == 1 for seed in range(SEEDS))
    assert failed <= 5


def test_a_change_beyond_the_gate_never_passes_it_unseen():
    """One that is lower by just more than the gate passes in one of twenty at most."""
    passed = 0
    for seed in range(SEEDS):
        found = again(seed, factor=0.968)
        passed += found.exit_code == 0
    assert passed <= 5


POSITIVE = st.floats(0.05, 20)
NARROW = st.floats(0, 0.3)


@given(POSITIVE, POSITIVE, NARROW, NARROW, st.floats(0, 0.2), st.integers(1, 500))
def test_a_ratio_lies_in_its_intervals_and_turns_with_its_sides(a, b, wide_a, wide_b, rms, judged):
    one = Measured(value=a, low=a * (1 - wide_a), high=a * (1 + wide_a))
    other = Measured(value=b, low=b * (1 - wide_b), high=b * (1 + wide_b))
    noise = (Scatter(rms=rms, freedom=3), Scatter(rms=rms / 2, freedom=1))
    found = ratio(one, other, noise, judged=judged)
    back = ratio(other, one, (noise[1], noise[0]), judged=judged)
    ends = (found.joint_low, found.low, found.value, found.high, found.joint_high)
    assert list(ends) == pytest.approx(sorted(ends))
    assert found.value == pytest.approx(b / a)
    assert 1 / back.value == pytest.approx(found.value)
    assert 1 / back.high == pytest.approx(found.low)
    assert judge(found, 0.03).verdict in ("same", "faster", "slower", "cannot tell")


def test_one_ratio_is_judged_by_its_own_interval():
    one = Measured(value=2.0, low=1.98, high=2.02)
    still = Scatter(rms=0.0, freedom=3)
    found = ratio(one, one, (still, still), judged=1)
    assert (found.joint_low, found.joint_high) == (found.low, found.high)
    assert found.high - 1 == pytest.approx(0.0142, abs=2e-4)  # 1% twice, squares added


@pytest.mark.parametrize(("text", "share"), [("3%", 0.03), ("0.03", 0.03), (" 0.5 % ", 0.005)])
def test_a_gate_is_a_share(text: str, share: float):
    assert parse_gate(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["3", "0", "-3%", "100%", "nan", "three", "", "%"])
def test_other_gates_are_refused(text: str):
    with pytest.raises(UsageError, match=r"as in 3% or 0\.03"):
        parse_gate(text)


def test_no_judgement_is_a_passed_gate():
    assert gate_code([]) == 0


# ---- What is matched with what


def test_configurations_are_matched_by_what_they_freeze():
    """`prefix:1` of one study may be `layer:1` of the other; a policy may freeze something else."""
    a, b = rows(1), rows(2)
    for row in b:
        if row["policy"] == "prefix:1":
            row["policy"] = "layer:1"
        if row["policy"] == "suffix:4":
            row["frozen_variables"] = ["net/conv4/kernel"]
    (group,) = compared(a, b).groups
    both = {one.policy: one for one in group.configurations}
    assert both["prefix:1"].b is not None
    assert both["prefix:1"].b.policy == "layer:1"
    assert [one.policy for one in group.only_a] == ["suffix:4"]
    assert [one.policy for one in group.only_b] == ["suffix:4"]
    assert all(one.speedups is None for one in (*group.only_a, *group.only_b))


def test_machines_may_differ_and_are_named():
    a = rows(1)
    b = [row | {"device_kind": "GPU", "host": "far", "jit_resolved": True} for row in rows(2)]
    found = compared(a, b)
    assert found.exit_code == 0
    assert found.groups[0].notes == ("device Test CPU (A), GPU (B)", "XLA off (A), on (B)")


def test_the_model_s_own_optimizer_is_called_so():
    (group,) = compared(rows(1), [row | {"optimizer": None} for row in rows(2)], gate=None).groups
    assert group.differences == ("optimizer adam (A), the model's own optimizer (B)",)


def test_other_settings_are_not_judged_but_ordered():
    b = [row | {"batch_size": 64} for row in rows(2)]
    found = compared(rows(1), b, gate=None)
    (group,) = found.groups
    assert group.differences == ("batch size 16 (A), 64 (B)",)
    assert found.judgements == ()
    assert group.order is not None
    assert (group.order.reversed, group.order.configurations) == (0, len(TRUE))
    assert group.order.same > 20
    with pytest.raises(UsageError, match="nothing to judge"):
        compared(rows(1), b)


def test_settings_go_with_their_like_and_others_are_named():
    def several(seed: int, sizes: tuple[int, ...]) -> list[dict]:
        return [
            row | {"batch_size": size, "trial_id": f"{row['trial_id']}-{size}"}
            for size in sizes
            for row in rows(seed + size)
        ]

    found = compared(several(1, (8, 16, 32)), several(2, (16, 64, 128)))
    assert [group.title for group in found.groups] == [
        "net, batch size 16, adam, float32, jit_compile auto"
    ]
    assert [title.split(", ")[1] for title in found.only_a] == ["batch size 8", "batch size 32"]
    assert [title.split(", ")[1] for title in found.only_b] == ["batch size 64", "batch size 128"]


def with_variant(of: list[dict], variant: str) -> list[dict]:
    """The rows, and the same trials of a variant, which has no controls of its own."""
    varied = [
        row | {"variant": variant, "trial_id": f"{row['trial_id']}-{variant}"}
        for row in of
        if not row["is_control"]
    ]
    whole = of[0] | {"variant": variant, "trial_id": f"net-{variant}", "is_control": False}
    return [*of, *varied, whole]


def test_a_variant_is_compared_with_itself_and_held_against_the_plain_controls():
    found = compared(with_variant(rows(1), "lora4"), with_variant(rows(2), "lora4"))
    plain, lora = found.groups
    assert (plain.model, lora.model) == ("net", "net@lora4")
    assert (plain.a.controls, lora.a.controls) == (3, 3)
    assert [one.policy for one in lora.configurations if not one.frozen_fraction] == ["none"]
    assert len(lora.configurations) == len(plain.configurations) + 1
    assert found.exit_code == 0


def test_another_variant_is_named_and_not_compared():
    found = compared(with_variant(rows(1), "lora4"), with_variant(rows(2), "lora8"))
    assert [group.model for group in found.groups] == ["net"]
    assert "variant lora4" in found.only_a[0]
    assert "variant lora8" in found.only_b[0]


def failed(row: dict) -> dict:
    nothing = dict.fromkeys(("speedup", "speedup_low", "speedup_high", "step_ns"))
    return row | nothing | {
        "status": "failed", "error_stage": "measure", "error_type": "OOM", "error_message": "full",
    }  # fmt: skip


def test_what_b_failed_to_measure_cannot_be_told_and_what_a_failed_is_not_judged():
    hit = [failed(row) if row["policy"] == "prefix:2" else row for row in rows(2)]
    found = compared(rows(1), hit)
    assert found.exit_code == 3
    assert verdict_of(found, "prefix:2") == "cannot tell"
    assert "failed in measure: OOM: full" in str(found.judgements)
    back = compared(hit, rows(1))
    assert back.exit_code == 0
    assert verdict_of(back, "prefix:2") is None


def test_without_a_control_nothing_can_be_told():
    b = [row for row in rows(2) if not row["is_control"]]
    found = compared(rows(1), b)
    assert found.exit_code == 3
    assert {each.reason for each in found.judgements} == {
        "no control was measured in B, so its noise is not known"
    }


# ---- Step times


def paced(of: list[dict], pace: float = 1.0, drift: float = 0.0, seed: int = 5) -> list[dict]:
    """The rows with step times of a machine at this pace, the baseline's drifting."""
    import numpy as np

    rng = np.random.default_rng(seed)
    found = []
    for row in of:
        now = pace * np.exp(rng.normal(0, drift))
        steps = {
            "baseline_step_ns": round(42_000_000 / now),
            "step_ns": round(42_000_000 / now / row["speedup"]),
        }
        found.append(row | steps)
    return found


def test_a_slower_program_shows_in_step_times_alone():
    a, b = paced(rows(1), drift=0.001), paced(rows(2), pace=0.9, drift=0.001, seed=6)
    assert compared(a, b).exit_code == 0
    found = compared(a, b, gate_steps=True)
    assert found.exit_code == 1
    (group,) = found.groups
    assert group.baseline is not None
    assert group.baseline.verdict == "slower"
    assert {one.steps.verdict for one in group.configurations if one.steps} == {"slower"}
    assert {one.speedups.verdict for one in group.configurations if one.speedups} == {"same"}


def test_step_times_of_a_drifting_machine_cannot_tell():
    a, b = paced(rows(1), drift=0.1), paced(rows(2), pace=0.9, drift=0.1, seed=6)
    assert compared(a, b, gate_steps=True).exit_code == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"host": "other"}, r"hosts quiet \(A\), other \(B\)"),
        ({"device_kind": "GPU"}, r"devices Test CPU \(A\), GPU \(B\)"),
        ({"host": None}, "hosts quiet"),
    ],
)
def test_step_times_of_other_devices_and_hosts_are_refused(change, said):
    b = [row | change for row in rows(2)]
    with pytest.raises(UsageError, match=said):
        compared(rows(1), b, gate_steps=True)


# ---- Order


def test_an_order_is_clear_where_intervals_part_and_noise_does_not_explain_it():
    def point(value: float, width: float = 0.01) -> Measured:
        return Measured(value=value, low=value * (1 - width), high=value * (1 + width))

    both = [(point(1), point(1)), (point(2), point(0.5)), (point(3), point(3))]
    found = order(both, 0.02, 0.02)
    assert (found.pairs, found.same, found.reversed, found.close) == (3, 2, 1, 0)
    assert order(both, 0.6, 0.02).pairs == 2  # 3 and 2 differ by 50%
    assert order(both, 0.02, 5.0).close == 3
    wide = [(point(1, 0.6), point(1)), (point(2, 0.6), point(1))]
    assert order(wide, None, None).pairs == 0


# ---- The command


def test_the_exits_of_the_command(tmp_path: Path, capsys):
    a = written(tmp_path / "a", rows(1))
    for name, seed, noise, changed, code, said in (
        ("equal", 2, QUIET, {}, 0, "passed"),
        ("slowed", 3, QUIET, LOWER, 1, "failed. Lower in B: prefix:4 (-"),
        ("noisy", 4, NOISY, LOWER, 3, "cannot tell"),
    ):
        b = written(tmp_path / name, rows(seed, noise, **changed))
        assert main(["compare", a, b, "--gate", "3%"]) == code
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        assert said in " ".join(lines)
        assert main(["compare", a, b, "--gate", "3%", "--json"]) == code
        found = json.loads(capsys.readouterr().out)
        assert found["gate"]["exit_code"] == code
        assert sum(found["verdicts"].values()) == len(TRUE)
        assert main(["compare", a, b, "--gate", "3%", "--markdown"]) == code
        assert said.split(" (")[0] in capsys.readouterr().out


def test_the_library_takes_paths_and_open_sweeps(tmp_path: Path):
    a, b = written(tmp_path / "a", rows(1)), written(tmp_path / "b", rows(2, **LOWER))
    found = frostline.compare(a, frostline.open_sweep(b), gate="3%")
    assert found.exit_code == frostline.compare(a, b, gate=0.03).exit_code == 1
    assert repr(found).startswith("<Comparison ")
    assert "slower 1" in repr(found)
    assert "prefix:4" in found._repr_html_()


def test_versions_that_differ_are_named(tmp_path: Path, capsys):
    a = written(tmp_path / "a", rows(1))
    b = written(tmp_path / "b", rows(2), {"tensorflow": "2.22.0"})
    assert main(["compare", a, b]) == 0
    assert "tensorflow 2.21.0 (A), 2.22.0 (B)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gate", "3"], "as in 3% or 0.03"),
        (["--json", "--markdown"], "one of them"),
        (["--model", "nett"], "neither sweep has a model `nett`"),
    ],
)
def test_mistakes_are_two(arguments: list[str], said: str, tmp_path: Path, capsys):
    a, b = written(tmp_path / "a", rows(1)), written(tmp_path / "b", rows(2))
    assert main(["compare", a, b, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_markdown_shows_foreign_names_as_text(tmp_path: Path, capsys):
    evil = "regex:<img src=x>|`a`|[x](javascript:y)"

    def named(of: list[dict]) -> list[dict]:
        return [row | {"policy": evil} if row["policy"] == "prefix:3" else row for row in of]

    a, b = written(tmp_path / "a", named(rows(1))), written(tmp_path / "b", named(rows(2)))
    assert main(["compare", a, b, "--markdown"]) == 0
    text = capsys.readouterr().out
    assert "<img" not in re.sub(r"\\<", "", text)
    (line,) = (line for line in text.splitlines() if "img" in line)
    assert len(re.findall(r"(?<!\\)\|", line)) == 8
