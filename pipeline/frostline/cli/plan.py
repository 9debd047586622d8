"""`frostline plan`: lists a study's trials, estimates time, memory and disk; measures nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from frostline.cli.console import complain, note, out
from frostline.cli.documents import AsJson, print_document
from frostline.cli.inspected import inspected
from frostline.cli.tables import FittedTable
from frostline.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from frostline.facts.model_facts import ModelFacts
    from frostline.machine import Machine
    from frostline.plan.estimate import PlanEstimate
    from frostline.plan.trials import TrialGroup, TrialPlan
    from frostline.study.study import Study
    from frostline.trial import Trial


def plan(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Plan for a cluster that measures so many trials side by side."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List a study's trials, estimate time, memory and disk here; build models, measure nothing."""
    from frostline.machine import this_machine
    from frostline.plan.estimate import estimate
    from frostline.plan.trials import plan_trials
    from frostline.schedule.chunks import chunks_of
    from frostline.schedule.lease_spec import limits_of, resources_of
    from frostline.schedule.room import memory_warnings, refuse_too_large, slots_on
    from frostline.study.study import load_study
    from frostline.trial import AUTO

    asked = load_study(study)
    here = this_machine()
    if asked.resources.gpus_per_trial == AUTO:
        asked = asked.with_gpus(min(1, here.gpus))
    slots = workers or slots_on(here, resources_of(asked))
    facts, failures = inspected(asked)
    planned = plan_trials(asked, facts)
    if not planned.groups:
        raise StudyError("nothing of the study can run:\n  " + "\n  ".join(failures))
    if workers is None:
        refuse_too_large(planned, facts, here, gpus=asked.gpus)
    tight = [] if workers else memory_warnings(planned, facts, here, gpus=asked.gpus)
    most = limits_of(asked).trials_per_process
    leases = [chunk.trials for chunk in chunks_of(planned.groups, done=(), slots=slots, most=most)]
    estimated = estimate(planned, facts, asked, workers=slots, leases=leases)
    notices = (*planned.notices, *tight)
    if as_json:
        print_document("plan", _document(asked, planned, estimated, notices, failures))
        raise typer.Exit(1 if failures else 0)
    console = out()
    for group in planned.groups:
        console.print(_heading(group, facts[group.model.name]))
        console.print(_table(group))
    for notice in notices:
        note(notice)
    held = _held(asked, here, on_cluster=workers is not None)
    together = estimated.side_by_side
    console.print(Text(f"\n{len(planned.trials)} trials, each on {held}, {together} at a time."))
    _print_estimate(console, estimated)
    for failure in failures:
        complain(f"{failure}\n  It is left out above; a sweep records its trials as failed.")
    if failures:
        raise typer.Exit(1)


def _document(
    study: Study,
    planned: TrialPlan,
    estimated: PlanEstimate,
    notices: Sequence[str],
    failures: list[str],
) -> dict[str, Any]:
    """The plan as JSON: every trial, and what all of them take."""
    return {
        "study": study.name,
        "trials": [
            {
                "trial_id": trial.trial_id,
                "model": trial.model.name,
                "setting": asdict(trial.setting),
                "policy": trial.policy,
                "aliases": list(trial.aliases),
                "frozen_fraction": trial.frozen_fraction,
                "frozen_layers": list(trial.frozen_layers),
                "is_control": trial.is_control,
                "replicate": trial.replicate,
                "anchor": trial.anchor,
            }
            for trial in planned.trials
        ],
        "side_by_side": estimated.side_by_side,
        "low_s": estimated.low_s,
        "high_s": estimated.high_s,
        "memory_bytes": estimated.memory_bytes,
        "expected_bytes": estimated.expected_bytes,
        "disk_bytes": estimated.disk_bytes,
        "assumptions": list(estimated.assumptions),
        "notices": list(notices),
        "failures": failures,
    }


def _held(study: Study, here: Machine, *, on_cluster: bool) -> str:
    """What a trial holds, in words."""
    from frostline.words import counted

    cores = counted(study.resources.cpus_per_trial, "CPU core")
    if not study.gpus:
        return cores if on_cluster or here.gpus else f"{cores} (this machine has no GPU)"
    gpus = "a GPU" if study.gpus == 1 else f"{study.gpus} GPUs"
    names = "" if on_cluster or not here.gpu_names else f" ({', '.join(here.gpu_names)})"
    return f"{gpus}{names} and {cores}"


def _heading(group: TrialGroup, facts: ModelFacts) -> Text:
    own = "" if group.setting.optimizer else ", its own optimizer"
    frozen = facts.builder_frozen_params
    by_builder = f"; its builder froze {frozen:,} more" if frozen else ""
    return Text.assemble(
        (f"\n{group.model.name}", "bold"),
        f", {group.setting.words()}{own}: {len(facts.layers)} layers, "
        f"{facts.total_params:,} parameters{by_builder}",
    )


def _table(group: TrialGroup) -> FittedTable:
    from frostline.words import layer_place, share

    return FittedTable(
        ("policy", "frozen", "layers\nfrozen", "trains\nfrom", "part"),
        (
            (
                trial.policy,
                share(trial.frozen_fraction),
                str(len(trial.frozen_layers)),
                layer_place(trial.earliest_trainable_layer),
                _part(trial),
            )
            for trial in group.trials
        ),
        words=(4,),
        goes=(4, 2, 3, 1),
    )


def _part(trial: Trial) -> str:
    parts = [f"variant {trial.variant}"] if trial.variant else []
    parts += [f"control {trial.replicate + 1}"] if trial.is_control else []
    parts += [f"anchor {trial.anchor}"] if trial.anchor else []
    parts += [f"also {', '.join(trial.aliases)}"] if trial.aliases else []
    return "; ".join(parts)


def _memory(estimated: PlanEstimate) -> str:
    from frostline.words import size

    least = f"at least {size(estimated.memory_bytes)}"
    expected = estimated.expected_bytes
    return least if expected is None else f"{least}, about {size(expected)} with its tensors"


def _print_estimate(console: Console, estimated: PlanEstimate) -> None:
    from frostline.words import duration_s, size, span

    console.print(
        Text(
            f"Time: {span(duration_s(estimated.low_s), duration_s(estimated.high_s))}. "
            f"Memory of a trial: {_memory(estimated)}. "
            f"Disk: about {size(estimated.disk_bytes)}. This is a rough estimate:"
        )
    )
    assumptions = Table.grid(padding=(0, 1))
    for assumption in estimated.assumptions:
        assumptions.add_row(" -", Text(assumption, style="dim"))
    console.print(assumptions)
