"""A sweep with rows in every table that the report reads, its names as hostile as names can be."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from frostline.store.outdir import OutDir, TrialTables

EVIL_LAYER = "net/<script>alert(1)</script>"
EVIL_OP = "<img src=x onerror=alert(2)>"
PASSES = ("forward", "activation_gradient", "weight_gradient", "optimizer")
LAYERS = (*(f"net/conv{i}" for i in range(8)), "net/head")


def named(layer: str) -> str:
    """The fourth layer has the hostile name."""
    return EVIL_LAYER if layer == LAYERS[3] else layer


def hostile(row: dict) -> dict:
    """A row of `trials` with the layer renamed and a profile that was kept."""
    session = row["trial_id"]
    renamed = {
        "frozen_layers": [named(layer) for layer in row["frozen_layers"]],
        "frozen_variables": [
            path.replace(LAYERS[3], EVIL_LAYER) for path in row["frozen_variables"]
        ],
    }
    if row["status"] == "ok":
        renamed["trace_path"] = f"tensorboard/{session}/plugins/profile/{session}/quiet.xplane.pb"
    return row | renamed


def layer_rows(row: dict) -> list[dict]:
    """Rows of `layers` that share the passes of a trial equally."""
    return [
        {
            "trial_id": row["trial_id"], "layer": named(layer), "index": index, "kind": "Conv2D",
            "params": 100 * (index + 1), "trainable": layer not in row["frozen_layers"],
            "mode": "trainable", "forward_flops": 1_000 * (index + 1),
            **{f"{each}_ns": row[f"{each}_ns"] // (2 * len(LAYERS)) for each in PASSES},
        }
        for index, layer in enumerate(LAYERS)
    ]  # fmt: skip


def op_rows(row: dict) -> list[dict]:
    """Rows of `op_costs`: one op with a pass, and two that have none."""
    common = {
        "trial_id": row["trial_id"], "layer": None, "device": "/host:CPU", "calls_per_step": 1.0,
    }  # fmt: skip
    return [
        {**common, "pass": "other", "op_type": "Cast", "op_name": EVIL_OP,
         "ns_per_step": 300_000, "rule": "unmatched"},
        {**common, "pass": "other", "op_type": "Copy", "op_name": "small",
         "ns_per_step": 100_000, "rule": "nameless"},
        {**common, "pass": "forward", "op_type": "Conv2D", "op_name": "net/conv0/Conv2D",
         "ns_per_step": row["forward_ns"], "rule": "graph"},
    ]  # fmt: skip


def prediction_rows(row: dict) -> list[dict]:
    """Rows of `predictions`: one predictor is off by 2%, the other is the naive rule."""
    frozen = row["frozen_fraction"]
    answers = {"three_anchor": row["speedup"] * 1.02, "frozen_fraction": 1 / (1 - frozen)}
    return [
        {
            "trial_id": row["trial_id"], "predictor": predictor,
            "is_anchor": row["is_control"] or row["policy"] == "all_but_head",
            "predicted_speedup": value, "predicted_step_ns": 1, "noise_floor": 0.02,
            "measured_speedup": row["speedup"],
        }
        for predictor, value in answers.items()
    ]  # fmt: skip


def write_sweep(folder: Path, rows: Iterable[dict], *, name: str = "demo") -> Path:
    """A sweep with these rows of `trials`, and what belongs to them in the other tables."""
    out = OutDir.open(str(folder), create=True)
    with out.lock():
        out.begin_run(
            f'name = "{name}"\n', "0" * 64, name, {"python": "3.11.7"}, machine={"cores": 8}
        )
        for row in rows:
            row["study"] = name
            measured = row["status"] == "ok"
            out.publish(
                TrialTables(
                    trial_id=str(row["trial_id"]),
                    trials=[row],
                    layers=layer_rows(row) if measured else (),
                    op_costs=op_rows(row) if measured else (),
                    predictions=prediction_rows(row) if measured else (),
                )
            )
    return folder


def on_another(row: dict, **changes: object) -> dict:
    """The same trial of another model, setting or device."""
    digest = hashlib.sha256(f"{row['trial_id']}{changes}".encode()).hexdigest()[:12]
    return row | {"trial_id": f"other-{digest}"} | changes
