"""Variants of a model: what a study says, which trials it comes to, and what is made of them."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from built_trials import MS, Built, Chain
from predict_kit import LORA, PLAIN, varied_world, with_lora, world_facts

from frostline.analyse import summarise, variant_comparisons
from frostline.analyse.groups import GroupKey, noise_floors
from frostline.analyse.lookup import baseline_of
from frostline.comparison import compare
from frostline.difference import diff
from frostline.errors import StudyError
from frostline.explanation import explain
from frostline.plan.estimate import estimate
from frostline.plan.trials import plan_trials
from frostline.prediction import predict, write_predictions
from frostline.schedule.chunks import chunks_of
from frostline.store.sweep import open_sweep
from frostline.study.study import parse_study


def study(variants: str = LORA):
    return parse_study(PLAIN.replace("{variants}", variants), check_builders=False)


def test_a_variant_is_read_and_everything_else_stays_as_it_was():
    found = study()
    plain, low = found.model_specs()
    assert (plain.variant, low.name, low.plain_name) == (None, "net@low", "net")
    assert low.variant.lora.rank == 4
    assert low.variant.lora.layers == ("l1",)
    assert low.plain == plain
    assert "variant" not in plain.identity
    assert low.identity["variant"]["lora"]["alpha"] == 8.0
    assert study("").digest == study("# nothing").digest != found.digest


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ('name = "a"\nlorra = { rank = 4 }', "Did you mean `lora`"),
        ('name = "a"\nlora = { ranks = 4 }', "Did you mean `rank`"),
        ('name = "a"\nlora = { rank = 0 }', "at least 1"),
        ('name = "a"\nquantize = "int9"', "`int8`"),
        ('name = "a"\nremat = { mode = "activation" }', "`activations`"),
        ('name = "a"\nremat = { mode = "list_of_layers" }', "`layers`"),
        ('name = "a"\nremat = { mode = "full", layers = ["x"] }', "`layers`"),
        ('name = "a"', "nothing that differs"),
        ('name = "a@b"\nquantize = "int8"', "letters"),
    ],
)
def test_what_is_wrong_with_a_variant_is_named(variant: str, said: str):
    with pytest.raises(StudyError, match=said):
        study(f"[[model.variant]]\n{variant}\n")


def test_two_variants_of_a_model_have_two_names():
    with pytest.raises(StudyError, match="has this name already"):
        study(LORA + LORA)


def test_variants_have_anchors_of_their_own_and_the_plain_models_controls():
    known = {"net": world_facts(), "net@low": with_lora()}
    plan = plan_trials(study(), known)
    alone = plan_trials(study(""), {"net": known["net"]})
    assert {each.trial_id for each in alone.trials} == {
        each.trial_id for each in plan.trials if each.variant is None
    }
    (group,) = plan.groups
    assert group.model.variant is None
    varied = [each for each in group.trials if each.variant == "low"]
    assert {each.model.plain for each in varied} == {group.model}
    assert [each.anchor for each in varied[:3]] == ["trainable", "pruned", "pass_through"]
    assert not any(each.is_control for each in varied)
    assert sum(each.is_control for each in group.trials) == 3
    assert "all_but_lora" in {each.policy for each in varied}
    assert "all_but_lora" not in {each.policy for each in group.trials if each.variant is None}


@pytest.mark.parametrize("slots", [1, 2, 4, 8])
def test_the_time_of_a_plan_counts_leases_that_begin_with_a_variant(slots: int):
    known = {"net": world_facts(), "net@low": with_lora()}
    asked = study()
    plan = plan_trials(asked, known)
    leases = [chunk.trials for chunk in chunks_of(plan.groups, done=(), slots=slots, most=200)]
    assert slots < 4 or any(lease[0].variant for lease in leases)
    found = estimate(plan, known, asked, workers=slots, leases=leases)
    assert 0 < found.low_s < found.high_s


def test_a_policy_that_freezes_all_of_a_variant_is_skipped_there():
    text = PLAIN.replace("{variants}", LORA).replace('"prefix:2"', '"regex:l[12]"')
    known = {"net": world_facts(), "net@low": replace(with_lora(), layers=with_lora().layers[1:3])}
    known["net@low"] = replace(
        known["net@low"], layers=tuple(replace(e, upstream=()) for e in known["net@low"].layers)
    )
    plan = plan_trials(parse_study(text, check_builders=False), known)
    assert any("freezes all 2 layers of model `net@low`" in notice for notice in plan.notices)


FASTER = 0.8


def _world(folder: Path) -> Path:
    """A variant of which every op takes 0.8 of what it takes in the plain model."""
    return varied_world(folder, FASTER)


def test_each_variant_is_predicted_from_its_own_anchors_against_the_plain_baseline(tmp_path: Path):
    folder = _world(tmp_path / "out")
    plain, low = predict(str(folder), ["prefix:2", "prefix:4"]).groups
    assert (plain.key.variant, low.key.variant) == (None, "low")
    assert low.key.plain == plain.key
    for one, other in zip(plain.answers, low.answers, strict=True):
        assert other.predicted_speedup == pytest.approx(one.predicted_speedup / FASTER, rel=1e-3)
    assert low.noise_floor == plain.noise_floor is not None
    assert low.answers[0].measured_speedup == pytest.approx(low.answers[0].predicted_speedup, 0.01)


def test_naive_predictors_say_nothing_of_variants(tmp_path: Path):
    folder = _world(tmp_path / "out")
    write_predictions(open_sweep(str(folder)))
    found = duckdb.sql(
        f"""SELECT t.variant, count(DISTINCT p.predictor), max(abs(p.predicted_speedup
            / p.measured_speedup - 1)) FILTER (p.predictor = 'three_anchor')
        FROM '{folder}/tables/predictions/*.parquet' p
        JOIN '{folder}/tables/trials/*.parquet' t USING (trial_id) GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    (low, low_count, low_error), (plain, plain_count, _) = found
    assert (low, low_count, plain) == ("low", 1, None)
    assert plain_count > 1
    assert low_error < 0.01


