"""Finds a trial by its id, the start of its id, or its policy.

In: the committed trials and what was typed. Out: one `TrialRow`. Refuses (`UsageError`) a name that
no trial has, with the nearest name, and a name that several trials have, with a list of them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frostline.analyse import GroupKey
from frostline.errors import PolicyError, UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.policies.expand import expand
from frostline.policies.grammar import Listed, Named, Regex, parse
from frostline.store.trial_row import TrialRow
from frostline.suggest import advice, nearest
from frostline.words import policy_words

_LISTED = 12


KnownFacts = Callable[[str], ModelFacts | None]
"""The facts of a model by its name; None where they are not known."""


BASELINE = "baseline"
"""What stands for any of the controls where a trial is asked for."""


def find_trial(
    rows: Sequence[TrialRow],
    asked: str,
    facts_of: KnownFacts = lambda model: None,
    *,
    model: str | None = None,
) -> TrialRow:
    """The one committed trial of this name, failed ones included.

    The name is tried in this order: as a trial's id; as its expanded policy, one of its aliases, or
    its name in tables (`control 2`); as the start of its id; as a policy that names layers or
    variables in another way (`layer:conv1` for `layer:base/conv1`), where `facts_of` knows them.
    With `model` only that model's trials are meant; so they are where its name and a slash stand
    before the trial's (`vgg16/prefix:8`).

    Raises:
        UsageError: there is no trial yet, or the name fits none or several.
    """
    asked = asked.strip()
    if not rows:
        raise UsageError(
            "no trial of this sweep is committed yet; wait for the first, or run "
            "`frostline sweep` on it again"
        )
    rows = _of_model(rows, model)
    if not any(asked in (row.trial_id, *_names(row)) for row in rows):
        rows, asked = _named_model(rows, asked)
    for matches in (
        [row for row in rows if row.trial_id == asked],
        [row for row in rows if asked in _names(row)],
        [row for row in rows if asked and row.trial_id.startswith(asked)],
        _with_the_same_frozen(rows, asked, facts_of),
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UsageError(
                f"{asked!r} is the name of {len(matches)} trials; write one of their ids "
                f"(or the start of one):\n{_listed(matches)}"
            )
    raise UsageError(_unknown(rows, asked))


def baseline_of(
    rows: Sequence[TrialRow], other: TrialRow | None, *, model: str | None = None
) -> TrialRow:
    """The control that stands for a trial's baseline: the first with a profile, else the first.

    A variant's baseline is that of its plain model.

    Raises:
        UsageError: there is none, or nothing says of which model and setting.
    """
    rows = _of_model(rows, model)
    groups = {GroupKey.of(row).plain for row in rows}
    if other is None and len(groups) > 1:
        raise UsageError("`baseline` alone could be that of several models or settings")
    key = next(iter(groups), None) if other is None else GroupKey.of(other).plain
    mine = [
        row
        for row in rows
        if row.is_control
        and GroupKey.of(row) == key
        and (other is None or row.device_kind == other.device_kind)
        and (other is None or row.trial_id != other.trial_id)
    ]
    mine.sort(key=lambda row: (row.passes_ns is None, row.replicate))
    if not mine:
        raise UsageError(
            "no control, which is a copy of the baseline, was measured beside this trial; run the "
            "sweep again to its end"
        )
    return mine[0]


def _of_model(rows: Sequence[TrialRow], model: str | None) -> Sequence[TrialRow]:
    if model is None:
        return rows
    models = list(dict.fromkeys(row.model for row in rows))
    if model not in models:
        raise UsageError(f"the sweep has no model `{model}`. {advice(model, models)}")
    return [row for row in rows if row.model == model]


def _named_model(rows: Sequence[TrialRow], asked: str) -> tuple[Sequence[TrialRow], str]:
    """The trials of the model that a name begins with, and what is left of the name."""
    for model in sorted({row.model for row in rows}, key=len, reverse=True):
        if asked.startswith(f"{model}/") and len(asked) > len(model) + 1:
            return [row for row in rows if row.model == model], asked[len(model) + 1 :].strip()
    return rows, asked


def _names(row: TrialRow) -> set[str]:
    if row.variant is not None:  # a bare policy means the plain model's
        return {f"{row.variant}: {each}" for each in (row.policy, *row.aliases)}
    return {row.policy, *row.aliases, policy_words(row)}


def _with_the_same_frozen(
    rows: Sequence[TrialRow], asked: str, facts_of: KnownFacts
) -> list[TrialRow]:
    """Trials of what a policy freezes, if it names what it freezes; counts depend on the study.

    As in `_names`, they are the plain model's unless a variant's name stands before the policy.
    """
    variant = next((row.variant for row in rows if asked.startswith(f"{row.variant}: ")), None)
    if variant is not None:
        asked = asked.removeprefix(f"{variant}: ")
    rows = [row for row in rows if row.variant == variant]
    try:
        terms = parse(asked)
    except PolicyError:
        return []
    if not all(isinstance(term, Named | Listed | Regex) for term in terms):
        return []
    wanted: dict[str, frozenset[str]] = {}
    for model in {row.model_key for row in rows}:
        facts = facts_of(model)
        try:
            for one in expand(asked, facts) if facts is not None else ():
                wanted[model] = one.frozen_variables
        except PolicyError:
            continue
    return [row for row in rows if wanted.get(row.model_key) == frozenset(row.frozen_variables)]


def _unknown(rows: Sequence[TrialRow], asked: str) -> str:
    ids = [row.trial_id for row in rows]
    policies = list(dict.fromkeys(name for row in rows for name in sorted(_names(row))))
    close = nearest(asked, [*policies, *ids])
    hint = f" Did you mean `{close}`?" if close else ""
    return (
        f"no trial of this sweep is called {asked!r}.{hint} A trial is named by its id, the start "
        f"of its id, or its policy (one that was not measured: `frostline predict`). There are:\n"
        f"{_listed(rows)}"
    )


def _listed(rows: Sequence[TrialRow]) -> str:
    """One line per trial; with the setting where the trials differ in it."""
    ordered = sorted(rows, key=lambda row: (GroupKey.of(row), row.policy, row.replicate))
    several = len({GroupKey.of(row) for row in ordered}) > 1
    width = max(len(row.trial_id) for row in ordered)
    lines = [
        f"  {row.trial_id:<{width}}  {policy_words(row)}"
        + (f"  ({GroupKey.of(row).label})" if several else "")
        + ("  failed" if row.status == "failed" else "")
        for row in ordered[:_LISTED]
    ]
    more = len(ordered) - _LISTED
    return "\n".join(lines + ([f"  and {more} more"] if more > 0 else []))
