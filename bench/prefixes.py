"""Knowing the speedup of every prefix of ResNet50: `python bench/prefixes.py [--measured N]`.

Three ways, on this machine, one after the other:

- *anchors*: a sweep of the anchors alone, planning and controls included, and every prefix
  predicted from it;
- *a sweep*: some prefixes measured, spread over all; the time of all follows from that of a trial;
- *the script* (`bench/script.py`): the baseline and some of the same prefixes, a new process each;
  the time of all follows from that of one.

Recorded: the script's time and the sweep's over the anchors', and the mean error of the predictions
at the prefixes that were measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from against_script import run_script
from results import Row, record, row_of

from frostline import open_sweep, prediction, run_sweep
from frostline.study.study import parse_study

HERE = Path(__file__).parent
BUILDER, BATCH, STEPS = "keras.applications:ResNet50", 8, 100
KWARGS = {"input_shape": [64, 64, 3], "weights": None, "classes": 10}
STUDY = """
name = "prefixes"
seed = 0
[[model]]
name = "resnet50"
builder = "keras.applications:ResNet50"
kwargs = {{ input_shape = [64, 64, 3], weights = "none", classes = 10 }}
[train]
batch_size = [8]
optimizer = ["adam"]
[freeze]
policies = {policies}
[measure]
target_ci = 0.02
min_pairs = 10
max_pairs = 22
[resources]
gpus_per_trial = 0
cpus_per_trial = 2
"""
COMMAND = "python bench/prefixes.py"


def main() -> int:
    """Measure, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measured", type=int, default=6, help="prefixes that are measured")
    parser.add_argument("--scripted", type=int, default=4, help="of these, by the script too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frostline-bench-") as scratch:
        anchors_s = _sweep(Path(scratch) / "anchors", ["anchors"])
        began = time.perf_counter()
        groups, _ = prediction.sort_groups(open_sweep(str(Path(scratch) / "anchors")))
        model = groups[0].model
        anchors_s += time.perf_counter() - began
        count = len(groups[0].facts.layers) - 1
        named = [f"prefix:*/{asked.measured}"]
        _sweep(Path(scratch) / "sweep", ["anchors", *named])
        rows = [
            row for row in open_sweep(str(Path(scratch) / "sweep")).trial_rows()
            if row.policy.startswith("prefix:")
        ]  # fmt: skip
        errors = [
            100 * float(abs(model.speedup(row.frozen_variables) / row.speedup - 1))
            for row in rows
            if row.speedup is not None
        ]
        trial_s = [row.duration_s for row in rows if row.duration_s is not None]
        chosen = rows[:: max(1, len(rows) // asked.scripted)][: asked.scripted]
        script_s: list[float] = []
        for layers in ((), *(row.frozen_layers for row in chosen)):
            began = time.perf_counter()
            run_script(
                Path(scratch) / f"script{len(script_s)}", layers, builder=BUILDER, kwargs=KWARGS,
                batch=BATCH, steps=STEPS,
            )  # fmt: skip
            script_s.append(time.perf_counter() - began)
    print(
        f"{count} prefixes: anchors {anchors_s:.0f} s; a trial {statistics.median(trial_s):.1f} s; "
        f"the script {statistics.median(script_s):.1f} s a configuration"
    )
    record(
        [
            row_of(
                "every prefix of ResNet50: the script's time / that of the anchors",
                [(count + 1) * each / anchors_s for each in script_s], unit="x", aim=">= 20",
                command=COMMAND, note=f"from {len(script_s)} of {count + 1} processes",
            ),
            row_of(
                "every prefix of ResNet50: a sweep's time / that of the anchors",
                [1 + count * each / anchors_s for each in trial_s], unit="x", aim=None,
                command=COMMAND, note=f"from {len(trial_s)} of {count} trials",
            ),
            Row(
                name="every prefix of ResNet50: mean error of the predictions",
                value=statistics.mean(errors), low=min(errors), high=max(errors), n=len(errors),
                unit="%", aim="<= 3", command=COMMAND, note="at the prefixes that were measured",
            ),
        ]
    )  # fmt: skip
    return 0


def _sweep(out: Path, policies: list[str]) -> float:
    """Wall time of a sweep."""
    began = time.perf_counter()
    study = STUDY.format(policies=json.dumps(policies))
    run_sweep(parse_study(study, path=HERE / "prefixes.toml"), str(out))
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
