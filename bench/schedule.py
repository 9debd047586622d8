"""A schedule's predicted total against one run of it: `python bench/schedule.py STUDY --out OUT`.

Runs the study (resuming what is there), predicts the time of its schedule under [freeze] with the
examples and epochs of [run], and then runs it once in plain Keras: `fit`, epoch by epoch, with the
layers frozen and the model compiled anew at each change. Beside each of its epochs one epoch of the
same model with nothing frozen is fitted, because machines drift: what is compared is the ratio of
the two totals, compiling included in both. The target is 3%.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from plain_fit import PlainRun

from frostline.analyse.groups import noise_floor
from frostline.billing.bill import steps_per_epoch
from frostline.policies import expand
from frostline.prediction import predict_schedule, sort_groups
from frostline.store.sweep import open_sweep
from frostline.study.study import load_study
from frostline.sweep.run import run_sweep
from frostline.words import floor


def main() -> int:
    """Predict, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    study = load_study(arguments.study)
    run_sweep(study, str(arguments.out))
    sweep = open_sweep(str(arguments.out))
    (cost, *_), _ = predict_schedule(sweep)
    group = next(each for each in sort_groups(sweep)[0] if each.key == cost.key)
    spec = study.model_specs()[0]
    runs = {name: PlainRun(spec, cost.key.setting) for name in ("schedule", "nothing frozen")}
    runs["nothing frozen"].freeze(())
    per_epoch = steps_per_epoch(study.run.examples or 0, cost.key.setting.batch_size)
    totals = dict.fromkeys(runs, 0.0)
    for stage in cost.stages:
        (one,) = expand(
            stage.policy, group.facts, granularity=study.freeze.granularity, seed=study.seed
        )
        runs["schedule"].freeze(one.frozen_variables)
        took = dict.fromkeys(runs, 0.0)
        for epoch in range(stage.epochs):
            for name in sorted(runs, reverse=bool(epoch % 2)):
                took[name] += runs[name].seconds(per_epoch)
        totals = {name: totals[name] + took[name] for name in runs}
        said = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items())
        print(f"{stage.policy}, {stage.epochs} epochs: {said}")
    measured = totals["nothing frozen"] / totals["schedule"]
    error = cost.speedup / measured - 1
    print(
        f"predicted {cost.total_s:.2f} s of {cost.nothing_frozen_s:.2f} s ({cost.speedup:.3f}x), "
        f"measured {totals['schedule']:.2f} s of {totals['nothing frozen']:.2f} s "
        f"({measured:.3f}x): off by {error:+.1%}; noise floor {floor(noise_floor(group.controls))}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
