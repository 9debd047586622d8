"""A comparison of two sweeps: the values that the terminal, JSON, Markdown and the page show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from frostline.comparison.order import Order
from frostline.comparison.ratio import Measured
from frostline.comparison.verdict import VERDICTS, Judgement, Verdict, gate_code
from frostline.notebook import html_table, html_text, one_line
from frostline.words import DASH, interval, ratio, share

COLUMNS = ("policy", "frozen", "speedup A", "speedup B", "B predicted", "B / A", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A configuration as one of the sweeps measured it.

    Attributes:
        trial_id: the trial.
        policy: its expanded policy.
        speedup: with its interval; None where it failed, or has no interval.
        step_ns: its step time, nanoseconds.
        failure: why it was not measured, in words; None where it was.
    """

    trial_id: str
    policy: str
    speedup: Measured | None
    step_ns: int | None
    failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the cost model, made from B's anchors, says of a configuration on B.

    Attributes:
        speedup: with the interval in which a measured one would lie; the interval is empty where
            nothing tells how far predictions are off.
        is_anchor: the configuration is an anchor, so that it is measured before the others are.
    """

    speedup: Measured
    is_anchor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One freeze configuration of a model under a setting.

    Attributes:
        policy: the expanded policy, of A where A has it.
        frozen_fraction: frozen / trainable parameters.
        a, b: what each sweep has of it; None where it has no such trial.
        speedups: B's speedup against A's; None where they are not judged.
        steps: A's step time against B's, above 1 where B is faster; None where not judged.
        prediction: for B, from B's anchors; None where there is none.
    """

    policy: str
    frozen_fraction: float | None
    a: Side | None
    b: Side | None
    speedups: Judgement | None
    steps: Judgement | None
    prediction: Prediction | None

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """What was judged of it."""
        return tuple(each for each in (self.speedups, self.steps) if each is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSide:
    """A model under a setting, as one of the sweeps measured it.

    Attributes:
        title: model and setting in words.
        device_kind: what it was measured on; None where nothing was measured.
        hosts: names of the machines, ascending.
        noise_floor: over its controls; None without a measured control.
        controls: measured controls.
        baseline_step_ns: median over its trials.
    """

    title: str
    device_kind: str | None
    hosts: tuple[str, ...]
    noise_floor: float | None
    controls: int
    baseline_step_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedOver:
    """What is left of A's order on B, by predictions from B's anchors.

    Attributes:
        order: A's measured speedups against those predicted for B (of anchors: measured on B).
        predicted: configurations of A that are no anchors and that B's cost model can predict.
        error: mean of |predicted / measured - 1| over held-out configurations; None where none was
            held out in either sweep.
        held_out: how many those are.
        error_of: the sweep in which they were held out, `A` or `B`; None likewise.
    """

    order: Order
    predicted: int
    error: float | None
    held_out: int
    error_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedGroup:
    """A model under a setting that stands in both sweeps.

    Attributes:
        model: the model's name; a variant's is `model@variant`.
        a, b: as each sweep measured it.
        differences: why speedups are not judged: what makes it another model or setting.
        notes: what differs and does not keep them from being judged.
        baseline: A's baseline step time against B's; None where step times are not judged.
        configurations: on both sides, ascending by frozen fraction; controls are left out.
        only_a, only_b: configurations on one side only.
        order: of the measured speedups; None with fewer than two configurations on both sides.
        carried: None where B has no cost model, or it can predict nothing of A.
        not_carried: why there is none, in words.
    """

    model: str
    a: GroupSide
    b: GroupSide
    differences: tuple[str, ...]
    notes: tuple[str, ...]
    baseline: Judgement | None
    configurations: tuple[Configuration, ...]
    only_a: tuple[Configuration, ...]
    only_b: tuple[Configuration, ...]
    order: Order | None
    carried: CarriedOver | None
    not_carried: str

    @property
    def title(self) -> str:
        """Model and setting in words, of both sweeps where they differ."""
        if self.a.title == self.b.title:
            return self.a.title
        return f"{self.a.title} (A) and {self.b.title} (B)"

    @property
    def of_a(self) -> tuple[Configuration, ...]:
        """Every configuration of A, in B or not, ascending by frozen fraction."""
        everything = (*self.configurations, *self.only_a)
        return tuple(sorted(everything, key=lambda one: (one.frozen_fraction or 0.0, one.policy)))

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """Everything that was judged of it."""
        first = () if self.baseline is None else (self.baseline,)
        return (*first, *(each for one in self.configurations for each in one.judgements))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One of the two sweeps.

    Attributes:
        shown: its path or URI, without credentials.
        study: the study's name.
        versions: by program, of its last run.
    """

    shown: str
    study: str
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sweeps side by side.

    Attributes:
        a, b: the sweeps.
        margin: differences up to it count as none; the gate's, where there is one.
        gated: whether there is a gate.
        groups: models under settings that stand in both.
        only_a, only_b: those that stand in one of them, in words.
        notices: what differs between the sweeps as a whole, in words.
    """

    a: Compared
    b: Compared
    margin: float
    gated: bool
    groups: tuple[ComparedGroup, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    notices: tuple[str, ...]

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """Everything that was judged."""
        return tuple(each for group in self.groups for each in group.judgements)

    @property
    def exit_code(self) -> int:
        """What the gate says: 0, 1 (lower) or 3 (cannot tell); 0 without a gate."""
        return gate_code(self.judgements) if self.gated else 0

    def counts(self) -> dict[Verdict, int]:
        """How many judgements there are of each verdict, in the order of `VERDICTS`."""
        found = Counter(each.verdict for each in self.judgements)
        return {verdict: found[verdict] for verdict in VERDICTS}

    def __repr__(self) -> str:
        facts: dict[str, str] = {verdict: str(count) for verdict, count in self.counts().items()}
        return one_line("Comparison", f"{self.a.shown} and {self.b.shown}", facts)

    def _repr_html_(self) -> str:
        tables = (
            html_table(COLUMNS, list(rows(group)), caption=group.title, words=(0, 6))
            for group in self.groups
        )
        return "".join([*tables, *map(html_text, self.notices)])


def rows(group: ComparedGroup) -> Iterator[tuple[str, ...]]:
    """The configurations of a group as cells under `COLUMNS`."""
    for each in group.of_a:
        found = each.speedups.ratio if each.speedups else None
        yield (
            *cells(each),
            f"{found.value:.3f} {interval(found.low, found.high)}" if found else "",
            each.speedups.verdict if each.speedups else not_judged(each),
        )


def cells(one: Configuration) -> tuple[str, ...]:
    """A configuration under the first of `COLUMNS`, up to what is predicted for B."""
    return (
        one.policy,
        share(one.frozen_fraction),
        _speedup_cell(one.a),
        _speedup_cell(one.b),
        _predicted_cell(one),
    )


def _speedup_cell(side: Side | None) -> str:
    """A speedup as a cell, or why there is none."""
    if side is None:
        return DASH
    return "failed" if side.failure else ratio(side.speedup.value if side.speedup else None)


def _predicted_cell(one: Configuration) -> str:
    """What is predicted for B, as a cell; anchors are not predicted from themselves."""
    if one.prediction is None:
        return DASH
    return "anchor" if one.prediction.is_anchor else ratio(one.prediction.speedup.value)


def not_judged(one: Configuration) -> str:
    """Why a configuration of A has no verdict, in a word or two."""
    return "not in B" if one.b is None else "not judged"


def step_lines(
    group: ComparedGroup,
) -> tuple[tuple[str, int | None, int | None, Judgement | None], ...]:
    """Name, step times in nanoseconds and judgement: the baseline, then each configuration."""
    found = [
        (one.policy, one.a.step_ns, one.b.step_ns, one.steps)
        for one in group.configurations
        if one.a is not None and one.b is not None and one.steps is not None
    ]
    baseline = (group.a.baseline_step_ns, group.b.baseline_step_ns, group.baseline)
    return (("nothing frozen", *baseline), *found)
