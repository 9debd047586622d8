"""The estimate: it moves the way its reader expects."""

import dataclasses

import pytest

from frostline.facts.model_facts import LayerFacts, ModelFacts, VariableFacts
from frostline.plan.estimate import estimate
from frostline.plan.pace import CPU_FLOPS_PER_CORE
from frostline.plan.trials import plan_trials
from frostline.study.study import parse_study

GFLOP = 10**9


def facts(flops):
    names = ("a", "b", "c")
    return ModelFacts(
        name="m",
        layers=tuple(
            LayerFacts(
                name=name,
                index=index,
                kind="Dense",
                block=name,
                is_norm=False,
                variables=(
                    VariableFacts(
                        path=f"{name}/kernel",
                        layer=name,
                        name="kernel",
                        shape=(10, 10),
                        params=100,
                        is_bias=False,
                    ),
                ),
                upstream=names[:index],
                forward_flops=flops,
                uses=1,
            )
            for index, name in enumerate(names)
        ),
        untrainable_params=0,
        batch_size=16,
        build_s=0.5,
        trace_s=0.2,
    )


def estimated(flops=GFLOP, *, train="batch_size = [16]", measure="", resources="", workers=1):
    study = parse_study(
        'name = "s"\n[[model]]\nname = "m"\nbuilder = "x:y"\n'
        f'[train]\n{train}\n[freeze]\npolicies = ["layer:*"]\n'
        f"[measure]\n{measure}\n[resources]\n{resources}\n",
        check_builders=False,
    )
    known = {"m": facts(flops)}
    return estimate(plan_trials(study, known), known, study, workers=workers)


def test_more_work_takes_longer():
    base = estimated()
    assert base.groups[0].baseline_step_s == pytest.approx(3 * 3 * GFLOP / (2 * CPU_FLOPS_PER_CORE))
    assert 0 < base.low_s < base.high_s
    assert estimated(2 * GFLOP).low_s > base.low_s
    assert estimated(train="batch_size = [32]").high_s > base.high_s
    assert estimated(measure="max_pairs = 100").high_s > base.high_s
    assert estimated(measure="max_pairs = 100").low_s == base.low_s
    assert estimated(resources="gpus_per_trial = 1").low_s < base.low_s


def test_groups_side_by_side():
    train = 'batch_size = [16]\noptimizer = ["adam", "sgd"]'
    alone, shared = estimated(train=train), estimated(train=train, workers=2)
    assert shared.low_s == pytest.approx(alone.low_s / 2)
    assert estimated(train=train, workers=9).low_s == shared.low_s


def test_disk_follows_the_traces_that_stay():
    kept = [
        estimated(measure=f'keep_traces = "{which}"').disk_bytes
        for which in ("all", "anchors", "none")
    ]
    assert kept[0] > kept[1] > kept[2] > 0
    assert estimated(measure="profile_steps = 0").disk_bytes == kept[2]


def test_unknown_flops_are_said_and_not_guessed():
    unknown = estimated(None)
    assert unknown.groups[0].baseline_step_s is None
    assert any("no FLOP count is known for m" in line for line in unknown.assumptions)
    assert not any("no FLOP count" in line for line in estimated().assumptions)
    assert dataclasses.is_dataclass(unknown)
