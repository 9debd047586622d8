"""The answer in plain words, with the figures it rests on.

In: the summary of a sweep or of a group. Out: one paragraph: how many configurations are
measurably faster, which is fastest, whether the frozen fraction explains the speedup, the clearest
counter-example, and, where nothing differs, why. It also says what is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from frostline.analyse.association import Association
from frostline.analyse.dispatch import more_per_dispatch
from frostline.analyse.groups import QUIETER
from frostline.analyse.summary import GroupSummary, Summary
from frostline.analyse.waits import HOST_BOUND, INPUT_BOUND, waiting_words
from frostline.words import counted, duration_ns, percent, placement, ratio, speedup

_STRONG = 0.8
_WEAK = 0.5
_NOISY = 0.05


def answer(summary: Summary) -> str:
    """One paragraph for a whole sweep; for a single group, that group's paragraph."""
    if not summary.groups:
        return "No trial is committed yet."
    if len(summary.groups) > 1:
        return _overall(summary.groups)
    return group_answer(summary.groups[0])


def group_answer(group: GroupSummary, further: Iterable[str] = ()) -> str:
    """The paragraph for one model and setting.

    The sentences in `further`, which draw on other tables, are put before the failures.
    """
    if group.candidates and group.is_unreadable:
        sentences = [_too_noisy(group), _eager(group)]
        sentences += [_count(group), _best(group)] if group.best else []
    elif group.candidates:
        sentences = [_count(group), _best(group), _explained(group), _contrast(group)]
        sentences += [_eager(group) or _why_nothing(group), _why_little(group)]
    elif group.controls:
        floor = percent(group.noise_floor or 0.0)
        sentences = [
            f"{group.title}: only the baseline and its controls were measured; they differ by "
            f"up to {floor}."
        ]
    else:
        sentences = [f"{group.title}: no configuration was measured."]
    sentences += [*further, _failures(group)]
    return " ".join(sentence for sentence in sentences if sentence)


def _overall(groups: Sequence[GroupSummary]) -> str:
    """The paragraph for several models and settings."""
    readable = [group for group in groups if not group.is_unreadable]
    failed = sum(len(group.failed) for group in groups)
    failures = [f"{counted(failed, 'trial')} failed."] if failed else []
    if not readable:
        said = f"{len(groups)} models and settings, all of them too noisy to read. {QUIETER}"
        return " ".join([said, *failures])
    candidates = [item for group in readable for item in group.candidates]
    faster = sum(item.verdict == "faster" for item in candidates)
    sentences = [
        f"{len(groups)} models and settings: {faster} of "
        f"{counted(len(candidates), 'configuration')} {'is' if faster == 1 else 'are'} "
        "measurably faster than their baseline."
    ]
    if unreadable := len(groups) - len(readable):
        are = "model and setting is" if unreadable == 1 else "models and settings are"
        sentences.append(f"{unreadable} {are} too noisy to read, and not counted here.")
    best = max(
        ((group, group.best) for group in readable if group.best),
        key=lambda found: found[1].speedup or 0.0,
        default=None,
    )
    if best is not None:
        sentences.append(f"Fastest is {best[1].policy} of {best[0].title} with {speedup(best[1])}.")
    known = [
        (group.title, group.by_fraction, group.by_position) for group in readable if group.best
    ]
    fractions = sorted(((f.rho, t) for t, f, _ in known if f), key=lambda found: found[0])
    if fractions:
        (low, least), (high, most) = fractions[0], fractions[-1]
        sentences.append(
            f"The rank correlation of the speedup with the frozen fraction runs from {low:+.2f} "
            f"({least}) to {high:+.2f} ({most}), over {len(fractions)} of them that hold enough "
            "different configurations."
        )
    both = [(f, p) for _, f, p in known if f and p]
    if both:
        better = sum(p.rho > f.rho for f, p in both)
        sentences.append(
            f"In {better} of {len(both)} the position of the first layer that still trains orders "
            "the speedups better."
        )
    return " ".join([*sentences, *failures])


def _count(group: GroupSummary) -> str:
    verdicts = [item.verdict for item in group.candidates]
    total, faster, slower = len(verdicts), verdicts.count("faster"), verdicts.count("slower")
    step = group.baseline_step_ns
    takes = f"the baseline's step takes {duration_ns(step)}; " if step is not None else ""
    if group.noise_floor is None:
        floor = "no control was measured, so the noise floor is not known"
    else:
        controls = counted(group.controls, "control")
        floor = f"noise floor {percent(group.noise_floor)}, from {controls}"
    return (
        f"{group.title}: {takes}of {counted(total, 'configuration')}, {faster} "
        f"{'is' if faster == 1 else 'are'} measurably faster, {slower} slower, and "
        f"{total - faster - slower} show{'s' if total - faster - slower == 1 else ''} no "
        f"measurable difference ({floor})."
    )


def _best(group: GroupSummary) -> str:
    best = group.best
    if best is None:
        return ""
    of = (
        f", which freezes {percent(best.frozen_fraction)} of the parameters"
        if (best.frozen_fraction is not None)
        else ""
    )
    takes = group.step_ns(best)
    step = f" ({duration_ns(takes)} a step)" if takes is not None else ""
    return f"Fastest is {best.policy} with {speedup(best)}{step}{of}."


