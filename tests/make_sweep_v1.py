"""Writes tests/data/sweep_v1, a small sweep of schema version 1 that later versions must read.

The figures are made up by the cost table below (a chain of four layers, costs in nanoseconds, plus
seeded noise): they are for reading, not evidence. Run once, checked in, never regenerated: a new
schema version gets a new script and a new set.
"""

import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from frostline.analyse import noise_floor
from frostline.measure.pairing import estimate
from frostline.store.outdir import OutDir, TrialTables
from frostline.store.schema import TABLES
from frostline.store.trial_row import TrialRow

OUT = Path(__file__).parent / "data" / "sweep_v1"
STUDY = 'name = "chain"\nseed = 0\n\n[[model]]\nname = "chain"\nbuilder = "chain:build"\n'
#         layer    kind     params  forward     dX     dW  update
LAYERS = (
    ("conv1", "Conv2D", 448, 900_000, 0, 1_100_000, 20_000),
    ("conv2", "Conv2D", 4_640, 1_500_000, 1_600_000, 1_700_000, 60_000),
    ("dense", "Dense", 65_664, 700_000, 800_000, 900_000, 400_000),
    ("head", "Dense", 1_290, 100_000, 90_000, 110_000, 30_000),
)
OTHER_NS = 250_000
TOTAL = sum(layer[2] for layer in LAYERS)
CONFIGURATIONS = (  # policy, frozen layers, anchor, replicate of a control
    ("none", (), "trainable", 0),
    ("prefix:1", (0,), None, None),
    ("prefix:2", (0, 1), None, None),
    ("all_but_head", (0, 1, 2), "pruned", None),
    ("none", (), None, 1),
    ("suffix:1", (2,), None, None),
    ("suffix:2", (1, 2), "pass_through", None),
    ("layer:2", (1,), None, None),
    ("none", (), None, 2),
)


def costs(frozen):
    """Pass times of each layer: dX where something before it trains, dW where it trains."""
    first = min(index for index in range(len(LAYERS)) if index not in frozen)
    for index, (_, _, _, forward, dx, dw, update) in enumerate(LAYERS):
        trains = index not in frozen
        yield forward, dx if index > first else 0, dw if trains else 0, update if trains else 0


def step_time(frozen):
    return OTHER_NS + sum(map(sum, costs(frozen)))


