"""Every kind of model through a short sweep: `python bench/matrix.py [--out DIR] [NAME ...]`.

One model of each family in `keras.applications`, the project's own, and one small net under each
precision, compiler and strategy. Each is built, frozen in scattered and ordered ways, checked,
profiled and attributed as in any sweep, with as few samples as a sweep takes: this says that
Frostline copes with the model, and how much of its op time it could attribute. The error of the
predictions stands beside it, for orientation: so short a measurement is noisy. Exits 1 when any
trial failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from held_out import held
from rich.console import Console
from rich.table import Table

from frostline import prediction
from frostline.costmodel.held_out import held_out_error
from frostline.errors import FrostlineError
from frostline.store.sweep import Sweep, open_sweep
from frostline.study.study import parse_study
from frostline.sweep.run import run_sweep

APPLICATIONS = {
    "VGG16": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "InceptionV3": 75,
    "Xception": 71,
    "InceptionResNetV2": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "DenseNet121": 32,
    "NASNetMobile": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "ConvNeXtTiny": 32,
}
"""Smallest member of each family, with the edge of the smallest picture it takes, in pixels."""

OWN = (
    "mlp_sequential", "mlp_functional", "wide_mlp", "small_convnet", "small_batchnorm_net",
    "transformer_encoder", "vgg16_transfer", "xception_transfer",
)  # fmt: skip

_STUDY = """
name = "matrix-{name}"
seed = 0
[[model]]
name = "model"
builder = "{builder}"
kwargs = {{ {kwargs} }}
[train]
batch_size = [4]
optimizer = ["adam"]
precision = ["{precision}"]
jit_compile = [{jit_compile}]
strategy = ["{strategy}"]
[freeze]
policies = ["prefix:*/2", "suffix:*/2", "random:2@0.5", "norms", "biases"]
[measure]
target_ci = 0.2
min_pairs = 10
max_pairs = 10
profile_steps = 3
keep_traces = "none"
[resources]
gpus_per_trial = {gpus}
cpus_per_trial = 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model under one setting."""

    name: str
    builder: str
    kwargs: str = ""
    precision: str = "float32"
    jit_compile: str = '"auto"'
    strategy: str = "single"


def cases() -> list[Case]:
    """The matrix."""
    found = [
        Case(
            name=name,
            builder=f"keras.applications:{name}",
            kwargs=f'input_shape = [{edge}, {edge}, 3], weights = "none", classes = 10',
        )
        for name, edge in APPLICATIONS.items()
    ]
    for name in OWN:
        kwargs = 'weights = "none"' if name.endswith("_transfer") else ""
        if name == "vgg16_transfer":
            kwargs += ", input_shape = [32, 32, 3]"
        found.append(Case(name=name, builder=f"frostline.models:{name}", kwargs=kwargs))
    net = "frostline.models:small_convnet"
    found += [
        Case(name="float16", builder=net, precision="mixed_float16"),
        Case(name="bfloat16", builder=net, precision="mixed_bfloat16"),
        Case(name="xla", builder=net, jit_compile="true"),
        Case(name="mirrored", builder=net, strategy="mirrored"),
    ]
    return found


def main() -> int:
    """Run, print a line each, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = {case.name: case for case in cases()}
    parser.add_argument("names", nargs="*", choices=[*known, []], metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("matrix-out"))
    parser.add_argument("--gpus", type=int, default=0, help="GPUs per trial")
    asked = parser.parse_args()
    table = Table(title="Models", box=None, pad_edge=False)
    for column in ("model", "layers", "trials", "failed", "attributed", "error", "minutes"):
        table.add_column(column, justify="left" if column == "model" else "right")
    console = Console(width=120)
    failed = 0
    for name in asked.names or known:
        began = time.monotonic()
        out = asked.out / name
        try:
            result = run_sweep(parse_study(_text(known[name], asked.gpus)), str(out))
        except FrostlineError as error:
            failed += 1
            row = ["-", "-", "-", "-", "-"]
            console.print(f"{name}: {error}")
        else:
            failed += result.failed
            row = _row(open_sweep(str(out)), result.planned, result.failed)
        minutes = f"{(time.monotonic() - began) / 60:.1f}"
        console.print(name, *row, minutes)
        table.add_row(name, *row, minutes)
    console.print(table)
    return 1 if failed else 0


def _text(case: Case, gpus: int) -> str:
    return _STUDY.format(
        name=case.name,
        builder=case.builder,
        kwargs=case.kwargs,
        precision=case.precision,
        jit_compile=case.jit_compile,
        strategy=case.strategy,
        gpus=gpus,
    )


def _row(sweep: Sweep, planned: int, failed: int) -> list[str]:
    rows = sweep.trial_rows()
    for row in rows:
        if row.status != "ok":
            print(f"  {row.policy}: {row.error_type}: {row.error_message}")
    fractions = [row.attributed_fraction for row in rows if row.attributed_fraction is not None]
    groups, _ = prediction.sort_groups(sweep)
    layers = str(len(groups[0].facts.layers)) if groups else "-"
    error = None
    if groups:
        error = held_out_error(
            [held(row, groups[0].model.speedup(row.frozen_variables)) for row in groups[0].held_out]
        )
    return [
        layers,
        str(planned),
        str(failed),
        f"{min(fractions):.2%}" if fractions else "-",
        f"{error.mean_abs:.1%}" if error else "-",
    ]


if __name__ == "__main__":
    sys.exit(main())