def _explained(group: GroupSummary) -> str:
    if group.best is None:
        return ""  # the speedups are noise, and a correlation with noise says nothing
    fraction, position = group.by_fraction, group.by_position
    if fraction is None:
        return (
            "There are too few different configurations to say whether the frozen fraction "
            "explains the speedup."
        )
    text = (
        f"{_verdict(fraction)}: rank correlation {_rho(fraction)}, and a straight line explains "
        f"{_r_squared(fraction)} of the variance over {counted(fraction.trials, 'configuration')}."
    )
    if position is None:
        return text
    does = "does better" if position.rho > fraction.rho else "does not do better"
    return (
        f"{text} The position of the first layer that still trains {does} "
        f"({_rho(position)}, {_r_squared(position)})."
    )


def _verdict(fraction: Association) -> str:
    if fraction.rho >= _STRONG:
        return "The frozen fraction orders the speedups well"
    if fraction.rho >= _WEAK:
        return "The frozen fraction explains the speedup in part only"
    if fraction.rho > -_WEAK:
        return "The frozen fraction does not explain the speedup"
    return "More frozen parameters went with less speedup here"


def _contrast(group: GroupSummary) -> str:
    pair = group.contrast
    if pair is None:
        return ""
    fast, slow = pair.faster, pair.slower
    return (
        f"Where one freezes matters: {percent(fast.frozen_fraction or 0.0)} of the parameters "
        f"frozen {placement(fast.policy)} gave {speedup(fast)}, "
        f"{percent(slow.frozen_fraction or 0.0)} frozen {placement(slow.policy)} "
        f"{speedup(slow)}."
    )


def _too_noisy(group: GroupSummary) -> str:
    """The sweep cannot be read: nothing else that it measured is worth a sentence before this."""
    floor = group.noise_floor or 0.0
    largest = max(group.candidates, key=lambda item: item.row.speedup or 0.0).row
    believed = sum(item.verdict != "no measurable difference" for item in group.candidates)
    said = (
        f"so that even {speedup(largest)} ({largest.policy}) is no measurable difference"
        if not believed
        else f"so that no speedup below {ratio(1 + floor)} can be told from none"
    )
    return (
        f"{group.title}: this sweep is too noisy to read, because copies of the baseline, which "
        f"should all take the same time, differ by up to {percent(floor)}, "
        f"{said}. {QUIETER}"
    )


def _why_nothing(group: GroupSummary) -> str:
    if any(item.verdict != "no measurable difference" for item in group.candidates):
        return ""
    none = "No configuration differs measurably from the baseline"
    if bound := _bound(group):
        return f"{none}; {bound}"
    removable, floor = group.removable_fraction, group.noise_floor
    if removable is not None and floor is not None and 1 / (1 - min(removable, 0.99)) - 1 <= floor:
        return (
            f"{none}, and there is little to save: gradients and update are {percent(removable)} "
            f"of the op time, and the noise is {percent(floor)}."
        )
    if floor is not None and floor >= _NOISY:
        return (
            f"{none}, and the noise is large: copies of the baseline differ by up to "
            f"{percent(floor)}. A machine without other work would show more."
        )
    if removable is None:
        return f"{none}; without a trace the reason is not known."
    return (
        f"{none}, although gradients and update are {percent(removable)} of the op time: these "
        "configurations leave most of it in place, or their intervals are too wide to show it."
    )


def _eager(group: GroupSummary) -> str:
    """The step is not compiled: nothing else about it is worth knowing first."""
    if group.eager is None:
        return ""
    said = group.eager[:1].upper() + group.eager[1:]
    return f"{said.rstrip('.')}; a compiled step takes other times, and its passes can be told."


def _why_little(group: GroupSummary) -> str:
    """There are differences, but something that freezing does not change bounds the step."""
    said = _bound(group) if group.best is not None else ""
    return said[:1].upper() + said[1:]


def _bound(group: GroupSummary) -> str:
    """That the step is host- or input-bound, and what would help; empty where it is neither."""
    busy, step, read = group.busy_fraction, group.baseline_step_ns, group.input_fraction
    if busy is not None and step is not None and busy <= 1 - HOST_BOUND:
        return _host_bound(group, busy, step)
    if read is not None and read >= INPUT_BOUND:
        return (
            f"the step is input-bound: reading and copying batches is {percent(read)} of it, "
            "whatever is frozen. Cache, parallelise or prefetch in the study's `data`."
        )
    return ""


def _host_bound(group: GroupSummary, busy: float, step_ns: int) -> str:
    """That the step is host-bound, what it waits for, and what would help."""
    works = f"{duration_ns(busy * step_ns)} ({percent(busy)})"
    of = f"the step is host-bound: of its {duration_ns(step_ns)}, "
    if group.waits_modelled:
        text = f"{of}ops that take long enough to be profiled are {works}; the rest is dispatch"
    else:
        text = f"{of}the device works during {works}, and otherwise waits for its host"
    if group.waits:
        by = ", by the number of ops that ran" if group.waits_modelled else ""
        text += f"{by}: {waiting_words(group.waits)}"
    return f"{text}. {more_per_dispatch(compiling_helps=group.may_compile)}."


def _failures(group: GroupSummary) -> str:
    failed = group.failed
    if not failed:
        return ""
    first = failed[0]
    where = f" in stage {first.error_stage}" if first.error_stage else ""
    return (
        f"{counted(len(failed), 'trial')} failed; the first, {first.policy},{where} with "
        f"{first.error_type or 'an error'}."
    )


def _rho(found: Association) -> str:
    return f"{found.rho:+.2f} [{found.rho_low:+.2f}, {found.rho_high:+.2f}]"


def _r_squared(found: Association) -> str:
    low, high = round(100 * found.r_squared_low), round(100 * found.r_squared_high)
    return f"{round(100 * found.r_squared)}% [{low}, {high}]"
