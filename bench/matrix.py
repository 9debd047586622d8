"""Every kind of model under every setting, in short sweeps: `python bench/matrix.py [NAME ...]`.

- The small models of `families.py`: each under each precision, compiler and strategy.
- Those of `own_steps.py`: under each compiler and strategy.
- One real model of each family in `keras.applications` and of KerasHub (where the extra `hub` is
  installed), and the project's own: each under settings chosen so that every family meets every
  precision, every compiler and every strategy.

A cell is a short sweep. It fails where a trial failed (its freeze check included), where the passes
do not add up to the ops, where less than 97% of the op time is attributed, or where a frozen layer
has a weight gradient. Where a control is off by more than its interval and 10%, the machine is too
noisy to say more, and the table says so. The error of the predictions stands beside it, with the
noise floor.

The tests run `pairs()` of it. Exits 1 when any cell failed; cells that are there already are read,
so that it may be ended and begun again. What came of a model replaces what is known of it in
`bench/matrix.json`, of which `python docs/models_page.py` makes `docs/models.md`.

`--again` measures those cells for longer, with more configurations, in which a model's predictions
were off by more than 3% although the machine was quiet.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import matrix_record
from held_out import held
from rich.console import Console
from rich.table import Table

from frostline import prediction
from frostline.analyse.groups import noise_floor
from frostline.costmodel.held_out import HeldOut, held_out_error
from frostline.errors import FrostlineError
from frostline.store.sweep import Sweep, open_sweep
from frostline.store.trial_row import TrialRow
from frostline.study.study import Study, parse_study
from frostline.sweep.run import run_sweep

STYLES = (
    "residual", "separable", "concatenated", "upsampling", "encoder", "decoder", "patches",
    "recurrent", "convolved_series", "grouped", "siamese", "several", "nested", "subclassed",
    "own_step", "with_data",
)  # fmt: skip
OWN_STEPS = (
    "adversarial", "cycle_consistent", "momentum_teacher", "diffusion", "contrastive",
    "two_passes", "experts", "codes",
)  # fmt: skip
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

LONG_COMPILED = frozenset(
    {
        "InceptionV3", "Xception", "InceptionResNetV2", "DenseNet121", "NASNetMobile",
        "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny",
    }
)  # fmt: skip
"""Models whose step XLA compiles for minutes (DenseNet121's, mirrored, for more than ten in 10 GB):
these meet XLA once, on one device, and `mirrored` without it."""

NOT_COMPILED = frozenset({"InceptionResNetV2", "NASNetMobile"})
"""Models that run without XLA, which had not compiled them for a CPU after 25 minutes in 10 GB
(NASNetMobile) or, two side by side, after 12 in 7 GB (InceptionResNetV2)."""

OWN = {
    "mlp_sequential": "",
    "mlp_functional": "",
    "wide_mlp": "",
    "small_convnet": "",
    "small_batchnorm_net": "",
    "transformer_encoder": "",
    "vgg16_transfer": 'weights = "none", input_shape = [32, 32, 3]',
    "xception_transfer": 'weights = "none"',
}
HUB = ("bert", "gpt2", "vit", "llama", "t5", "resnet", "whisper")
WITHOUT = {"hub_t5": "mixed_float16"}
"""KerasHub's T5 hides nothing by 0 * -1e9: in float16 that is 0 * -inf, and every loss is nan."""

FEW = ("prefix:*/1", "random:1@0.5")
MANY = ("prefix:*/5", "suffix:*/4", "random:3@0.5", "random:2@0.2", "norms", "biases")
"""What is frozen besides the anchors, in short sweeps and in those that are measured again."""

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
JITS = ("false", "true")
STRATEGIES = ("single", "mirrored")
ATTRIBUTED = 0.97

_STUDY = """
name = "matrix"
seed = 0
{models}
[train]
batch_size = [8]
precision = [{precisions}]
jit_compile = [{jits}]
strategy = [{strategies}]
[freeze]
policies = [{policies}]
[measure]
target_ci = {target_ci}
min_pairs = 10
max_pairs = {max_pairs}
profile_steps = 3
keep_traces = "none"
[resources]
gpus_per_trial = {gpus}
cpus_per_trial = 1
max_attempts = 2
"""
_MODEL = """
[[model]]
name = "{name}"
builder = "{builder}"
kwargs = {{ {kwargs} }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One of each axis."""

    precision: str
    jit: str
    strategy: str

    def __str__(self) -> str:
        return f"{self.precision}, jit {self.jit}, {self.strategy}"

    @classmethod
    def read(cls, words: str) -> Setting:
        """What `str` wrote."""
        precision, jit, strategy = words.split(", ")
        return cls(precision=precision, jit=jit.removeprefix("jit "), strategy=strategy)


SETTINGS = tuple(
    Setting(precision=precision, jit=jit, strategy=strategy)
    for precision, jit, strategy in product(PRECISIONS, JITS, STRATEGIES)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model, where it comes from, and the settings to try it under: a sweep for each list."""

    name: str
    builder: str
    parts: tuple[tuple[Setting, ...], ...] = (SETTINGS,)
    kwargs: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What came of one model under one setting.

    Attributes:
        model: its name in the study.
        setting: precision, compiler and strategy, in words.
        trials: how many were planned.
        problems: what does not hold, in words; empty when all is well.
        attributed: least share of op time that was attributed, over the trials; None: no trace.
        control: the largest |speedup - 1| of a control beyond its interval; 0 where each holds 1.
        floor: the noise floor; None without a measured control.
        held_out: predicted and measured speedups of the configurations that are no anchors.
    """

    model: str
    setting: str
    trials: int
    problems: tuple[str, ...]
    attributed: float | None
    control: float
    floor: float | None
    held_out: tuple[HeldOut, ...]


def styles() -> list[Family]:
    """The small models."""
    return [Family(name=name, builder=f"families:{name}") for name in STYLES]


def own_steps() -> list[Family]:
    """Small models with training steps of their own, which are written in float32."""
    settings = tuple(each for each in SETTINGS if each.precision == "float32")
    return [Family(name=name, builder=f"own_steps:{name}", parts=(settings,)) for name in OWN_STEPS]


def real() -> list[Family]:
    """The real ones, those of KerasHub only where that is installed."""
    found: list[tuple[str, str, str]] = [
        (
            name,
            f"keras.applications:{name}",
            f'input_shape = [{edge}, {edge}, 3], weights = "none", classes = 10',
        )
        for name, edge in APPLICATIONS.items()
    ]
    found += [(name, f"frostline.models:{name}", kwargs) for name, kwargs in OWN.items()]
    if importlib.util.find_spec("keras_hub") is not None:
        found += [(f"hub_{name}", f"hub_families:{name}", "") for name in HUB]
    return [
        Family(
            name=name,
            builder=builder,
            kwargs=kwargs,
            parts=tuple(
                (each,)
                for each in covering(index, apart=name in LONG_COMPILED)
                if each.precision != WITHOUT.get(name)
                and not (each.jit == "true" and name in NOT_COMPILED)
            ),
        )
        for index, (name, builder, kwargs) in enumerate(found, start=len(STYLES))
    ]


def covering(index: int, *, apart: bool = False) -> list[Setting]:
    """Three settings with every precision, compiler and strategy; which, the index decides.

    `apart`: XLA once, on one device.
    """
    jit, strategy = (0, 1) if apart else (index, index // 2)
    return [
        Setting(
            precision=precision,
            jit=JITS[(at + jit) % 2],
            strategy=STRATEGIES[(at + strategy) % 2],
        )
        for at, precision in enumerate(PRECISIONS)
    ]


def pairs() -> list[tuple[Setting, list[Family]]]:
    """Six settings in which every two values of different axes meet; the small models dealt out."""
    chosen = [
        Setting(precision=precision, jit=jit, strategy=STRATEGIES[(at + other) % 2])
        for at, precision in enumerate(PRECISIONS)
        for other, jit in enumerate(JITS)
    ]
    return [(setting, styles()[at :: len(chosen)]) for at, setting in enumerate(chosen)]


def study(
    families: list[Family],
    settings: Sequence[Setting],
    *,
    gpus: int = 0,
    policies: Sequence[str] = FEW,
    target_ci: float = 0.05,
    max_pairs: int = 33,
) -> Study:
    """One study of some models under the product of the settings' axes."""

    def listed(values: Iterator[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    models = "".join(
        _MODEL.format(name=each.name, builder=each.builder, kwargs=each.kwargs) for each in families
    )
    text = _STUDY.format(
        models=models,
        precisions=listed(f'"{each.precision}"' for each in settings),
        jits=listed(each.jit for each in settings),
        strategies=listed(f'"{each.strategy}"' for each in settings),
        policies=listed(f'"{each}"' for each in policies),
        gpus=gpus,
        target_ci=target_ci,
        max_pairs=max_pairs,
    )
    return parse_study(text, path=Path(__file__))


def cells(sweep: Sweep) -> Iterator[Cell]:
    """What came of each model under each setting of a sweep."""
    groups, _ = prediction.sort_groups(sweep)
    predicted = {
        row.trial_id: held(row, group.model.speedup(row.frozen_variables))
        for group in groups
        for row in group.held_out
    }
    credited = dict(
        sweep.sql("SELECT trial_id, sum(ns_per_step) FROM op_costs GROUP BY trial_id").fetchall()
    )
    stray = dict(
        sweep.sql(
            "SELECT trial_id, count(*) FROM layers WHERE mode <> 'trainable' "
            "AND weight_gradient_ns > 0 GROUP BY trial_id"
        ).fetchall()
    )
    rows_of: dict[tuple[str, str], list[TrialRow]] = {}
    for row in sweep.trial_rows():
        words = str(Setting(precision=row.precision, jit=row.jit_compile, strategy=row.strategy))
        rows_of.setdefault((row.model, words), []).append(row)
    for (model, words), rows in rows_of.items():
        problems = []
        fractions = []
        off = 0.0
        for row in rows:
            if row.status != "ok":
                problems.append(f"{row.policy}: {row.error_type}: {row.error_message}")
                continue
            if row.error_stage is not None:
                problems.append(f"{row.policy}: no profile: {row.error_message}")
                continue
            fraction = row.attributed_fraction or 0.0
            fractions.append(fraction)
            if fraction < ATTRIBUTED:
                problems.append(f"{row.policy}: {fraction:.1%} attributed")
            if row.trial_id in stray:
                problems.append(f"{row.policy}: a weight gradient on a frozen layer")
            parts = (
                row.forward_ns, row.activation_gradient_ns, row.weight_gradient_ns,
                row.optimizer_ns, row.input_ns, row.other_ns,
            )  # fmt: skip
            if abs(sum(each or 0 for each in parts) - credited[row.trial_id]) > len(parts):
                problems.append(f"{row.policy}: its passes are not the sum of its ops")
            if row.is_control and row.speedup_low and row.speedup_high:
                off = max(off, row.speedup_low - 1, 1 - row.speedup_high)
        yield Cell(
            model=model,
            setting=words,
            trials=len(rows),
            problems=tuple(problems),
            attributed=min(fractions) if fractions else None,
            control=off,
            floor=noise_floor(rows),
            held_out=tuple(predicted[row.trial_id] for row in rows if row.trial_id in predicted),
        )


def _refused(model: str, setting: Setting, error: FrostlineError) -> Cell:
    """The cell of a sweep that did not start or did not come to its end."""
    return Cell(
        model=model,
        setting=str(setting),
        trials=0,
        problems=(str(error),),
        attributed=None,
        control=0.0,
        floor=None,
        held_out=(),
    )


def main() -> int:
    """Run, print a line for each cell, then the table of families."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; default: all")
    parser.add_argument("--out", type=Path, default=Path("matrix-out"))
    parser.add_argument("--gpus", type=int, default=0, help="GPUs per trial")
    parser.add_argument("--again", action="store_true", help="cells that were off, for longer")
    asked = parser.parse_args()
    known = {each.name: each for each in (*styles(), *own_steps(), *real())}
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"no model called {', '.join(unknown)}; there are {', '.join(known)}")
    if asked.again:
        known = _off(known)
    console = Console(width=140)
    table = Table(title="Models", box=None, pad_edge=False)
    for column in ("model", "cells", "failed", "trials", "attributed", "noisy", "error", "minutes"):
        table.add_column(column, justify="left" if column == "model" else "right")
    failed = 0
    for name in asked.names or known:
        if name not in known:
            console.print(f"{name}: no cell of it is to be measured again")
            continue
        family = known[name]
        began = time.monotonic()
        found = _measure(family, asked)
        for cell in found:
            for problem in cell.problems:
                console.print(f"{cell.model} ({cell.setting}) {problem}", markup=False)
        matrix_record.write(family.builder, found, "again" if asked.again else "cells")
        wrong = sum(bool(cell.problems) for cell in found)
        failed += wrong
        minutes = (time.monotonic() - began) / 60
        row = _row(name, found, wrong, minutes)
        console.print(*row)
        table.add_row(*row)
    console.print(table)
    return 1 if failed else 0


def _off(known: dict[str, Family]) -> dict[str, Family]:
    """The families that are worse than they should be, with the settings where they are."""
    off = matrix_record.worse_than_good(matrix_record.read()["cells"])
    return {
        name: replace(known[name], parts=tuple((Setting.read(words),) for words in settings))
        for name, settings in off.items()
        if name in known
    }


def _measure(family: Family, asked: argparse.Namespace) -> list[Cell]:
    """Sweep a family under its settings; what is there already is read."""
    found: list[Cell] = []
    for number, settings in enumerate(family.parts):
        if asked.again:
            planned = study(
                [family], settings, gpus=asked.gpus, policies=MANY, target_ci=0.03, max_pairs=60
            )
            words = str(settings[0]).replace(", ", "-").replace(" ", "-")
            out = str(asked.out / f"{family.name}-{words}")
        else:
            planned = study([family], settings, gpus=asked.gpus)
            out = str(asked.out / f"{family.name}-{number}")
        try:
            run_sweep(planned, out)
        except FrostlineError as error:
            found += [_refused(family.name, setting, error) for setting in settings]
            continue
        found += cells(open_sweep(out))
    return found


def _row(name: str, found: list[Cell], wrong: int, minutes: float) -> list[str]:
    fractions = [cell.attributed for cell in found if cell.attributed is not None]
    error = held_out_error([each for cell in found for each in cell.held_out])
    return [
        name,
        str(len(found)),
        str(wrong),
        str(sum(cell.trials for cell in found)),
        f"{min(fractions):.2%}" if fractions else "-",
        str(sum(cell.control > 0.1 for cell in found)),
        f"{error.mean_abs:.1%}" if error else "-",
        f"{minutes:.1f}",
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; run it again on the same --out to go on")
