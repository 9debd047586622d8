"""Two sweeps -> their comparison.

In: two sweeps, and a gate. Out: `Comparison`. Speedups are judged where model, setting and frozen
variables are the same, on whatever machine and day they were measured; where the model or the
setting differs, only the order of the configurations is compared. Refuses (`UsageError`) step times
of different devices or hosts, and a gate where nothing can be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from frostline.analyse import TrialGroup
from frostline.comparison.carried import Forecast, Frozen, carried_over, forecast
from frostline.comparison.comparison import Compared, ComparedGroup, Comparison, GroupSide
from frostline.comparison.configurations import (
    Judging,
    Trials,
    alone,
    baselines,
    beside,
    speedups_of,
    trials_of,
)
from frostline.comparison.contents import Contents
from frostline.comparison.matching import differences, notes, pair_groups
from frostline.comparison.order import order
from frostline.comparison.verdict import MARGIN, parse_gate
from frostline.errors import UsageError
from frostline.store.sweep import Sweep, as_sweep
from frostline.suggest import advice

_PROGRAMS = ("frostline", "tensorflow", "keras")
_UNPREDICTED = Forecast(predictions={}, error=None, error_of=None)


def compare(
    a: Sweep | str | PathLike[str],
    b: Sweep | str | PathLike[str],
    *,
    gate: float | str | None = None,
    gate_steps: bool = False,
    model: str | None = None,
) -> Comparison:
    """Compare two sweeps, configuration by configuration.

    Args:
        a: the earlier sweep, or its path; what B is held against.
        b: the later one.
        gate: how much lower a speedup may be, as a share (0.03) or as text (`3%`); it is the margin
            within which speedups are the same. None: 3%, and no gate.
        gate_steps: judge step times as well; both sweeps must come from one device of one host.
        model: only this model of the studies.

    Raises:
        SweepError: a sweep has no trial yet.
        UsageError: the gate is no share, there is no such model, step times cannot be compared, or
            there is a gate and nothing that it could judge.
        StorageError: a table cannot be read.
    """
    margin = None if gate is None else parse_gate(str(gate))
    sweeps = as_sweep(a), as_sweep(b)
    for sweep in sweeps:
        sweep.refuse_empty()
    if model is not None:
        known = sorted({row.model for sweep in sweeps for row in sweep.trial_rows()})
        if model not in known:
            raise UsageError(f"neither sweep has a model `{model}`. {advice(model, known)}")
    one, other = (Contents.read(sweep, model) for sweep in sweeps)
    return compare_contents(one, other, gate=margin, gate_steps=gate_steps)


def compare_contents(
    a: Contents, b: Contents, *, gate: float | None = None, gate_steps: bool = False
) -> Comparison:
    """Compare what was read of two sweeps; see `compare`. Pure."""
    paired = pair_groups(a.groups, b.groups)
    pairs = [_Pair.of(mine, theirs, a, b) for mine, theirs in paired.pairs]
    if gate_steps:
        for pair in pairs:
            _need_one_device(pair)
    judged = sum(pair.count(steps=gate_steps) for pair in pairs)
    if gate is not None and not judged:
        raise UsageError(_nothing_to_judge(pairs))
    margin = MARGIN if gate is None else gate
    judging = Judging(margin=margin, judged=max(1, judged), steps=gate_steps)
    return Comparison(
        a=a.about,
        b=b.about,
        margin=margin,
        gated=gate is not None,
        groups=tuple(_compared(pair, a, b, judging) for pair in pairs),
        only_a=tuple(group.title for group in paired.only_a),
        only_b=tuple(group.title for group in paired.only_b),
        notices=_versions_differ(a.about, b.about),
    )


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two groups that belong together, and their trials by what is frozen."""

    a: TrialGroup
    b: TrialGroup
    trials_a: Trials
    trials_b: Trials
    differences: tuple[str, ...]
    notes: tuple[str, ...]

    @staticmethod
    def of(a: TrialGroup, b: TrialGroup, one: Contents, other: Contents) -> _Pair:
        models = one.known(a.key), other.known(b.key)
        return _Pair(
            a=a,
            b=b,
            trials_a=trials_of(a),
            trials_b=trials_of(b),
            differences=differences(a, b, *models),
            notes=notes(a, b, *models),
        )

    @property
    def judged(self) -> list[Frozen]:
        """Configurations that are judged: measured in A, and tried in B."""
        if self.differences:
            return []
        there = self.trials_b
        return [key for key, row in self.trials_a.items() if row.status == "ok" and key in there]

    def count(self, *, steps: bool) -> int:
        """How many ratios are judged: with step times, the baseline's as well."""
        found = len(self.judged)
        return found + found + 1 if steps and found else found


