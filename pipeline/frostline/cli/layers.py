"""`frostline layers`: the layers of a study's models, and what each policy freezes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from frostline.cli.console import complain, note, out
from frostline.cli.documents import AsJson, print_document
from frostline.cli.inspected import inspected
from frostline.cli.tables import FittedTable
from frostline.errors import UsageError

if TYPE_CHECKING:
    from frostline.plan.layers import ModelLayers
    from frostline.study.study import Study


def layers(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    model: Annotated[str | None, typer.Option(help="Only this model of the study.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the layers of a study's models, numbered as policies count, and what policies freeze."""
    from frostline.plan.layers import model_layers
    from frostline.study.study import load_study

    asked = _only(load_study(study), model)
    facts, failures = inspected(asked)
    found = [model_layers(asked, known) for known in facts.values()]
    for one in found:
        for notice in one.notices:
            note(notice)
    if as_json:
        print_document("layers", {"study": asked.name, "models": [asdict(one) for one in found]})
    else:
        for one in found:
            for part in _shown(one):
                out().print(part)
    for failure in failures:
        complain(failure)
    if failures:
        raise typer.Exit(1)


def _only(study: Study, model: str | None) -> Study:
    from frostline.suggest import advice

    if model is None:
        return study
    names = [each.name for each in study.models]
    if model not in names:
        raise UsageError(f"--model {model}: the study has no such model. {advice(model, names)}")
    return replace(study, models=tuple(each for each in study.models if each.name == model))


def _shown(found: ModelLayers) -> Iterator[RenderableType]:
    from frostline.words import DASH, number_ranges, share

    total = sum(layer.params for layer in found.layers)
    yield Text.assemble(
        (f"\n{found.model}", "bold"), f": {len(found.layers)} layers, {total:,} parameters"
    )
    yield FittedTable(
        ("layer", "number", "kind", "parameters", "share", "MFLOPs", "block"),
        (
            (
                layer.name + (" (head)" if layer.is_head else ""),
                str(layer.number),
                layer.kind,
                f"{layer.params:,}",
                share(layer.share),
                DASH if layer.forward_flops is None else f"{layer.forward_flops / 1e6:,.1f}",
                layer.block,
            )
            for layer in found.layers
        ),
        words=(2, 6),
        goes=(6, 5, 2, 3, 4),
    )
    yield Text(
        "Numbers count from 1 at the input, as in prefix:K and layer:K. FLOPs: the forward pass of "
        f"a batch of {found.batch_size}.\n"
    )
    if found.policies:
        yield FittedTable(
            ("policy", "frozen", "layers frozen", "in part"),
            (
                (
                    one.policy,
                    share(one.frozen_fraction),
                    number_ranges(one.layers),
                    number_ranges(one.partly),
                )
                for one in found.policies
            ),
            words=(2, 3),
            goes=(3,),
        )
