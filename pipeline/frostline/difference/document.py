"""A difference as JSON: every op, grouped by layer and pass. Pure.

Keys are the fields of `frostline.difference.difference` (`pass` for `pass_`), and the sums and
kinds derived from them. Times are integer nanoseconds per step.
"""

from __future__ import annotations

from dataclasses import asdict

from frostline.difference.difference import Difference, GroupChange, OpChange


def document(difference: Difference) -> dict[str, object]:
    """The difference as one JSON object."""
    return {
        "a": asdict(difference.a),
        "b": asdict(difference.b),
        "clock": difference.clock,
        "change_ns": difference.change_ns,
        "by_kind": {
            kind: {"ops": count, "change_ns": change_ns}
            for kind, (count, change_ns) in difference.by_kind().items()
        },
        "notices": list(difference.notices),
        "groups": [_group(group) for group in difference.groups],
    }


def _group(group: GroupChange) -> dict[str, object]:
    return {
        "layer": group.layer,
        "pass": group.pass_,
        "a_ns": group.a_ns,
        "b_ns": group.b_ns,
        "change_ns": group.change_ns,
        "ops": [_op(op) for op in group.ops],
    }


def _op(op: OpChange) -> dict[str, object]:
    return {
        "name": op.name,
        "kind": op.kind,
        "a_type": op.a_type,
        "b_type": op.b_type,
        "a_ns": op.a_ns,
        "b_ns": op.b_ns,
        "change_ns": op.change_ns,
        "a_calls": op.a_calls,
        "b_calls": op.b_calls,
        "elsewhere": op.elsewhere,
    }
