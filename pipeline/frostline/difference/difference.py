"""The differences between two trials, as values; every time in integer nanoseconds per step.

The changes add up exactly: the changes of a group's ops to the change of the group, and the changes
of all groups to the difference of the totals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from frostline.attribute.step_graph import Pass
from frostline.notebook import html_table, html_text, one_line
from frostline.words import duration_ns, signed_ns

ChangeKind = Literal["vanished", "shrank", "unchanged", "grew", "appeared"]
CHANGE_KINDS: tuple[ChangeKind, ...] = ("vanished", "shrank", "unchanged", "grew", "appeared")
PASS_LABELS: dict[Pass, str] = {
    "forward": "forward",
    "activation_gradient": "dX",
    "weight_gradient": "dW",
    "optimizer": "update",
    "input": "input",
    "other": "other",
}
Clock = Literal["profiled", "timed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """An op of one trial, its calls on all devices together.

    Attributes:
        layer: None where it belongs to no layer.
        pass_: its pass.
        name: op of the traced step that it was matched to, else its name as profiled.
        op_type: TensorFlow op type, or HLO opcode.
        ns: time per step.
        calls: events per step.
    """

    layer: str | None
    pass_: Pass
    name: str
    op_type: str
    ns: int
    calls: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OpChange:
    """One op in both trials.

    Attributes:
        layer, pass_, name: as in `Op`.
        a_type, b_type: its type in each; None where that trial has no such op.
        a_ns, b_ns: 0 where that trial has no such op.
        a_calls, b_calls: events per step.
        elsewhere: for an op that vanished or appeared, where the other trial counts an op of this
            name and type (`weight_gradient of conv2`); None where it has no such op.
    """

    layer: str | None
    pass_: Pass
    name: str
    a_type: str | None
    b_type: str | None
    a_ns: int
    b_ns: int
    a_calls: float
    b_calls: float
    elsewhere: str | None = None

    @property
    def change_ns(self) -> int:
        """B minus A."""
        return self.b_ns - self.a_ns

    @property
    def kind(self) -> ChangeKind:
        """How the op changed from A to B."""
        if self.b_type is None:
            return "vanished"
        if self.a_type is None:
            return "appeared"
        if self.change_ns == 0:
            return "unchanged"
        return "shrank" if self.change_ns < 0 else "grew"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChange:
    """The ops of one layer in one pass, largest change first."""

    layer: str | None
    pass_: Pass
    ops: tuple[OpChange, ...]

    @property
    def label(self) -> str:
        """Layer and pass: `net/conv1, dX`."""
        return f"{self.layer or 'no layer'}, {PASS_LABELS[self.pass_]}"

    @property
    def a_ns(self) -> int:
        """Time in the first trial."""
        return sum(op.a_ns for op in self.ops)

    @property
    def b_ns(self) -> int:
        """Time in the second trial."""
        return sum(op.b_ns for op in self.ops)

    @property
    def change_ns(self) -> int:
        """B minus A."""
        return self.b_ns - self.a_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two trials.

    Attributes:
        trial_id, policy: of the trial; a control's policy has its number.
        setting: model and training setting, in words.
        device_kind: None where it is not known.
        speedup: over the baseline measured beside it.
        total_ns: time of all its ops per step.
    """

    trial_id: str
    policy: str
    setting: str
    device_kind: str | None
    speedup: float | None
    total_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two trials, op by op.

    Attributes:
        a, b: the trials.
        clock: `profiled`: op times as in `op_costs`; `timed`: scaled to the unprofiled steps.
        groups: per layer and pass, largest change first.
        notices: what to know before comparing, in words.
    """

    a: Side
    b: Side
    clock: Clock
    groups: tuple[GroupChange, ...]
    notices: tuple[str, ...]

    def __repr__(self) -> str:
        facts = {
            "change": f"{signed_ns(self.change_ns)} a step",
            "ops": ", ".join(
                f"{count} {kind}" for kind, (count, _) in self.by_kind().items() if count
            ),
        }
        return one_line("Difference", self._trials, facts)

    def _repr_html_(self) -> str:
        rows = [
            (each.label, duration_ns(each.a_ns), duration_ns(each.b_ns), signed_ns(each.change_ns))
            for each in self.groups
        ]
        total = (
            "all ops",
            duration_ns(self.a.total_ns),
            duration_ns(self.b.total_ns),
            signed_ns(self.change_ns),
        )
        table = html_table(("layer and pass", "A", "B", "B - A"), [total, *rows])
        return "".join(map(html_text, (self._trials, *self.notices))) + table

    @property
    def _trials(self) -> str:
        return f"A {self.a.policy} ({self.a.trial_id}), B {self.b.policy} ({self.b.trial_id})"

    @property
    def change_ns(self) -> int:
        """Difference of the totals, B minus A."""
        return self.b.total_ns - self.a.total_ns

    def by_kind(self) -> dict[ChangeKind, tuple[int, int]]:
        """Number of ops and their change, nanoseconds, for every kind."""
        found: dict[ChangeKind, tuple[int, int]] = dict.fromkeys(CHANGE_KINDS, (0, 0))
        for group in self.groups:
            for op in group.ops:
                count, change_ns = found[op.kind]
                found[op.kind] = (count + 1, change_ns + op.change_ns)
        return found