def trial(number, policy, frozen, anchor, replicate, floor=None):
    trial_id = f"chain-{policy.replace(':', '-')}-{number:04x}"
    key = {"trial_id": trial_id}
    rng = random.Random(number)
    rows, ratios, times = [], [], {"baseline": [], "trial": []}
    for pair in range(-1, 10):
        drift, pair_ns = rng.uniform(1.0, 1.2), {}
        for position, arm in enumerate(rng.sample(("baseline", "trial"), 2)):
            noiseless = step_time(() if arm == "baseline" else frozen)
            pair_ns[arm] = round(noiseless * drift * rng.gauss(1, 0.01))
            rows.append({
                **key, "arm": arm, "pair": pair, "position": position, "warmup": pair < 0,
                "n_steps": 4, "step_ns": pair_ns[arm],
            })  # fmt: skip
        if pair >= 0:
            ratios.append(pair_ns["baseline"] / pair_ns["trial"])
            for arm, time in pair_ns.items():
                times[arm].append(time)
    found = estimate(ratios, rule="half_width")
    layers, ops, graph = [], [], []
    per_layer = list(costs(frozen))
    for index, ((name, kind, params, *_), passes) in enumerate(zip(LAYERS, per_layer, strict=True)):
        trains = index not in frozen
        upstream = any(other not in frozen for other in range(index))
        mode = "trainable" if trains else "pass_through" if upstream else "pruned"
        forward, dx, dw, update = passes
        layers.append({
            **key, "layer": name, "index": index, "kind": kind, "params": params,
            "trainable": trains, "mode": mode, "forward_ns": forward,
            "activation_gradient_ns": dx, "weight_gradient_ns": dw, "optimizer_ns": update,
            "forward_flops": 2 * params,
        })  # fmt: skip
        op = "Conv2D" if kind == "Conv2D" else "MatMul"
        variables = [f"{LAYERS[other][0]}/kernel" for other in range(len(LAYERS))]
        for pass_, op_type, op_name, time, needed in (
            ("forward", op, f"{name}/{op}", forward, []),
            ("activation_gradient", f"{op}BackpropInput", f"gradient_tape/{name}/dx", dx,
             variables[:index]),
            ("weight_gradient", f"{op}BackpropFilter", f"gradient_tape/{name}/dw", dw,
             [variables[index]]),
            ("optimizer", "ResourceApplyAdam", f"adam/{name}", update, []),
        ):  # fmt: skip
            about = {**key, "op_name": op_name, "op_type": op_type, "layer": name, "pass": pass_}
            if anchor == "trainable":
                graph.append({**about, "needed_by": needed})
            if time:
                ops.append({
                    **about, "device": "/host:CPU", "calls_per_step": 1.0, "ns_per_step": time,
                    "rule": "graph",
                })  # fmt: skip
    ops.append({
        **key, "op_name": "Cast", "op_type": "Cast", "layer": None, "pass": "other",
        "device": "/host:CPU", "calls_per_step": 2.0, "ns_per_step": OTHER_NS, "rule": "unmatched",
    })  # fmt: skip
    sums = [sum(passes) for passes in zip(*per_layer, strict=True)]
    frozen_params = sum(LAYERS[index][2] for index in frozen)
    step = round(median(times["trial"]))
    names = [LAYERS[index][0] for index in frozen]
    started = datetime(2026, 1, 5, 9, 0, tzinfo=UTC) + timedelta(seconds=30 * number)
    row = {
        **key, "study": "chain", "model": "chain", "policy": policy, "aliases": [],
        "frozen_layers": names, "frozen_variables": [f"{name}/kernel" for name in names],
        "frozen_params": frozen_params, "total_params": TOTAL,
        "frozen_fraction": frozen_params / TOTAL,
        "earliest_trainable_layer": min(set(range(len(LAYERS))) - set(frozen)),
        "batch_size": 8, "optimizer": "adam", "precision": "float32", "jit_compile": "auto",
        "jit_resolved": False, "strategy": "single", "is_control": replicate is not None,
        "replicate": replicate or 0, "anchor": anchor, "status": "ok", "warnings": [],
        "attempts": 1, "pairs": 10, "pairing": "interleaved", "stop_reason": "max_pairs",
        "step_ns": step, "baseline_step_ns": round(median(times["baseline"])),
        "speedup": found.speedup, "speedup_low": found.low, "speedup_high": found.high,
        "forward_ns": sums[0], "activation_gradient_ns": sums[1], "weight_gradient_ns": sums[2],
        "optimizer_ns": sums[3], "input_ns": 0, "other_ns": OTHER_NS,
        "busy_ns": step_time(frozen), "attributed_fraction": 1 - OTHER_NS / step_time(frozen),
        "profiler_overhead": 1.02, "examples_per_second": 8e9 / step, "host": "fixture",
        "device_kind": "fixture CPU", "device_id": "0-1", "trace_steps": 5,
        "noise_floor": floor, "frostline_version": "0.1.0", "started_at": started,
        "duration_s": 25.0, "build_s": 1.0,
        "compile_s": 5.0, "stepping_s": 15.0, "check_s": 0.5, "profile_s": 1.0, "convert_s": 0.5,
    }  # fmt: skip
    predicted = {
        "three_anchor": step_time(()) / step_time(frozen),
        "frozen_fraction": 1 / (1 - frozen_params / TOTAL),
        "params_2to1": 3 / (1 + 2 * (1 - frozen_params / TOTAL)),
    }
    predictions = [
        {
            **key, "predictor": predictor, "is_anchor": anchor is not None or not frozen,
            "predicted_step_ns": round(row["baseline_step_ns"] / value),
            "predicted_speedup": value, "measured_speedup": found.speedup, "noise_floor": floor,
        }
        for predictor, value in predicted.items()
    ]  # fmt: skip
    return TrialTables(
        trial_id=trial_id, trials=[row], steps=rows, op_costs=ops, layers=layers, graph_ops=graph,
        predictions=predictions,
    )  # fmt: skip


def failed():
    """A trial that could not be measured: a row, and no rows elsewhere."""
    row = {
        "trial_id": "chain-norms-00ff", "study": "chain", "model": "chain", "policy": "norms",
        "aliases": [], "frozen_layers": [], "frozen_variables": [], "batch_size": 8,
        "optimizer": "adam", "precision": "float32", "jit_compile": "auto", "strategy": "single",
        "is_control": False, "replicate": 0, "status": "failed", "error_stage": "check",
        "error_type": "FreezeCheck", "error_message": "nothing was frozen", "warnings": [],
        "attempts": 1, "frostline_version": "0.1.0",
        "started_at": datetime(2026, 1, 5, 9, 30, tzinfo=UTC), "duration_s": 4.0,
    }  # fmt: skip
    return TrialTables(trial_id=row["trial_id"], trials=[row])


def complete(tables):
    return {column.name: tables.trials[0].get(column.name) for column in TABLES["trials"]}


def main():
    OUT.mkdir(parents=True)  # an existing set is never overwritten
    out = OutDir.open(str(OUT), create=False)
    out.begin_run(STUDY, "sha256:chain", "chain", {"frostline": "0.1.0"}, trials_planned=11)
    attempts = [
        trial(number, *configuration) for number, configuration in enumerate(CONFIGURATIONS)
    ]
    floor = noise_floor(TrialRow.from_mapping(complete(tables)) for tables in attempts)
    for number, configuration in enumerate(CONFIGURATIONS):
        out.publish(trial(number, *configuration, floor))
    out.publish(failed())
    # One that was interrupted between its tables and its commit.
    interrupted = trial(0xEE, "layer:1", (0,), None, None)
    out.publish(interrupted)
    (OUT / "tables" / "trials" / f"{interrupted.trial_id}.parquet").unlink()
    shutil.rmtree(OUT / ".staging")


if __name__ == "__main__":
    main()
