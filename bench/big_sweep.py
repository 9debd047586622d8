"""Write a sweep of any size without measuring anything, to try readers and the report on.

    python bench/big_sweep.py OUT --trials 10000 --ops 1000

Out: an OUT with one Parquet file per trial and table, as a sweep publishes it. The figures are made
up: layers of a chain with seeded costs, speedups from those costs plus noise. They are for timing
programs that read sweeps, and evidence of nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from pydantic import JsonValue

from frostline.store.arrow import to_parquet, to_table
from frostline.store.outdir import OutDir
from frostline.store.table_files import table_file

LAYERS = 50
PASSES = ("forward", "activation_gradient", "weight_gradient", "optimizer", "other")
STUDY = 'name = "big"\nseed = 0\n\n[[model]]\nname = "chain"\nbuilder = "chain:build"\n'
BEGAN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def main() -> None:
    """Parse the arguments and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--ops", type=int, default=1_000, help="op rows a trial")
    parser.add_argument("--models", type=int, default=1)
    asked = parser.parse_args()
    write(asked.out, trials=asked.trials, ops=asked.ops, models=asked.models)


def write(out: Path, *, trials: int, ops: int, models: int = 1) -> None:
    """Write the sweep.

    Args:
        out: a new folder.
        trials: controls and a few failed ones included.
        ops: rows of `op_costs` for each trial.
        models: the trials are dealt out to this many models.
    """
    store = OutDir.open(str(out), create=True)
    machine: dict[str, JsonValue] = {"cpu_count": 2, "host": "bench"}
    store.begin_run(
        STUDY, "0" * 64, "big", {"frostline": "0.1.0"}, machine=machine, trials_planned=trials
    )
    for table in ("trials", "op_costs", "layers", "predictions"):
        (out / "tables" / table).mkdir(parents=True)
    costs = [_layer_costs(random.Random(f"model {model}")) for model in range(models)]
    shared = [_ops(layers, ops) for layers in costs]
    for number in range(trials):
        model = number % models
        _write_trial(out, number, number // models, f"chain{model}", costs[model], shared[model])


def _layer_costs(rng: random.Random) -> list[dict[str, int]]:
    return [
        {
            "params": rng.randrange(1_000, 200_000) * (1 + index),
            "forward": rng.randrange(100_000, 900_000),
            "activation_gradient": rng.randrange(100_000, 900_000) if index else 0,
            "weight_gradient": rng.randrange(100_000, 900_000),
            "optimizer": rng.randrange(10_000, 60_000),
        }
        for index in range(LAYERS)
    ]


def _frozen(number: int) -> tuple[str, set[int], bool]:
    """Policy, frozen layers, and whether it is a control."""
    if number < 3:
        return "none", set(), True
    if number < 3 + LAYERS - 1:
        return f"prefix:{number - 2}", set(range(number - 2)), False
    if number < 1 + 2 * LAYERS - 2:
        k = number - LAYERS - 1
        return f"suffix:{k}", set(range(LAYERS - 1 - k, LAYERS - 1)), False
    rng = random.Random(number)
    size = rng.randrange(1, LAYERS)
    return f"random:10000@0.5#{number}", set(rng.sample(range(LAYERS), size)), False


def _ops(layers: list[dict[str, int]], count: int) -> pa.Table:
    rows = [
        {
            "trial_id": "",
            "layer": f"stage{number % LAYERS}/conv",
            "pass": PASSES[number % len(PASSES)],
            "op_type": f"Op{number % 40}",
            "op_name": f"gradient_tape/functional_1/stage{number % LAYERS}/conv/op_{number}",
            "device": "/host:CPU",
            "calls_per_step": 1.0,
            "ns_per_step": layers[number % LAYERS]["forward"] // 20 + number,
            "rule": "graph" if number % len(PASSES) < 4 else "unmatched",
        }
        for number in range(count)
    ]
    return to_table("op_costs", rows)


def _write_trial(
    out: Path,
    number: int,
    place: int,
    model: str,
    layers: list[dict[str, int]],
    ops: pa.Table,
) -> None:
    policy, frozen, control = _frozen(place)
    rng = random.Random(number)
    digest = hashlib.sha256(f"{model}{number}".encode()).hexdigest()[:10]
    trial_id = f"{model}-{len(frozen)}of{LAYERS}-{digest}"
    first = min(set(range(LAYERS)) - frozen)
    sums = dict.fromkeys(PASSES, 0) | {"other": 400_000}
    shown = []
    for index, cost in enumerate(layers):
        trains = index not in frozen
        spent = {
            "forward": cost["forward"],
            "activation_gradient": cost["activation_gradient"] if index > first else 0,
            "weight_gradient": cost["weight_gradient"] if trains else 0,
            "optimizer": cost["optimizer"] if trains else 0,
        }
        for name, time in spent.items():
            sums[name] += time
        mode = "trainable" if trains else "pass_through" if index > first else "pruned"
        shown.append(
            {
                "trial_id": trial_id, "layer": f"stage{index}/conv", "index": index,
                "kind": "Conv2D", "params": cost["params"], "trainable": trains, "mode": mode,
                "forward_flops": cost["forward"] * 50,
                **{f"{name}_ns": time for name, time in spent.items()},
            }
        )  # fmt: skip
    baseline = 400_000 + sum(cost[name] for cost in layers for name in PASSES if name in cost)
    true = baseline / sum(sums.values())
    speedup = true * rng.gauss(1, 0.015)
    failed = not control and place % 97 == 96
    params = sum(layers[index]["params"] for index in frozen)
    total = sum(cost["params"] for cost in layers)
    row: dict[str, object] = {
        "trial_id": trial_id, "study": "big", "model": model, "policy": policy, "aliases": [],
        "frozen_layers": [f"stage{index}/conv" for index in sorted(frozen)],
        "frozen_variables": [
            f"stage{index}/conv/{name}" for index in sorted(frozen) for name in ("kernel", "bias")
        ],
        "frozen_params": params, "total_params": total, "frozen_fraction": params / total,
        "earliest_trainable_layer": first, "batch_size": 16, "optimizer": "adam",
        "precision": "float32", "jit_compile": "auto", "jit_resolved": False,
        "strategy": "single", "is_control": control, "replicate": place if control else 0,
        "anchor": "trainable" if place == 0 else None, "status": "failed" if failed else "ok",
        "warnings": [], "attempts": 1, "frostline_version": "0.1.0",
        "started_at": BEGAN + timedelta(seconds=number), "duration_s": 8.0, "host": "bench",
        "device_kind": "made-up CPU", "device_id": f"cpu:{number % 2}",
    }  # fmt: skip
    if failed:
        row |= {
            "error_stage": "measure", "error_type": "ResourceExhausted",
            "error_message": "made up: the trial did not fit into memory; use a smaller batch",
        }  # fmt: skip
    else:
        row |= {
            "pairs": 15, "pairing": "interleaved", "stop_reason": "target_ci",
            "step_ns": round(baseline / speedup), "baseline_step_ns": baseline,
            "speedup": speedup, "speedup_low": speedup * 0.98, "speedup_high": speedup * 1.02,
            "forward_ns": sums["forward"], "input_ns": 0, "other_ns": sums["other"],
            "activation_gradient_ns": sums["activation_gradient"],
            "weight_gradient_ns": sums["weight_gradient"], "optimizer_ns": sums["optimizer"],
            "attributed_fraction": 0.98, "profiler_overhead": 1.02, "busy_ns": sum(sums.values()),
            "peak_memory_bytes": 10**9 + 100 * (total - params), "trace_steps": 5,
            "trace_path": f"tensorboard/{trial_id}/plugins/profile/{trial_id}/bench.xplane.pb",
        }  # fmt: skip
        _put(out, "op_costs", trial_id, _of_trial(ops, trial_id))
        _put(out, "layers", trial_id, to_table("layers", shown))
        predictions = [
            {
                "trial_id": trial_id, "predictor": predictor, "is_anchor": place < 3,
                "predicted_speedup": value, "measured_speedup": speedup, "noise_floor": 0.03,
                "predicted_step_ns": round(baseline / value),
            }
            for predictor, value in (
                ("three_anchor", true),
                ("frozen_fraction", 1 / (1 - params / total)),
                ("params_2to1", 3 / (1 + 2 * (1 - params / total))),
            )
        ]  # fmt: skip
        _put(out, "predictions", trial_id, to_table("predictions", predictions))
    _put(out, "trials", trial_id, to_table("trials", [row]))


def _of_trial(ops: pa.Table, trial_id: str) -> pa.Table:
    index = ops.schema.get_field_index("trial_id")
    return ops.set_column(index, ops.schema.field(index), pa.array([trial_id] * len(ops)))


def _put(out: Path, table: str, trial_id: str, rows: pa.Table) -> None:
    # Written in place, unlike a sweep's files: 40,000 of them would spend minutes in fsync.
    (out / table_file(table, trial_id)).write_bytes(to_parquet(rows))


if __name__ == "__main__":
    main()
