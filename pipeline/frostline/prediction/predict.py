"""Predicted speedups of policies in every model and setting of a sweep.

In: a sweep and policies. Out: answers by model and setting, and what was left out. Refuses text
that is no policy, policies that fit no model, and a sweep without anchors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike

from frostline.analyse.groups import GroupKey
from frostline.analyse.stored_study import study_of
from frostline.billing.run import Run, settled
from frostline.billing.words import bill_cells, bill_columns
from frostline.costmodel.held_out import HeldOutError
from frostline.errors import PolicyError, SweepError, UsageError
from frostline.listing import listed
from frostline.memory.held_out import PeakErrors, peak_errors
from frostline.notebook import html_table, html_text, one_line
from frostline.policies import ExpandedPolicy, Policy, expand, parse, refuse_misfits, spelled
from frostline.prediction.bills import Billing
from frostline.prediction.fitted_groups import PredictedGroup, sort_groups
from frostline.prediction.predicted_configurations import Answer, GroupFigures, answered
from frostline.store.sweep import Sweep, as_sweep
from frostline.study.study import Study
from frostline.suggest import advice
from frostline.words import DASH, interval, layer_place, milliseconds, ratio, share, size

_SHOWN = 4
COLUMNS = (
    "policy", "frozen", "trains\nfrom", "step\nms", "predicted\nspeedup", "interval", "measured",
    "memory",
)  # fmt: skip


def cells(answer: Answer) -> tuple[str, ...]:
    """An answer as a row under `COLUMNS`; a star marks an anchor."""
    return (
        answer.policy,
        share(answer.frozen_fraction),
        layer_place(answer.earliest_trainable_layer),
        milliseconds(answer.predicted_step_ns),
        ratio(answer.predicted_speedup),
        interval(answer.low, answer.high),
        ratio(answer.measured_speedup) + ("*" if answer.is_anchor else " "),
        DASH if answer.predicted_peak_bytes is None else size(answer.predicted_peak_bytes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAnswers:
    """Predictions for one model, setting and kind of device.

    Attributes:
        key: model and setting.
        title: both in words, and the device where the setting was measured on several kinds.
        answers: in the order of the policies.
        error: over its held-out configurations; None where there is none.
        peak_error: of predicted peaks, over the held-out configurations with a measured one; None
            where there is none.
        noise_floor: over its controls.
        billing: what the bills of the answers share; None where no run is described.
    """

    key: GroupKey
    title: str
    answers: tuple[Answer, ...]
    error: HeldOutError | None
    peak_error: PeakErrors | None
    noise_floor: float | None
    billing: Billing | None = None

    def bill_table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]] | None:
        """Headings and rows of the bills, the measured baseline's first; None without a run."""
        if self.billing is None:
            return None
        baseline = self.billing.baseline
        bills = [answer.bill for answer in self.answers if answer.bill is not None]
        columns = bill_columns([baseline, *bills])
        rows: list[tuple[str, ...]] = [("nothing frozen, measured", *bill_cells(baseline, columns))]
        rows += [(one.policy, *bill_cells(one.bill, columns)) for one in self.answers]
        return ("policy", *columns), rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedPolicies:
    """Predictions for every model and setting.

    Attributes:
        groups: by model and setting; those without an answer are left out.
        notices: what was left out and why, in words.
    """

    groups: tuple[GroupAnswers, ...]
    notices: tuple[str, ...]

    def __repr__(self) -> str:
        facts = {group.title: _shortened(group.answers) for group in self.groups[:_SHOWN]}
        return one_line("PredictedPolicies", f"{len(self.answers)} predicted speedups", facts)

    def _repr_html_(self) -> str:
        tables = (
            html_table(COLUMNS, [cells(one) for one in group.answers], caption=group.title)
            for group in self.groups
        )
        bills = (
            html_table(*table, caption=f"{group.title}: what the run takes")
            for group in self.groups
            if (table := group.bill_table())
        )
        return "".join([*tables, *bills, *map(html_text, self.notices)])

    @property
    def answers(self) -> tuple[Answer, ...]:
        """All answers, group after group."""
        return tuple(answer for group in self.groups for answer in group.answers)