def _compared(pair: _Pair, one: Contents, other: Contents, judging: Judging) -> ComparedGroup:
    known, why_not = _forecast(pair, one, other)
    speedups_a, speedups_b = speedups_of(pair.trials_a), speedups_of(pair.trials_b)
    floors = pair.a.noise_floor, pair.b.noise_floor
    both = [(each, speedups_b[key]) for key, each in speedups_a.items() if key in speedups_b]
    groups = (pair.a, pair.b)
    carried = carried_over(speedups_a, speedups_b, known, floors)
    if carried is None and not why_not:
        why_not = "beside anchors, nothing of A can be predicted from B's anchors"
    return ComparedGroup(
        model=pair.a.key.model_key,
        a=_group_side(pair.a),
        b=_group_side(pair.b),
        differences=pair.differences,
        notes=pair.notes,
        baseline=baselines(groups, judging) if judging.steps and pair.judged else None,
        configurations=beside(
            pair.trials_a, pair.trials_b, pair.judged, groups, judging, known.predictions
        ),
        only_a=alone(pair.trials_a, pair.trials_b, known.predictions, in_a=True),
        only_b=alone(pair.trials_b, pair.trials_a, known.predictions, in_a=False),
        order=order(both, *floors) if len(both) > 1 else None,
        carried=carried,
        not_carried="" if carried is not None else why_not,
    )


def _forecast(pair: _Pair, one: Contents, other: Contents) -> tuple[Forecast, str]:
    """Predictions for B, and why there are none."""
    a, b = ((group.key, group.device_kind) for group in (pair.a, pair.b))
    here = other.fitted.get(b)
    if here is None:
        return _UNPREDICTED, other.unfitted.get(b, "nothing was measured in B")
    return forecast(list(pair.trials_a), here, one.fitted.get(a)), ""


def _group_side(group: TrialGroup) -> GroupSide:
    return GroupSide(
        title=group.title,
        device_kind=group.device_kind,
        hosts=_hosts(group),
        noise_floor=group.noise_floor,
        controls=len(group.controls),
        baseline_step_ns=group.baseline_step_ns,
    )


def _hosts(group: TrialGroup) -> tuple[str, ...]:
    return tuple(sorted({row.host for row in group.rows if row.host}))


def _need_one_device(pair: _Pair) -> None:
    """Refuse step times that another device or host would explain."""
    a, b = pair.a, pair.b
    hosts = _hosts(a), _hosts(b)
    differing = []
    if a.device_kind is None or a.device_kind != b.device_kind:
        kinds = (each or "not known" for each in (a.device_kind, b.device_kind))
        differing.append("devices {} (A), {} (B)".format(*kinds))
    if hosts[0] != hosts[1] or len(hosts[0]) != 1:
        said = (", ".join(each) or "not known" for each in hosts)
        differing.append("hosts {} (A), {} (B)".format(*said))
    if differing:
        raise UsageError(
            f"step times of {a.title} cannot be compared: {'; '.join(differing)}. Leave out "
            "--gate-steps: speedups, which are relative to each sweep's own baseline, can be"
        )


def _nothing_to_judge(pairs: Sequence[_Pair]) -> str:
    said = [
        f"\n  {pair.a.title}: {'; '.join(pair.differences) or 'no configuration is in both'}"
        for pair in pairs
    ]
    return (
        "the gate has nothing to judge: no configuration of the same model and setting was "
        f"measured in both sweeps.{''.join(said)}\nRun the same study on both sides"
    )


def _versions_differ(a: Compared, b: Compared) -> tuple[str, ...]:
    one, other = dict(a.versions), dict(b.versions)
    return tuple(
        f"{name} {one.get(name, 'not known')} (A), {other.get(name, 'not known')} (B)"
        for name in _PROGRAMS
        if one.get(name) != other.get(name)
    )
