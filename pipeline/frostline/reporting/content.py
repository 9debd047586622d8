"""What a report says, as values: from the summary of a sweep, its evidence and its manifest. Pure.

In: `Summary` (rows with verdicts, noise floors, the answer), `ReportEvidence` of each group,
`Manifest`. Out: `ReportContent`: strings ready to be shown and figures ready to be drawn, all
foreign text in them visible (`frostline.visible`). Renders nothing, opens nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from frostline.analyse import (
    GroupSummary,
    SettingContrast,
    Summary,
    TrialSummary,
    answer,
    group_answer,
    setting_contrasts,
)
from frostline.billing.run import Run
from frostline.prediction import THREE_ANCHOR, ScheduleCost
from frostline.published import Published
from frostline.recommendation.first_answer import FirstAnswer
from frostline.reporting.bill_table import BillTable, bill_table
from frostline.reporting.compared_tables import ComparedTable, compared_tables
from frostline.reporting.evidence import ReportEvidence
from frostline.reporting.evidence_tables import (
    AssociationRow,
    ErrorRow,
    PlaceRow,
    association_rows,
    error_rows,
    evidence_sentences,
    place_rows,
)
from frostline.reporting.figures.figure import Figure
from frostline.reporting.first_screen import FirstScreen, first_screen
from frostline.reporting.method_facts import Fact, group_facts, period, sweep_facts
from frostline.reporting.palette import FAMILIES, Family, family_of_row
from frostline.reporting.section_figures import Drawing, section_figures
from frostline.reporting.section_names import anchor_names
from frostline.reporting.trial_table import (
    COLUMNS,
    TableColumn,
    TableRow,
    table_rows,
)
from frostline.store.manifest import Manifest
from frostline.tensorboard.server import DEFAULT_PORT
from frostline.visible import visible_in
from frostline.words import counted, rate, ratio, share


@dataclass(frozen=True, slots=True, kw_only=True)
class LostOp:
    """A line of the table of ops without a pass, as shown."""

    op: str
    op_type: str
    rule: str
    time: str
    share: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One model under one setting on one kind of device.

    Attributes:
        anchor: name of the section in addresses and file names; unique in the report.
        model: the model's name, to filter by.
        title: the group in words.
        label: the group in words, as short as it can be told from the others.
        device: what measured it, in words; empty where that is not known.
        first: tiles, what to freeze, and a pick for each budget.
        answer: the statistics, one string.
        figures: in order.
        associations, places, errors: tables beside the figures; empty where there are too few
            configurations.
        lost, lost_words: the largest ops without a pass, and a sentence on all of them.
        words: by heading, the sentence that replaces a figure which cannot be drawn.
        bill: what a training run takes in each trial; None where no run is described.
        facts: how it was measured.
        left_out: what the page leaves out because its size is bounded.
    """

    anchor: str
    model: str
    title: str
    label: str
    device: str
    first: FirstScreen
    answer: str
    figures: tuple[Figure, ...]
    associations: tuple[AssociationRow, ...]
    places: tuple[PlaceRow, ...]
    errors: tuple[ErrorRow, ...]
    lost: tuple[LostOp, ...]
    lost_words: str
    words: Mapping[str, str]
    bill: BillTable | None
    facts: tuple[Fact, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastRow:
    """One setting against another, as shown."""

    title: str
    shared: str
    throughput: str
    ratio: str
    noise: str
    policy: str
    speedups: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """A whole report.

    Attributes:
        study: the study's name.
        version: of the program that measured last.
        measured: when the runs began, in words.
        answer: the answer for the whole sweep.
        trials, failed: committed trials, and those of them that failed.
        families: of the shown trials, for the filter.
        models: their names, for the filter.
        contrasts: settings that differ in one axis, against each other.
        compared: tables over several groups: models with their variants, published speedups.
        sections: per model, setting and kind of device.
        columns, rows: the table of trials.
        tensorboard: the command that starts TensorBoard on this sweep, and where.
        facts: versions and machine.
        study_file: the study as it was run; empty where OUT has no copy.
    """

    study: str
    version: str
    measured: str
    answer: str
    trials: int
    failed: int
    families: tuple[Family, ...]
    models: tuple[str, ...]
    contrasts: tuple[ContrastRow, ...]
    compared: tuple[ComparedTable, ...]
    sections: tuple[Section, ...]
    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    tensorboard: tuple[str, str]
    facts: tuple[Fact, ...]
    study_file: str


def report_content(
    summary: Summary,
    evidence: Sequence[ReportEvidence],
    shown: Mapping[int, Sequence[TrialSummary]],
    manifest: Manifest,
    where: str,
    run: Run | None = None,
    firsts: Sequence[FirstAnswer | None] = (),
    study_file: str = "",
    published: Sequence[Published] = (),
    schedules: Sequence[ScheduleCost] = (),
) -> ReportContent:
    """Everything that the report of a sweep says.

    `shown` has, by position of the group, the trials that the page shows; `where` is OUT as the
    user knows it, without credentials. `run` has examples and epochs; None: no bills. `firsts` has
    what to freeze, by position of the group; empty: not asked. `published` are speedups to be shown
    beside the measured ones, `schedules` what the study's schedule takes.
    """
    names = anchor_names([(group.key.model, group.title) for group in summary.groups])
    drawings = [
        Drawing.of(group, found, shown[number], firsts[number] if firsts else None)
        for number, (group, found) in enumerate(zip(summary.groups, evidence, strict=True))
    ]
    rows = [
        row
        for drawing, anchor in zip(drawings, names, strict=True)
        for row in table_rows(
            drawing.trials,
            _by_cost_model(drawing.evidence),
            anchor,
            drawing.evidence.order,
            drawing.group.step_ns,
        )
    ]
    used = _used_columns(rows)
    runs = manifest.runs
    several = len(summary.groups) > 1
    models = [group.key.model for group in summary.groups]
    sections = tuple(
        _section(drawing, anchor, models, run)
        for drawing, anchor in zip(drawings, names, strict=True)
    )
    content = ReportContent(
        study=manifest.study,
        version=runs[-1].frostline_version if runs else "",
        measured=period(manifest),
        answer=answer(summary) if several else sections[0].answer,
        trials=summary.ok + summary.failed,
        failed=summary.failed,
        families=_families(drawings),
        models=tuple(dict.fromkeys(models)),
        contrasts=tuple(map(_contrast_row, setting_contrasts(summary.groups))),
        compared=compared_tables(summary.groups, published, schedules),
        sections=sections,
        columns=tuple(COLUMNS[number] for number in used),
        rows=tuple(replace(row, cells=tuple(row.cells[number] for number in used)) for row in rows),
        tensorboard=_tensorboard(where),
        facts=sweep_facts(manifest),
        study_file=study_file,
    )
    return visible_in(content)


def _contrast_row(found: SettingContrast) -> ContrastRow:
    best, other = found.best, found.best_against
    here, there = found.throughput, found.throughput_against
    noise = {None: "not known", True: "no", False: "yes"}
    return ContrastRow(
        title=found.title,
        shared=found.shared,
        throughput="" if here is None or there is None else f"{rate(here)} / {rate(there)}",
        ratio=ratio(found.ratio),
        noise=noise[found.is_clear],
        policy="" if best is None else best.policy,
        speedups=(
            ""
            if best is None or other is None
            else f"{ratio(best.speedup)} / {ratio(other.speedup)}"
        ),
    )


_PORT = f" --port {DEFAULT_PORT}"


def _tensorboard(where: str) -> tuple[str, str]:
    if "://" in where:  # TensorBoard reads local folders
        return f"frostline tensorboard FOLDER{_PORT}", "on a local copy of the sweep"
    return f"frostline tensorboard {shlex.quote(where)}{_PORT}", "on this machine"


def _section(drawing: Drawing, anchor: str, models: Sequence[str], run: Run | None) -> Section:
    group, evidence = drawing.group, drawing.evidence
    paragraph = group_answer(group, evidence_sentences(group, drawing.levels, drawing.errors))
    figures, words = section_figures(drawing)
    return Section(
        anchor=anchor,
        model=group.key.model,
        title=group.title,
        label=group.key.model if models.count(group.key.model) == 1 else group.title,
        device=group.device_kind or "",
        first=first_screen(group, drawing.first),
        answer=paragraph if len(models) == 1 else _below_its_title(paragraph, group),
        figures=figures,
        associations=association_rows(group, evidence, drawing.configurations),
        places=place_rows(drawing.levels),
        errors=error_rows(drawing.errors),
        lost=tuple(_lost(evidence)),
        lost_words=_lost_words(evidence),
        words=words,
        bill=bill_table(group, drawing.trials, run),
        facts=tuple(group_facts(group, evidence)),
        left_out=tuple(_left_out(group, drawing)),
    )


def _below_its_title(answer: str, group: GroupSummary) -> str:
    """The answer without the title, which the page shows above it."""
    rest = answer.removeprefix(f"{group.title}: ")
    return rest[:1].upper() + rest[1:]


def _by_cost_model(evidence: ReportEvidence) -> dict[str, float]:
    return {
        each.trial_id: each.speedup.predicted
        for each in evidence.predicted
        if each.predictor == THREE_ANCHOR
    }


def _families(drawings: Iterable[Drawing]) -> tuple[Family, ...]:
    there = {family_of_row(item.row).name for drawing in drawings for item in drawing.trials}
    return tuple(family for family in FAMILIES if family.name in there)


def _used_columns(rows: Sequence[TableRow]) -> list[int]:
    """Positions of the columns that are not empty throughout."""
    return [
        number
        for number, column in enumerate(COLUMNS)
        if not column.numeric or any(row.cells[number].order != "" for row in rows)
    ]


def _lost(evidence: ReportEvidence) -> Iterable[LostOp]:
    for op in evidence.unattributed:
        yield LostOp(
            op=op.op_name,
            op_type=op.op_type,
            rule=op.rule,
            time=f"{op.ns / 1e3:.3g}",
            share=share(op.share),
        )


def _lost_words(evidence: ReportEvidence) -> str:
    whole = evidence.unattributed_share
    if whole is None:
        return "No trial left a profile, so there is nothing to attribute."
    if not whole:
        return "Every op of every profile has a pass."
    more = evidence.unattributed_ops - len(evidence.unattributed)
    rest = f"; {counted(more, 'smaller one')} not listed" if more > 0 else ""
    count = evidence.unattributed_ops
    listed = counted(count, "different op") if count else "ops"
    return f"{share(whole)} of the op time of all profiles has no pass, in {listed}{rest}."


def _left_out(group: GroupSummary, drawing: Drawing) -> Iterable[str]:
    total, there = len(group.trials), len(drawing.trials)
    if there < total:
        yield (
            f"This page shows {there} of {total} trials: controls, anchors, the fastest trial, and "
            "some of each kind of policy, evenly spread over the frozen share. The answer counts "
            "all trials, and OUT/tables has all of them."
        )