def test_one_table_holds_the_plain_model_and_its_variants(tmp_path: Path):
    folder = _world(tmp_path / "out")
    write_predictions(open_sweep(str(folder)))
    rows = open_sweep(str(folder)).trial_rows()
    (compared,) = variant_comparisons(summarise(rows).groups)
    speedups = [row.speedup for row in compared.rows]
    assert speedups == sorted(speedups, reverse=True)
    assert {row.variant for row in compared.rows} == {None, "low"}
    assert [name for name, _ in compared.errors] == ["plain", "low"]
    assert all(error.mean_abs < 0.01 for _, error in compared.errors)
    floors = noise_floors(rows)
    assert len(set(floors.values())) == 1
    assert floors.keys() == {row.trial_id for row in rows}
    assert [cell for cell in compared.cells() if cell[0] == "low: none"]


@pytest.fixture
def built(tmp_path: Path) -> Built:
    chain = Chain(kinds=("Dense",) * 4)
    return Built(folder=tmp_path / "out", chain=chain).controls()


def _graph(chain: Chain, *, merged: bool) -> list[dict]:
    """Gradient ops of A and B in the first two layers, by way of the kernel's or without it."""
    found = []
    for name in chain.names[:2]:
        a, b = f"{name}/lora_kernel_a", f"{name}/lora_kernel_b"
        needs = {"both": [a, b], "a": [a], "b": [b]} if merged else {"a": [a], "b": [b]}
        found += [
            {
                "op_name": f"{name}/{op}", "op_type": "MatMul", "layer": name,
                "pass": "weight_gradient", "needed_by": needed,
            }
            for op, needed in needs.items()
        ]  # fmt: skip
    return found


def _ops(chain: Chain, graph: list[dict], ns: dict[str, int]) -> list[dict]:
    kept = [op for op in chain.ops() if op["layer"] in chain.names[2:]]
    kept += [op for op in chain.ops() if op["layer"] in chain.names[:2]]
    kept = [
        op
        for op in kept
        if not (op["pass"] == "weight_gradient" and op["layer"] in chain.names[:2])
    ]
    for op in graph:
        name = op["op_name"]
        took = ns[name.rpartition("/")[2]]
        kept.append(
            chain.op(op["layer"], "weight_gradient", "MatMul", took, op_name=name, graph_op=name)
        )
    return kept


FULL_SIZE = """
SELECT sum(o.ns_per_step)
FROM '{folder}/tables/op_costs/*.parquet' AS o
JOIN '{folder}/tables/graph_ops/*.parquet' AS g
    ON g.trial_id = o.trial_id AND g.op_name = o.graph_op
WHERE o.trial_id = '{trial}' AND o.pass = 'weight_gradient' AND g.op_type = 'MatMul'
    AND len(list_filter(g.needed_by, lambda path: path LIKE '%/lora_%')) > 1
"""


def _reason(explanation, kind: str):
    return next(each for each in explanation.reasons if each.kind == kind)