def predict(
    sweep: Sweep | str | PathLike[str],
    policies: str | Sequence[Policy],
    *,
    model: str | None = None,
    run: Run | None = None,
) -> PredictedPolicies:
    """Predict the configurations of policies under every setting of the sweep.

    Granularity and seed are those of the study, so that `random:4@0.5` means what it meant there.

    Args:
        sweep: the sweep, or its path; its anchors have to be measured and profiled.
        policies: as in a study file; one, or several.
        model: only this one; None: all that the policies fit.
        run: a training run to make bills for; where it says nothing, `[run]` of the study does.

    Raises:
        PolicyError: a policy cannot be parsed, freezes everything, or fits no model.
        SweepError: the sweep has no anchors, or its study cannot be read.
        UsageError: there is no such model, nothing can be predicted, or the run is not complete.
    """
    policies = parsed(policies)
    sweep = as_sweep(sweep)
    study = study_of(sweep)
    run = settled(run, study.run)
    fitted, notices = fitted_groups(sweep, study, model, policies)
    found = []
    for group in fitted:
        figures = GroupFigures.of(group, run)
        answers = [
            answer
            for policy in policies
            for answer in _answered(group, figures, policy, study, notices)
        ]
        if answers:
            found.append(
                GroupAnswers(
                    key=group.key,
                    title=group.title,
                    answers=tuple(answers),
                    error=figures.error,
                    peak_error=peak_errors(group.judged_peaks()),
                    noise_floor=figures.noise_floor,
                    billing=figures.billing,
                )
            )
    if not found:
        raise UsageError("\n".join(["nothing can be predicted:", *dict.fromkeys(notices)]))
    return PredictedPolicies(groups=tuple(found), notices=tuple(dict.fromkeys(notices)))


def _shortened(answers: Sequence[Answer]) -> str:
    return listed([f"{one.policy} {ratio(one.predicted_speedup)}" for one in answers], _SHOWN)


def parsed(policies: str | Sequence[Policy]) -> Sequence[Policy]:
    """The policies, each of which can be parsed; one goes as text.

    Raises:
        PolicyError: one cannot.
    """
    policies = [policies] if isinstance(policies, str) else policies
    for policy in policies:
        parse(policy)
    return policies


def fitted_groups(
    sweep: Sweep, study: Study, model: str | None, policies: Sequence[Policy] = ()
) -> tuple[tuple[PredictedGroup, ...], list[str]]:
    """The models and settings to predict from, and why others have no cost model.

    Raises:
        UsageError: the sweep has no such model.
        SweepError: it has no cost model at all.
        PolicyError: a policy fits none of the models, or freezes everything.
    """
    names = list(dict.fromkeys(each.plain_name for each in study.model_specs()))
    names += sorted({row.model for row in sweep.trial_rows()} - set(names))
    if model is not None and model not in names:
        raise UsageError(f"the sweep has no model `{model}`. {advice(model, names)}")
    fitted, rest = sort_groups(sweep, model=model)
    notices = [each.notice for each in rest]
    if not fitted:
        reasons = "".join(f"\n  {notice}" for notice in notices)
        raise SweepError(
            f"{sweep.out.files.shown} has no measured anchors to predict from; run its study, or "
            f'one with policies = ["anchors"], to the end.{reasons}'
        )
    refuse_misfits(
        policies,
        (group.facts for group in fitted),
        granularity=study.freeze.granularity,
        seed=study.seed,
    )
    return fitted, notices


def configurations(
    group: PredictedGroup, policy: Policy, study: Study, notices: list[str]
) -> tuple[ExpandedPolicy, ...]:
    """What a policy stands for in a group; why it stands for nothing goes to `notices`."""
    granularity, seed = study.freeze.granularity, study.seed
    try:
        expanded = expand(policy, group.facts, granularity=granularity, seed=seed)
    except PolicyError as error:  # it fits another model
        notices.append(str(error))
        return ()
    if not expanded:
        notices.append(f"`{spelled(policy)}` matches nothing in model `{group.key.model_key}`")
    return tuple(expanded)


def _answered(
    group: PredictedGroup, figures: GroupFigures, policy: Policy, study: Study, notices: list[str]
) -> Iterator[Answer]:
    for one in configurations(group, policy, study, notices):
        try:
            yield answered(group, figures, one)
        except UsageError as error:
            notices.append(f"{group.title}: `{one.policy}` cannot be predicted: {error}")
