"""An explanation in the terminal: verdict, the forward pass alone, the step in parts, the reasons.

In: `Explanation`. Out: things that Rich prints; eighty columns are enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from frostline.explanation.explanation import (
    PART_LABELS,
    Effect,
    Explanation,
    ForwardAlone,
    Part,
    Reason,
)
from frostline.explanation.memory import MemoryShare
from frostline.words import (
    DASH,
    duration_ns,
    floor,
    interval,
    percent,
    ratio,
    rounded_ms,
    signed_size,
    size,
)

_HEADINGS: dict[Effect, str] = {
    "verdict": "",
    "saved": "What freezing changed, ms per step saved",
    "remains": "What the step still takes, ms, and why",
    "unknown": "What cannot be known",
}
_STYLES = {"faster": "green", "slower": "red", "no measurable difference": "yellow"}


def rendered(explanation: Explanation) -> RenderableType:
    """The whole explanation."""
    return Group(*_parts(explanation))


def _parts(explanation: Explanation) -> Iterator[RenderableType]:
    yield Text.assemble((explanation.policy, "bold"), f"  {explanation.trial_id}")
    yield Text(_about(explanation))
    yield Text()
    yield from _verdict(explanation)
    digits = _digits(explanation)
    if explanation.parts:
        yield _table(explanation, digits)
        yield Text(_footnote(explanation), style="dim")
    for effect, heading in _HEADINGS.items():
        reasons = [reason for reason in explanation.reasons if reason.effect == effect]
        if reasons and heading:
            yield Text(f"\n{heading}", style="bold")
            yield _reasons(reasons, digits)
    if explanation.memory is not None:
        yield from _memory(explanation.memory)
    for warning in explanation.warnings:
        yield Text.assemble(("\nwarning: ", "yellow"), warning)
    places = {"Log": explanation.log_path, "Trace": explanation.trace_path}
    if shown := [f"{name} in OUT:\n  {path}" for name, path in places.items() if path]:
        yield Text("\n" + "\n".join(shown), style="dim", overflow="fold")


def _about(explanation: Explanation) -> str:
    words = explanation.setting
    if explanation.device_kind:
        words += f", on {explanation.device_kind}"
    of = f" of {explanation.layers}" if explanation.layers is not None else ""
    words += f"\nFreezes {explanation.frozen_layers}{of} layers"
    if explanation.frozen_fraction is not None:
        words += f", {percent(explanation.frozen_fraction)} of the parameters"
    if explanation.trains_from and explanation.trains_from_number:
        words += f"; trains from layer {explanation.trains_from_number} ({explanation.trains_from})"
    return words + "."


def _verdict(explanation: Explanation) -> Iterator[RenderableType]:
    if explanation.speedup is not None:
        said = explanation.verdict or ""
        yield Text.assemble(
            f"Speedup {ratio(explanation.speedup)} "
            f"{interval(explanation.speedup_low, explanation.speedup_high)}, noise floor "
            f"{floor(explanation.noise_floor)}: ",
            (said, _STYLES.get(said, "")),
            ".",
        )
    if explanation.forward_alone:
        yield Text(_forward_alone(explanation, explanation.forward_alone))
    for reason in explanation.reasons:
        if reason.effect == "verdict":
            yield _reason_words(reason)


def _forward_alone(explanation: Explanation, alone: ForwardAlone) -> str:
    words = (
        f"The forward pass alone would be {ratio(alone.speedup)} as fast = 1 + (B + U) / F: "
        f"forward {duration_ns(alone.forward_ns)}, gradients {duration_ns(alone.gradients_ns)}, "
        f"update {duration_ns(alone.update_ns)} in the baseline"
    )
    if round(alone.with_rest, 2) < round(alone.speedup, 2):
        words += f"; {ratio(alone.with_rest)} with input, waiting and unattributed time kept"
    saved = _saved_ns(explanation)
    if saved is not None and saved > 0 and explanation.verdict == "faster":
        removable = alone.gradients_ns + alone.update_ns
        takes = f"{duration_ns(removable)} that gradients and update take"
        words += f". The step became {duration_ns(saved)} shorter, "
        words += (
            f"of the {takes}"
            if saved <= removable
            else f"more than the {takes}: the rest of it got cheaper as well"
        )
    return words + "."


def _saved_ns(explanation: Explanation) -> int | None:
    if explanation.baseline_step_ns is None or explanation.step_ns is None:
        return None
    return explanation.baseline_step_ns - explanation.step_ns


def _table(explanation: Explanation, digits: int) -> Table:
    parts = explanation.parts
    spread = any(part.spread_ns is not None for part in parts)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    table.add_column("ms per step", "step", overflow="fold", min_width=24)

    def number(ns: int | None, *, signed: bool = False) -> str:
        return DASH if ns is None else rounded_ms(ns, digits, signed=signed)

    known = (
        [part.baseline_ns is not None for part in parts],
        [part.trial_ns is not None for part in parts],
    )
    before = explanation.baseline_step_ns if any(known[0]) else None
    after = explanation.step_ns if any(known[1]) else None
    saved = None if before is None or after is None else before - after
    columns: list[tuple[str, str]] = [("baseline", number(before))]
    columns += [("±", "")] if spread else []
    columns += [("trial", number(after)), ("saved", number(saved, signed=True))]
    for name, total in columns:
        table.add_column(name, total, justify="right", no_wrap=True)
    for part in _visible(parts, digits):
        cells = [number(part.baseline_ns)]
        cells += [_spread(part, digits)] if spread else []
        cells += [number(part.trial_ns), number(part.saved_ns, signed=True)]
        table.add_row(PART_LABELS[part.kind], *cells, style=_row_style(part))
    return table


def _visible(parts: Sequence[Part], digits: int) -> list[Part]:
    """Without parts that would read as zero throughout."""
    least_ns = 10 ** (6 - digits) / 2
    return [part for part in parts if max(part.baseline_ns or 0, part.trial_ns or 0) >= least_ns]


def _row_style(part: Part) -> str:
    """Changes that the controls show among themselves are dimmed."""
    known = part.saved_ns is not None and part.spread_ns is not None
    return "dim" if known and abs(part.saved_ns or 0) <= (part.spread_ns or 0) else ""


def _spread(part: Part, digits: int) -> str:
    return "" if part.spread_ns is None else rounded_ms(part.spread_ns, digits)


def _footnote(explanation: Explanation) -> str:
    controls = explanation.profiled_controls
    several = (
        f", split as the mean of {controls} controls (±: the most that one differs from it)"
        if controls > 1
        else ""
    )
    return (
        "Unprofiled step times, split in proportion to the profiles. Baseline: measured beside "
        f"this trial{several}; trial: baseline / speedup."
    )


def _reasons(reasons: Sequence[Reason], digits: int) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for reason in reasons:
        signed = reason.effect == "saved"
        share = (
            "" if reason.share_ns is None else rounded_ms(reason.share_ns, digits, signed=signed)
        )
        table.add_row(share, _reason_words(reason))
    return table


def _reason_words(reason: Reason) -> RenderableType:
    words = Text(reason.text[:1].upper() + reason.text[1:] + ".")
    if reason.advice:
        words.append(f"\n→ {reason.advice}", style="bold")
    return words


def _memory(memory: MemoryShare) -> Iterator[RenderableType]:
    """The peak in parts, what was released, and the largest tensors."""
    yield Text("\nMemory at the peak of a step", style="bold")
    account = " by the profile's account of large tensors" if memory.is_from_profile else ""
    known = memory.measured_bytes
    measured = "" if known is None else f"{size(known)} measured{account}, "
    alone = "" if memory.is_calibrated else " (tensors alone: no anchor's memory was measured)"
    said = f"{measured}{size(memory.trial.total)} predicted{alone}: {memory.words()}."
    yield Text(f"{said} {memory.trial.left_out}".rstrip())
    parts = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    parts.add_column("bytes", "peak")
    for name, total in (("baseline", memory.baseline.total), ("trial", memory.trial.total)):
        parts.add_column(name, size(total), justify="right", no_wrap=True)
    for name, before, after in memory.parts():
        if before or after:
            parts.add_row(name, signed_size(before), signed_size(after))
    yield parts
    if memory.tensors:
        largest = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        largest.add_column("largest tensors alive then", overflow="fold")
        largest.add_column("made by", overflow="fold")
        largest.add_column("size", justify="right", no_wrap=True)
        for tensor in memory.tensors:
            largest.add_row(tensor.layer or DASH, tensor.op, size(tensor.n_bytes))
        yield largest


def _digits(explanation: Explanation) -> int:
    step_ms = (explanation.baseline_step_ns or 0) / 1e6
    return 1 if step_ms >= 100 else 2 if step_ms >= 1 else 4
