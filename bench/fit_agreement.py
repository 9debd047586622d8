"""Does a sweep agree with `model.fit`? `python bench/fit_agreement.py OUT [POLICY ...]`.

OUT is a finished sweep of studies/demo.toml. For each policy, the same configuration is built again
and timed through `fit`, baseline and frozen in turn; both medians are printed with their intervals,
and whether they overlap.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from by_hand import fit_speedup

from frostline.measure.pairing import estimate
from frostline.store.sweep import open_sweep
from frostline.trial import ModelSpec, Setting

ROUNDS = 25
STEPS = 20


def main(out: str, *policies: str) -> int:
    """Compare, print, and say how many agree."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from frostline.measure.device import configure_threads

    configure_threads()
    from frostline.measure.build import build
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

    def make() -> Any:
        return build(model, setting, seed=0)[0]

    batch = synthetic_batch(make(), 32, seed=0)
    agree = 0
    asked = policies or ("prefix:4", "prefix:8", "suffix:6", "norms")
    rows = {row.policy: row for row in open_sweep(out).trial_rows()}
    for policy in asked:
        row = rows[policy]
        by_hand = fit_speedup(
            make,
            lambda built, row=row: freeze(built, row.frozen_variables),
            batch,
            steps=STEPS,
            rounds=ROUNDS,
        )
        fit = estimate(by_hand.ratios)
        low, high = row.speedup_low or 0.0, row.speedup_high or 0.0
        inside = low <= fit.speedup <= high
        overlap = low <= fit.high and fit.low <= high
        agree += overlap
        print(
            f"{policy:12s} frostline {row.speedup:.3f} [{low:.3f}, {high:.3f}]  "
            f"fit {fit.speedup:.3f} [{fit.low:.3f}, {fit.high:.3f}]  "
            f"{'inside' if inside else 'intervals overlap' if overlap else 'APART'}; "
            f"step of fit / step of Frostline, baseline beside it: "
            f"{by_hand.baseline_step_ns / (row.baseline_step_ns or 1):.2f}",
            flush=True,
        )
    print(f"{agree} of {len(asked)} agree")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
