"""A recommendation in the terminal: the frontier, the pick, the code. Pure.

In: `Recommendation`, and `Verified` where it was measured. Out: things that Rich prints.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from frostline.memory.peak_prediction import PeakPrediction
from frostline.prediction.bill_words import amounts_sentence, bill_sentences
from frostline.recommendation.recommendation import FRONTIER, Recommendation, kept_words
from frostline.words import counted, floor, milliseconds, ratio_with_interval, size

if TYPE_CHECKING:  # verifying brings the scheduler along
    from frostline.recommendation.verify import Verified
    from frostline.recommendation.verify_batch import VerifiedBatch

_YOURS = " Pass --importance FILE for what matters to you"
_NORMS = (
    ", or set gradient_norms = true under [measure] in the study and run it on the same --out again"
)
_VERDICTS = {
    "within": ("within the budget", "green"),
    "above": ("above the budget", "red"),
    "undecided": ("too close to the budget to tell", "yellow"),
}


def rendered(found: Recommendation) -> RenderableType:
    """The answer for one model and setting, without the code."""
    return Group(*_parts(found))


def pasted(found: Recommendation) -> Text:
    """The code, and the pick as a policy; to be printed without wrapping."""
    return Text(f"\n{found.code}\nAs a policy: {found.answer.policy}")


def batch_words(batch: VerifiedBatch) -> Text:
    """What became of the largest batch."""
    asked = f"{size(batch.memory_bytes)} that were asked for"
    predicted = f"predicted {size(batch.predicted_peak_bytes)}"
    tried = f"Largest batch, run alone with {counted(batch.batch_size, 'example')}: "
    if batch.peak_bytes is None or batch.error is None:
        return Text.assemble(tried, ("out of memory", "red"), f" ({predicted}).")
    fits = batch.outcome == "fits"
    verdict = ("fits into", "green") if fits else ("is more than", "red")
    needed = f"it needed {size(batch.peak_bytes)}, which "
    return Text.assemble(
        tried, needed, verdict, f" the {asked} ({predicted}, {batch.error:+.1%} off)."
    )


def verified_words(verified: Verified, found: Recommendation) -> Text:
    """Predicted against achieved, in two lines, and the bill by what was achieved."""
    words, style = _VERDICTS[verified.outcome]
    before = "measured by the sweep before" if verified.measured_before else "measured now"
    achieved = (
        f"Achieved ({before}): {1 / verified.speedup:.3f} "
        f"[{1 / verified.high:.3f}, {1 / verified.low:.3f}] of the baseline's step, "
        f"{ratio_with_interval(verified.speedup, verified.low, verified.high)}: "
    )
    predicted = (
        f"Predicted: {1 / verified.predicted_speedup:.3f}, {verified.predicted_speedup:.2f}x, "
        f"{verified.error:+.1%} off; noise floor {floor(verified.noise_floor)}. "
        f"Trial {verified.trial_id}."
    )
    billing = found.answer.billing
    if verified.bill is not None and billing is not None:
        predicted += (
            f"\nBy this measurement the run takes {amounts_sentence(verified.bill, billing)}"
        )
    return Text.assemble(achieved, (words, style), ".\n", predicted)


def _parts(found: Recommendation) -> Iterator[RenderableType]:
    pick, total = found.pick, len(found.importance.by_layer)
    yield Text(f"\n{found.title}", style="bold")
    yield Text(f"A layer counts by: {found.importance.words}.{_other_importance(found)}\n")
    yield _frontier(found)
    yield Text("Each row keeps the most that any choice of layers within its budget keeps.\n")
    if not pick.frozen_layers:
        yield Text(_freeze_nothing(found))
        if found.memory_bytes is not None and found.peak is not None:
            yield Text(_memory(found, found.peak))
        yield from _bill(found)
        return
    yield Text(
        f"Freeze {len(pick.frozen_layers)} of {total} layers: {kept_words(pick.kept)} of what "
        "matters goes on training.",
        style="bold",
    )
    if kept_words(pick.kept_at_most) != kept_words(pick.kept):
        yield Text(
            f"The search was not finished: no choice keeps more than "
            f"{kept_words(pick.kept_at_most)}, and one between the two may exist.",
            style="yellow",
        )
    yield Text(_prediction(found))
    if found.peak is not None:
        yield Text(_memory(found, found.peak))
    yield from _bill(found)
    if found.head_frozen is not None:
        yield Text(
            f"The head `{found.head_frozen}` is among the frozen ones; a head that is new has to "
            f"train: add --train {found.head_frozen}.",
            style="yellow",
        )


def _other_importance(found: Recommendation) -> str:
    """What else layers could count by; gradient norms are those of the plain model."""
    if found.importance.measure == "file":
        return ""
    norms = found.importance.measure == "params" and found.key.variant is None
    return f"{_YOURS}{_NORMS if norms else ''}."


def _freeze_nothing(found: Recommendation) -> str:
    """That every layer may train within what was asked for."""
    limits = [f"the budget of {found.pick.budget:g}"] if found.pick.budget < 1 else []
    if found.memory_bytes is not None:
        limits.append(f"the memory of {size(found.memory_bytes)}")
    if not limits:
        return "Freeze nothing: a budget of 1 leaves room for every layer."
    leave = "leaves" if len(limits) == 1 else "leave"
    return f"Freeze nothing: {' and '.join(limits)} {leave} room for every layer."


def _bill(found: Recommendation) -> Iterator[RenderableType]:
    if said := bill_sentences(found.answer):
        yield Text(said)


def _prediction(found: Recommendation) -> str:
    answer, interval = found.answer, found.share_interval
    words = f"Predicted step: {found.pick.share:.3f}"
    if interval:
        words += f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    words += " of the baseline's, "
    if answer.predicted_step_ns is not None:
        words += (
            f"{milliseconds(answer.predicted_step_ns)} ms instead of "
            f"{milliseconds(answer.baseline_step_ns)} ms, "
        )
    if interval is None:
        were = "was" if answer.held_out == 1 else "were"
        return words + (
            f"{answer.predicted_speedup:.2f}x. No interval: only "
            f"{counted(answer.held_out, 'configuration')} besides the anchors {were} measured, and "
            "an interval needs five."
        )
    words += (
        f"{ratio_with_interval(answer.predicted_speedup, answer.low, answer.high)}; the interval "
        f"is from {answer.held_out} held-out predictions of this sweep."
    )
    if interval[1] > found.pick.budget:
        safe = math.floor(1000 * found.pick.budget * found.pick.share / interval[1]) / 1000
        words += f" It exceeds the budget of {found.pick.budget:g}: --verify measures the pick, "
        words += (
            f"--budget {safe:g} leaves room."
            if safe >= found.fastest.share
            else "and no configuration is fast enough to leave that much room."
        )
    return words


def _memory(found: Recommendation, peak: PeakPrediction) -> str:
    """The pick's memory, and what holds most of it."""
    words = f"Predicted memory at most: {size(peak.total)}"
    if found.memory_bytes is not None:
        words += f" of the {size(found.memory_bytes)} that were asked for"
    largest = sorted(peak.parts.items(), key=lambda part: -part[1])[:3]
    said = ", ".join(f"{name} {size(count)}" for name, count in largest if count > 0)
    words = " ".join(filter(None, (f"{words} ({said}).", peak.left_out)))
    if found.largest_batch is not None:
        how = "In proportion"
        if found.other_batches:
            sizes = sorted({*found.other_batches, found.key.setting.batch_size})
            how = f"By the peaks at batch sizes {sizes[0]} and {sizes[-1]}"
        words += (
            f" {how}, {counted(found.largest_batch, 'example')} a batch would fit; --verify runs "
            "them."
        )
    return words


def _frontier(found: Recommendation) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("", no_wrap=True)
    for heading in FRONTIER:
        table.add_column(heading, justify="right", no_wrap=True)
    for point, cells in zip(found.frontier, found.frontier_rows(), strict=True):
        chosen = point is found.pick
        table.add_row(">" if chosen else "", *cells, style="bold" if chosen else "")
    return table
