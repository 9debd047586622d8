"""A speedup of the demo's model, held against `model.fit` and a clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from by_hand import fit_speedup

from frostline.measure.messages import InspectModel, OpenGroup
from frostline.policies import expand
from frostline.trial import MeasureSpec, ModelSpec, Setting, Trial

pytestmark = pytest.mark.tf


def test_a_measured_speedup_is_what_fit_shows(tmp_path: Path) -> None:
    from frostline.measure.baseline import WarmBaseline
    from frostline.measure.build import build
    from frostline.measure.inspect.answer import inspect_request
    from frostline.measure.layers import freeze
    from frostline.measure.synthetic import synthetic_batch

    model = ModelSpec(
        name="convnet",
        builder="frostline.models:small_convnet",
        kwargs_json=json.dumps({}),
        loss=None,
        metrics=(),
        data=None,
    )
    setting = Setting(
        batch_size=32, optimizer=None, precision="float32", jit_compile="auto", strategy="single"
    )
    measure = MeasureSpec(
        target_ci=0.05, min_pairs=5, max_pairs=10, profile_steps=0, keep_traces="none", seed=0
    )
    facts = inspect_request(
        InspectModel(model=model, setting=setting, seed=0, log_path="unused"), lambda stage: None
    ).facts
    frozen = expand("prefix:8", facts)[0].frozen_variables
    left = {v.layer for v in facts.variables if v.path not in frozen}
    trial = Trial(
        trial_id="convnet-prefix-8",
        study="s",
        model=model,
        setting=setting,
        policy="prefix:8",
        aliases=(),
        frozen_layers=tuple(layer.name for layer in facts.layers if layer.name not in left),
        frozen_variables=tuple(sorted(frozen)),
        frozen_params=0,
        total_params=facts.total_params,
        earliest_trainable_layer=8,
        is_control=False,
        replicate=0,
        anchor=None,
    )
    group = WarmBaseline(
        OpenGroup(model=model, setting=setting, measure=measure, log_path="unused"),
        lambda stage: None,
    )
    measured = group.run(trial, tmp_path)
    group.close()

    def make() -> Any:
        return build(model, setting, seed=0)[0]

    by_hand = fit_speedup(
        make,
        lambda built: freeze(built, frozen),
        synthetic_batch(make(), 32, seed=0),
        steps=10,
        rounds=8,
    )
    # Generous: this must never fail on a busy machine. The speedup is about 2.9; a freeze without
    # effect on one of the two sides, or a step without its backward pass, would be further off.
    assert 0.5 < measured.speedup / by_hand.speedup < 2
    assert 0.25 < measured.step_ns / by_hand.frozen_step_ns < 4
    assert 0.25 < measured.baseline_step_ns / by_hand.baseline_step_ns < 4
