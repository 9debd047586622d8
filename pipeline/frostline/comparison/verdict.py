"""What a ratio is worth against a margin, and what a gate says of many. Pure.

`same`          the ratio's interval lies within the margin on both sides of 1
`slower`        the interval lies below 1 - margin, and the joint interval below 1
`faster`        the interval lies above 1 + margin, and the joint interval above 1
`cannot tell`   all else: the intervals are too wide, or lie across the margin

The joint interval is there for comparisons of many configurations: if nothing has changed, the
probability that any of them is called faster or slower is 5% at most, however small the margin and
however the noises of the configurations hang together. `same` needs no such care: a gate lets pass
only if every single configuration does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from frostline.comparison.ratio import Ratio
from frostline.errors import UsageError

Verdict = Literal["same", "faster", "slower", "cannot tell"]
VERDICTS: tuple[Verdict, ...] = ("slower", "faster", "same", "cannot tell")

MARGIN = 0.03
"""What counts as the same where no gate says so."""

PASSED, LOWER, CANNOT_TELL = 0, 1, 3
"""Exit codes of a gate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found of one quantity of one configuration.

    Attributes:
        ratio: B / A; None where it is not known.
        verdict: what the ratio is worth.
        passes: whether B is surely not lower than A by more than the margin; None: not known.
        reason: why there is no ratio; empty where there is one.
    """

    ratio: Ratio | None
    verdict: Verdict
    passes: bool | None
    reason: str = ""


def judge(ratio: Ratio, margin: float) -> Judgement:
    """What a ratio is worth.

    Args:
        ratio: B / A, of something of which more is better.
        margin: differences up to it count as none; 0.03 is 3%.
    """
    least, most = 1 - margin, 1 + margin
    verdict: Verdict = "cannot tell"
    if ratio.high < least and ratio.joint_high < 1:
        verdict = "slower"
    elif ratio.low > most and ratio.joint_low > 1:
        verdict = "faster"
    elif least <= ratio.low and ratio.high <= most:
        verdict = "same"
    passes = False if verdict == "slower" else True if ratio.low >= least else None
    return Judgement(ratio=ratio, verdict=verdict, passes=passes)


def unknown(reason: str) -> Judgement:
    """That nothing can be told, and why."""
    return Judgement(ratio=None, verdict="cannot tell", passes=None, reason=reason)


def gate_code(judgements: Iterable[Judgement]) -> int:
    """`LOWER` where any is lower by more than the margin, else `CANNOT_TELL` where any may be."""
    passes = {each.passes for each in judgements}
    return LOWER if False in passes else CANNOT_TELL if None in passes else PASSED


def parse_gate(text: str) -> float:
    """A gate as typed (`3%`, `0.03`) as a share.

    Raises:
        UsageError: it is no share between 0 and 1.
    """
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise UsageError(f"--gate {text}: write a share of the speedup, as in 3% or 0.03")
    return share