def test_a_merged_kernel_is_named_with_the_time_of_its_weight_product(built: Built):
    graph = _graph(built.chain, merged=True)
    ops = _ops(built.chain, graph, {"both": 2 * MS, "a": MS // 4, "b": MS // 4})
    trial = built.trial("none", (), ops=ops, graph=graph, variant="low", total_params=40)
    found = explain(built.sweep(), trial)
    reason = _reason(found, "lora_full_product")
    figures = {each.name: each.value for each in reason.figures}
    ((in_tables,),) = duckdb.sql(FULL_SIZE.format(folder=built.folder, trial=trial)).fetchall()
    assert figures["profiled full-size products"] == in_tables == 4 * MS
    assert figures["layers with full-size products"] == 2
    assert reason.share_ns == 4 * MS
    assert figures["trial dW of layers with LoRA"] == 5 * MS
    assert figures["baseline dW of layers with LoRA"] == 4 * MS
    assert "4.00 ms" in reason.text
    assert "lora_low_rank" not in {each.kind for each in found.reasons}
    assert found.parts[-1].kind != "waiting" or found.step_ns  # the step still adds up
    assert sum(part.trial_ns or 0 for part in found.parts) == found.step_ns


def test_a_quantised_kernel_takes_the_low_rank_way(built: Built):
    graph = _graph(built.chain, merged=False)
    ops = _ops(built.chain, graph, {"a": MS // 4, "b": MS // 4})
    trial = built.trial("none", (), ops=ops, graph=graph, variant="low8", total_params=40)
    found = explain(built.sweep(), trial)
    reason = _reason(found, "lora_low_rank")
    ((in_tables,),) = duckdb.sql(FULL_SIZE.format(folder=built.folder, trial=trial)).fetchall()
    assert in_tables is None
    assert reason.share_ns == 4 * MS - MS
    assert "lora_full_product" not in {each.kind for each in found.reasons}


def test_a_variant_is_found_by_its_name_and_its_policy(built: Built):
    graph = _graph(built.chain, merged=True)
    ops = _ops(built.chain, graph, {"both": 2 * MS, "a": MS // 4, "b": MS // 4})
    built.trial("prefix:1", [0])
    trial = built.trial("prefix:1", [0], ops=ops, graph=graph, variant="low", replicate=9)
    sweep = built.sweep()
    assert explain(sweep, "low: prefix:1").trial_id == trial
    assert explain(sweep, "prefix:1").trial_id != trial
    assert explain(sweep, trial).setting.startswith("net variant low, ")


def test_a_variant_s_baseline_is_a_control_of_its_plain_model(built: Built):
    graph = _graph(built.chain, merged=True)
    ops = _ops(built.chain, graph, {"both": 2 * MS, "a": MS // 4, "b": MS // 4})
    trial = built.trial("none", (), ops=ops, graph=graph, variant="low", replicate=9)
    found = diff(built.sweep(), "baseline", "low: none", clock="profiled")
    assert (found.a.policy, found.b.trial_id) == ("control 1", trial)
    assert found.change_ns == 2 * (2 * MS + 2 * (MS // 4) - 2 * MS)
    rows = built.sweep().trial_rows()
    assert baseline_of(rows, None).policy == "none", "one model has one, whatever its variants"


def test_a_full_product_that_left_no_event_is_there_all_the_same(built: Built):
    graph = _graph(built.chain, merged=True)
    ops = _ops(built.chain, graph, {"both": 0, "a": MS // 4, "b": MS // 4})
    seen = [op for op in ops if not op["op_name"].endswith("/both")]
    trial = built.trial("none", (), ops=seen, graph=graph, variant="low", total_params=40)
    found = explain(built.sweep(), trial)
    reason = _reason(found, "lora_full_product")
    assert reason.share_ns is None
    assert "what that takes was not observed" in reason.text
    assert "profiled full-size products" not in {each.name for each in reason.figures}
    assert "lora_low_rank" not in {each.kind for each in found.reasons}


def test_groups_of_variants_come_after_their_plain_model():
    setting = plan_trials(study(""), {"net": world_facts()}).trials[0].setting
    keys = [GroupKey(model="net", setting=setting, variant=name) for name in ("b", None, "a")]
    assert [key.variant for key in sorted(keys)] == [None, "a", "b"]


def test_two_sweeps_compare_each_variant_with_its_own(tmp_path: Path):
    one, other = (_world(tmp_path / name) for name in ("a", "b"))
    found = compare(str(one), str(other))
    assert [group.model for group in found.groups] == ["net", "net@low"]
    assert not any(group.differences for group in found.groups)
    assert {each.policy for each in found.groups[1].configurations} >= {"none", "prefix:2"}
    text = (other / "study.toml").read_text().replace("rank = 4", "rank = 8")
    (other / "study.toml").write_text(text)
    plain, low = compare(str(one), str(other)).groups
    assert not plain.differences
    assert "rank 8" in " ".join(low.differences)


REMAT = """
name = "demo"
[[model]]
name    = "net"
builder = "models:net"
[[model.variant]]
name  = "thrifty"
remat = { mode = "activations" }
[[model.variant]]
name = "low"
lora = { rank = 4 }
[freeze]
policies = ["norms"]
"""


@pytest.mark.parametrize(
    ("dx_ms", "said"),
    [(3, "take 3.00 ms longer"), (2, "as long as in the plain model"), (1, "3.00 ms shorter")],
)
def test_what_is_recomputed_costs_time(built: Built, dx_ms: int, said: str):
    ops = replace(built.chain, dx=dx_ms * MS).ops()
    thrifty = built.trial("none", (), ops=ops, variant="thrifty", replicate=8)
    low = built.trial("none", (), ops=ops, variant="low", replicate=9)
    sweep = built.sweep()
    (built.folder / "study.toml").write_text(REMAT)
    reason = _reason(explain(sweep, thrifty), "recomputed")
    before, after = (each.value for each in reason.figures)
    assert (before, reason.share_ns) == (22 * MS, before - after)
    assert said in reason.text
    assert "recomputed" not in {each.kind for each in explain(sweep, low).reasons}
