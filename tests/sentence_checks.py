"""Holds every sentence of an answer and of an explanation against the tables it stands on.

Each sentence that the program may say has a pattern here, and a check of what it claims against
`sentence_facts.Facts`. A sentence without a pattern is a fault as well: nothing is said unchecked.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from sentence_facts import Facts, Row

UNUSABLE = 0.25
REMOVABLE = ("activation_gradient", "weight_gradient", "optimizer")
_UNITS = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "s": 1e9}
_TIME = r"([\d.e+-]+) (ns|µs|ms|s)"
_SHARE = r"([\d.e+-]+)%"
_SPEEDUP = r"([\d.]+)x \[([\d.]+), ([\d.]+)\]"
_POLICY = r"(?:as [^%(]*\()?(by \S+|[^\s)]+)\)?"
_LAYERS = r"(\d+) layers?"
_QUIETER = (
    "Run the study again on a new OUT, on a machine without other work, or with a larger batch, "
    "whose steps take longer."
)
Check = Callable[[Facts, "re.Match[str]"], bool]
ReasonCheck = Callable[[Facts, Row, "re.Match[str]", Any], bool]


def faults_of_answer(facts: Facts, text: str, title: str) -> Iterator[str]:
    """What is wrong with an answer."""
    left = text
    for pattern, check in _ANSWER:
        found = re.search(pattern.replace("TITLE", re.escape(title)), left)
        if found is not None:
            if not check(facts, found):
                yield f"not so: {found[0]!r}"
            left = left.replace(found[0], "", 1)
    if left.strip():
        yield f"no check for: {left.strip()!r}"
    noisy = facts.floor is not None and facts.floor >= UNUSABLE
    if noisy and facts.candidates and not re.search("^[^.;]*too noisy to read", text):
        yield "the sweep is too noisy to read, and that is not said first"
    if noisy and "bound" in text:
        yield "a cause is given for what is noise"
    if _is_bound(facts) and re.search("little to save|the noise is large|intervals are", text):
        yield "the step is bound by host or input, and another cause is given"


def faults_of_reasons(facts: Facts, row: Row, reasons: Any) -> Iterator[str]:
    """What is wrong with the reasons of an explained trial."""
    for reason in reasons:
        said = f"{reason.text} → {reason.advice}"
        for kind, pattern, check in _REASONS:
            found = re.fullmatch(pattern, said) if kind == reason.kind else None
            if found is not None:
                if not check(facts, row, found, reason):
                    yield f"{row['policy']}: not so: {said!r}"
                break
        else:
            yield f"{row['policy']}: no check for {reason.kind}: {said!r}"
    kinds = [reason.kind for reason in reasons]
    noisy = facts.floor is not None and facts.floor >= UNUSABLE
    if noisy != ("too_noisy" in kinds) or (noisy and kinds[0] != "too_noisy"):
        yield f"{row['policy']}: too noisy to read or not, the reasons begin with {kinds[:1]}"
    if noisy and {"within_noise", "freeze_without_effect"} & set(kinds):
        yield f"{row['policy']}: a cause is given for what is noise"


# Figures


def _rounds(said: str, value: float, slack: float = 0.0) -> bool:
    """Whether a figure is the value, rounded to the digits that are shown."""
    mantissa, _, exponent = said.partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return abs(float(said) - value) <= 0.501 * 10**-decimals + slack


def _time(found: re.Match[str], group: int, ns: float) -> bool:
    """Whether a time is the value; parts of a step are split in whole nanoseconds."""
    unit = _UNITS[found[group + 1]]
    return _rounds(found[group], ns / unit, slack=10 / unit)


def _percent(said: str, share: float) -> bool:
    return _rounds(said, 100 * share)


def _of_step(said: str, share: float, step_ns: float) -> bool:
    """Whether a percentage is that share of a step, which is split in whole nanoseconds."""
    return _rounds(said, 100 * share, slack=100 * 10 / step_ns)


def _speedup(found: re.Match[str], group: int, row: Row) -> bool:
    said = [float(found[group + i]) for i in range(3)]
    known = [row["speedup"], row["speedup_low"], row["speedup_high"]]
    return all(abs(a - b) <= 0.0051 for a, b in zip(said, known, strict=True))


# The answer


def _baselines(facts: Facts) -> list[Row]:
    return facts.controls or facts.trials


def _busy(facts: Facts) -> float:
    return statistics.median(row["busy"] for row in _baselines(facts))


def _input(facts: Facts) -> float:
    return statistics.median(
        row["busy"] * row["input_ns"] / row["ops_ns"] for row in _baselines(facts)
    )


def _removable(facts: Facts) -> float:
    return statistics.median(
        sum(row[f"{name}_ns"] for name in REMOVABLE) / row["ops_ns"] for row in _baselines(facts)
    )


def _is_bound(facts: Facts) -> bool:
    return _busy(facts) <= 0.8 or _input(facts) >= 0.2


def _counts(facts: Facts) -> tuple[int, int, int]:
    said = [facts.verdict(row) for row in facts.candidates]
    return said.count("faster"), said.count("slower"), said.count("none")


def _nothing(facts: Facts) -> bool:
    return _counts(facts)[:2] == (0, 0)


def _step(facts: Facts) -> float:
    return statistics.median(row["baseline_step_ns"] for row in facts.trials)


def _too_noisy(facts: Facts, found: re.Match[str]) -> bool:
    return facts.floor is not None and facts.floor >= UNUSABLE and _percent(found[1], facts.floor)


def _even(facts: Facts, found: re.Match[str]) -> bool:
    largest = max(facts.candidates, key=lambda row: row["speedup"])
    return _nothing(facts) and _speedup(found, 1, largest) and found[4] == largest["policy"]


def _count(facts: Facts, found: re.Match[str]) -> bool:
    faster, slower, none = _counts(facts)
    said = [int(found[i]) for i in (3, 4, 5, 6)]
    floor = found[7]
    right = floor == "no control was measured, so the noise floor is not known"
    if facts.floor is not None:
        of = re.fullmatch(rf"noise floor {_SHARE}, from (\d+) controls?", floor)
        right = (
            of is not None and _percent(of[1], facts.floor) and int(of[2]) == len(facts.controls)
        )
    same = _time(found, 1, _step(facts))
    return right and same and said == [len(facts.candidates), faster, slower, none]


def _fastest(facts: Facts, found: re.Match[str]) -> bool:
    faster = [row for row in facts.candidates if facts.verdict(row) == "faster"]
    best = max(faster, key=lambda row: row["speedup"])
    return found[1] == best["policy"] and _speedup(found, 2, best)


def _orders(facts: Facts, found: re.Match[str]) -> bool:
    rho = facts.rank_of_fraction
    if rho is None or abs(float(found[2]) - rho) > 0.006:
        return False
    words = {
        "The frozen fraction orders the speedups well": rho >= 0.8,
        "The frozen fraction explains the speedup in part only": 0.5 <= rho < 0.8,
        "The frozen fraction does not explain the speedup": -0.5 < rho < 0.5,
        "More frozen parameters went with less speedup here": rho <= -0.5,
    }
    return words[found[1]]


def _place(facts: Facts, found: re.Match[str]) -> bool:
    place, fraction = facts.rank_of_place, facts.rank_of_fraction
    better = place is not None and fraction is not None and place > fraction
    return better == (found[1] == "does better")


def _contrast(facts: Facts, found: re.Match[str]) -> bool:
    floor = facts.floor or 0.0

    def said(row: Row, share: int) -> bool:
        told = found[share + 1] in (row["policy"], f"by {row['policy']}")
        return (
            told
            and _percent(found[share], row["frozen_fraction"])
            and _speedup(found, share + 2, row)
        )

    (fast,), (slow,) = ([row for row in facts.candidates if said(row, at)] for at in (1, 6))
    return (
        fast["speedup"] * (1 - floor) > slow["speedup"] * (1 + floor)
        and fast["speedup"] > 1.05 * slow["speedup"] * (1 - 1e-9)
        and fast["speedup_low"] > slow["speedup_high"]
        and abs(fast["frozen_fraction"] - slow["frozen_fraction"]) <= 0.05
    )


def _host(facts: Facts, found: re.Match[str]) -> bool:
    busy, step = _busy(facts), _step(facts)
    return (
        busy <= 0.8
        and _time(found, 1, step)
        and _time(found, 3, busy * step)
        and _percent(found[5], busy)
        and ("jit_compile" in found[6]) == _may_compile(_baselines(facts)[0])
    )


def _may_compile(row: Row) -> bool:
    """Keras compiles by itself on a GPU, and what it leaves out cannot be compiled."""
    on_gpu = not row["device_id"].startswith("cpu:")
    left_out = row["jit_compile"] == "true" or (
        row["jit_compile"] == "auto" and on_gpu and row["strategy"] == "single"
    )
    return not row["jit_resolved"] and not left_out


def _reading(facts: Facts, found: re.Match[str]) -> bool:
    return _busy(facts) > 0.8 and _input(facts) >= 0.2 and _percent(found[1], _input(facts))


def _little(facts: Facts, found: re.Match[str]) -> bool:
    share = _removable(facts)
    most = 1 / (1 - share) - 1
    return most <= (facts.floor or 0.0) and _percent(found[1], share)


def _in_place(facts: Facts, found: re.Match[str]) -> bool:
    return (facts.floor is None or facts.floor < 0.05) and _percent(found[1], _removable(facts))


def _large(facts: Facts, found: re.Match[str]) -> bool:
    return (facts.floor or 0.0) >= 0.05 and _percent(found[1], facts.floor or 0.0)


_ANSWER: tuple[tuple[str, Check], ...] = (
    (rf"^TITLE: this sweep is too noisy to read, because copies of the baseline, which should all "
     rf"take the same time, differ by up to {_SHARE}", _too_noisy),
    (rf", so that even {_SPEEDUP} \((\S+)\) is no measurable difference\. {_QUIETER}", _even),
    (rf", so that no speedup below ([\d.]+)x can be told from none\. {_QUIETER}",
     lambda facts, found: abs(float(found[1]) - 1 - (facts.floor or 0)) < 0.006),
    (rf"TITLE: the baseline's step takes {_TIME}; of (\d+) configurations?, (\d+) (?:is|are) "
     r"measurably faster, (\d+) slower, and (\d+) shows? no measurable difference \(([^)]*)\)\.",
     _count),
    (rf"Fastest is (\S+) with {_SPEEDUP} \({_TIME} a step\), which freezes {_SHARE} of the "
     r"parameters\.", _fastest),
    (r"There are too few different configurations to say whether the frozen fraction explains the "
     r"speedup\.", lambda facts, _: len(facts.candidates) < 5),
    (r"((?:The frozen fraction|More frozen)[^:]*): rank correlation ([+-][\d.]+) \[[^]]*\], and a "
     r"straight line explains \d+% \[\d+, \d+\] of the variance over \d+ configurations\.",
     _orders),
    (r"The position of the first layer that still trains (does better|does not do better) "
     r"\([^)]*\)\.", _place),
    (rf"Where one freezes matters: {_SHARE} of the parameters frozen {_POLICY} gave {_SPEEDUP}, "
     rf"{_SHARE} frozen {_POLICY} {_SPEEDUP}\.", _contrast),
    (r"No configuration differs measurably from the baseline", lambda facts, _: _nothing(facts)),
    (rf"[Tt]he step is host-bound: of its {_TIME}, the device works during {_TIME} \({_SHARE}\), "
     r"and otherwise waits for its host\. (A larger batch[^.]*)\.", _host),
    (rf"[Tt]he step is input-bound: reading and copying batches is {_SHARE} of it, whatever is "
     r"frozen\. Cache, parallelise or prefetch in the study's `data`\.", _reading),
    (rf", and there is little to save: gradients and update are {_SHARE} of the op time, and the "
     rf"noise is {_SHARE}\.", _little),
    (rf", and the noise is large: copies of the baseline differ by up to {_SHARE}\. A machine "
     r"without other work would show more\.", _large),
    (rf", although gradients and update are {_SHARE} of the op time: these configurations leave "
     r"most of it in place, or their intervals are too wide to show it\.", _in_place),
    (r"; ", lambda facts, _: _is_bound(facts)),
    (r"TITLE: no configuration was measured\.", lambda facts, _: not facts.candidates),
)  # fmt: skip


# The reasons


def _of(*passes: str) -> Callable[[Row], bool]:
    return lambda op: op["pass"] in passes


def _mode(facts: Facts, row: Row, layer: str | None) -> str | None:
    return next((x["mode"] for x in facts.modes(row["trial_id"]) if x["layer"] == layer), None)


def _change(facts: Facts, row: Row, cells: Callable[[Row], bool]) -> tuple[float, float, float]:
    """Baseline, trial, and what the difference is uncertain by."""
    before = facts.in_controls(row, cells)
    after = facts.in_trial(row, cells)
    mean = statistics.fmean(before)
    spread = max(abs(one - mean) for one in before)
    return mean, after, max(spread, (facts.floor or 0.0) * after)


def _less(facts: Facts, row: Row, cells: Callable[[Row], bool]) -> bool:
    before, after, uncertain = _change(facts, row, cells)
    return before - after > uncertain - 2


def _is_norm(facts: Facts, row: Row, *modes: str) -> set[str]:
    return {
        x["layer"]
        for x in facts.modes(row["trial_id"])
        if "BatchNorm" in x["kind"] and x["mode"] in modes
    }


def _dx(facts: Facts, row: Row) -> Callable[[Row], bool]:
    through = _is_norm(facts, row, "pass_through")
    return lambda op: op["pass"] == "activation_gradient" and op["layer"] not in through


def _forward(facts: Facts, row: Row) -> Callable[[Row], bool]:
    norms = _is_norm(facts, row, "pass_through", "pruned")
    return lambda op: op["pass"] == "forward" and op["layer"] not in norms


def _trains(facts: Facts, row: Row) -> list[int]:
    return [x["index"] for x in facts.modes(row["trial_id"]) if x["mode"] == "trainable"]


def _layer(facts: Facts, row: Row, number: str, name: str) -> bool:
    first = _trains(facts, row)[0]
    return int(number) == first + 1 and facts.modes(row["trial_id"])[first]["layer"] == name


def _number_of(facts: Facts, row: Row, mode: str) -> int:
    return sum(x["mode"] == mode for x in facts.modes(row["trial_id"]))


def _ends(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    return (
        _layer(facts, row, found[1], found[2])
        and int(found[3]) == _number_of(facts, row, "pruned")
        and _less(facts, row, _dx(facts, row))
    )


def _moved(cells: Callable[[Facts, Row], Callable[[Row], bool]]) -> ReasonCheck:
    def check(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
        before, after, uncertain = _change(facts, row, cells(facts, row))
        saved = before - after if found[1] == "less" else after - before
        return saved > uncertain - 2

    return check


def _gone(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    return int(found[1]) == len(row["frozen_layers"]) and _less(facts, row, _of("weight_gradient"))


def _update(facts: Facts, row: Row, share: str, fraction: str) -> float | None:
    before, _, _ = _change(facts, row, _of("optimizer"))
    known = before / row["baseline_step_ns"]
    right = _of_step(share, known, row["baseline_step_ns"]) and _percent(
        fraction, row["frozen_fraction"]
    )
    return known if right else None


def _update_large(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    share = _update(facts, row, found[1], found[2])
    left = facts.in_trial(row, _of("optimizer"))
    return share is not None and share >= 0.0999 and _time(found, 3, left)


def _update_small(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    share = _update(facts, row, found[2], found[1])
    return share is not None and share <= 0.0301 and row["frozen_fraction"] >= 0.25


def _norms(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    switched, through = (
        _is_norm(facts, row, *modes) for modes in (("pruned", "pass_through"), ("pass_through",))
    )

    def cells(op: Row) -> bool:
        return (op["pass"] == "forward" and op["layer"] in switched) or (
            op["pass"] == "activation_gradient" and op["layer"] in through
        )

    small = True
    if facts.in_controls(row, cells):
        before, after, uncertain = _change(facts, row, cells)
        small = abs(before - after) <= uncertain + 2
    flows = int(found[2] or 0) == len(through)
    return int(found[1]) == len(switched) and flows and (small or not found[3])


def _waiting(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    before = [
        (1 - one["busy"]) * row["baseline_step_ns"]
        for one in facts.controls
        if one["trial_id"] != row["trial_id"]
    ]
    after = (1 - row["busy"]) * row["paired_ns"]
    mean = statistics.fmean(before)
    uncertain = max(max(abs(one - mean) for one in before), (facts.floor or 0.0) * row["paired_ns"])
    saved = mean - after if found[1] == "less" else after - mean
    return saved > uncertain - 4


def _flows(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    right = _layer(facts, row, found[2], found[3])
    if int(found[1]) != _number_of(facts, row, "pass_through") or not right:
        return False
    trains = _trains(facts, row)
    if found[4]:  # advice: freeze 1 to N as well; some of these train, and some behind them do
        number = int(found[4])
        return any(i < number for i in trains) and any(i >= number for i in trains)
    through = max(x["index"] for x in facts.modes(row["trial_id"]) if x["mode"] == "pass_through")
    return trains[-1] < through and trains[0] < through


def _still(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    def cells(pass_: str) -> Callable[[Row], bool]:
        return lambda op: op["pass"] == pass_ and _mode(facts, row, op["layer"]) == "trainable"

    times = [facts.in_trial(row, cells(f"{name}_gradient")) for name in ("activation", "weight")]
    right = _time(found, 2, times[0]) and _time(found, 4, times[1])
    return int(found[1]) == len(_trains(facts, row)) and right


def _dominates(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    forward = facts.in_trial(row, _of("forward")) / row["paired_ns"]
    left = facts.in_trial(row, _of(*REMOVABLE)) / row["paired_ns"]
    frozen = _trains(facts, row)[0]
    prefix = found[3] is None if frozen < 2 else found[3] == str(frozen)
    step_ns = row["paired_ns"]
    said = _of_step(found[1], forward, step_ns) and _of_step(found[2], left, step_ns)
    return forward >= 0.499 and said and prefix


def _reads(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    share = facts.in_trial(row, _of("input")) / row["paired_ns"]
    return share >= 0.1999 and _of_step(found[1], share, row["paired_ns"])


def _waits(facts: Facts, row: Row, found: re.Match[str], reason: Any) -> bool:
    share = 1 - row["busy"]
    bound = reason.kind == "host_bound"
    before = statistics.fmean(
        [1 - x["busy"] for x in facts.controls if x["trial_id"] != row["trial_id"]] or [0.0]
    )
    told = found[2] is None or _time(found, 2, before * row["baseline_step_ns"])
    advised = not bound or ("jit_compile" in found[4]) == _may_compile(row)
    edge = abs(share - 0.2) < 1e-3  # parts are split in whole nanoseconds
    named = edge or (share >= 0.2) == bound
    return named and _of_step(found[1], share, row["paired_ns"]) and told and advised


def _within(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    floor = facts.floor or 0.0
    inside = abs(row["speedup"] - 1) <= floor and _percent(found[4], floor)
    time = found[5] is None or _time(found, 5, floor * row["baseline_step_ns"])
    return inside and time and _speedup(found, 1, row)


def _contains_one(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    outside = facts.floor is None or abs(row["speedup"] - 1) > facts.floor
    told = ("no control" in found[4]) == (facts.floor is None)
    contains = row["speedup_low"] <= 1 <= row["speedup_high"]
    return contains and outside and told and _speedup(found, 1, row)


def _no_effect(facts: Facts, row: Row, found: re.Match[str], _: Any) -> bool:
    before, after, uncertain = _change(facts, row, _of(*REMOVABLE))
    trains = _trains(facts, row)
    advice = {
        "further": found[7] is not None and int(found[7]) == trains[0] > 0,
        "from the input": trains[0] == 0,
        "": len(trains) == 1,
    }
    asked = "further" if found[7] else "from the input" if "beginning" in found[0] else ""
    return (
        facts.verdict(row) == "none"
        and abs(before - after) <= uncertain + 2
        and _time(found, 1, after)
        and _time(found, 3, before)
        and advice[asked]
        and (len(trains) > 1 or not asked)
    )


_ASK = r": `frostline predict` answers for any choice without measuring it\."
_DIFF = r"`frostline diff` with a control shows which ops they are\."
_STATE = (
    "ops were fused differently, or the machine was in another state during one of the profiles"
)
_REASONS: tuple[tuple[str, str, ReasonCheck], ...] = (
    ("too_noisy",
     rf"this sweep is too noisy to read: copies of the baseline, which should take the same time, "
     rf"differ from it by up to {_SHARE} → {_QUIETER}",
     lambda facts, _row, found, _: _too_noisy(facts, found)),
    ("control",
     rf"it is a control, an independently built copy of the baseline: its speedup should be 1, and "
     rf"it was measured as {_SPEEDUP}, which is this machine's noise → ",
     lambda _, row, found, _r: row["is_control"] and _speedup(found, 1, row)),
    ("within_noise",
     rf"{_SPEEDUP} is no measurable difference: copies of the baseline differ by up to {_SHARE}"
     rf"(?:, {_TIME} of this step)? → To see smaller differences, measure on a machine without "
     r"other work or with a larger batch\.", _within),
    ("within_noise",
     rf"{_SPEEDUP} is no measurable difference: (its interval contains 1(?:, and no control is "
     r"there)?) → A smaller target_ci, or more pairs \(max_pairs\), makes the interval narrower\.",
     _contains_one),
    ("freeze_without_effect",
     rf"freezing removed nothing that can be measured: gradients and update take {_TIME}, in the "
     rf"baseline {_TIME}, which is no more apart than they are uncertain by; all gradients of the "
     rf"frozen layers together take {_TIME} there → "
     rf"(?:(?:Freeze further than layer (\d+)|Freeze the layers whose gradients take the time, "
     rf"beginning at the input){_ASK})?", _no_effect),
    ("backward_ends",
     rf"the backward pass ends at layer (\d+) \((.*?)\): {_LAYERS} needs? no gradient passed on "
     r"\(dX\) → ", _ends),
    ("gradients_changed",
     rf"passing gradients on \(dX\) takes (less|more), although the gradient takes the same way as "
     rf"before: {_STATE} → {_DIFF}", _moved(_dx)),
    ("weight_gradients_gone",
     rf"no gradients of frozen weights \(dW\) in {_LAYERS} → ", _gone),
    ("update_large",
     rf"the optimizer's update takes {_SHARE} of the baseline's step, and {_SHARE} of the "
     rf"parameters need none now; it still takes {_TIME} → Here the number of frozen parameters "
     r"counts, wherever they are\.", _update_large),
    ("update_small",
     rf"{_SHARE} of the parameters are frozen, but the update of all of them takes only {_SHARE} "
     r"of the baseline's step → Do not choose by parameters here; choose by where the gradients "
     r"take the time\.", _update_small),
    ("norms_in_inference",
     r"(\d+) batch normalisations? switched to inference mode: stored statistics instead of the "
     r"batch's, which changes the forward pass(?:, and the gradient in (\d+) that it still flows "
     r"through)?(; the difference is no larger than its own uncertainty)? → .*", _norms),
    ("forward_changed",
     r"the forward pass(?: beside the normalisations)? takes (less|more) than the baseline's: .* → "
     + _DIFF, _moved(_forward)),
    ("waiting_changed", r"no op runs during (less|more) of the step: .* → ", _waiting),
    ("gradient_flows_through",
     rf"the gradient still flows through {_LAYERS} that (?:is|are) frozen \(.*\), down to layer "
     r"(\d+) \((.*)\), which trains → (?:Freeze the layers before them that still train as well, "
     r"so that layers 1 to (\d+) are frozen: then no gradient enters them\.|Freeze from the input "
     r"on instead, and train the last layers: a gradient that has to reach the first ones passes "
     r"all of them\.)", _flows),
    ("still_trains",
     rf"gradients of the {_LAYERS} that trains?: dX {_TIME}, dW {_TIME}; dearest: .* → ", _still),
    ("forward_dominates",
     rf"the forward pass is {_SHARE} of what is left, and freezing does not remove it → Gradients "
     rf"and update still take {_SHARE}, the most that freezing more can remove\. (?:The outputs of "
     r"the frozen layers 1 to (\d+) can be computed once and kept; s|S)maller inputs or another "
     r"precision make the forward pass cheaper\.", _dominates),
    ("input_bound",
     rf"the step is input-bound: reading and copying batches is {_SHARE} of it, whatever is frozen "
     r"→ Cache, parallelise or prefetch in the study's `data` \(tf.data's own guide\)\.", _reads),
    *((kind,
       rf"(?:the step is host-bound: )?during {_SHARE} of it no op runs(?: \({_TIME} in the "
       rf"baseline\))? → (.*)", _waits) for kind in ("host_bound", "device_waits")),
    ("no_baseline_profile",
     r"no (?:other )?control of this model and setting left a profile on .* → .*",
     lambda facts, row, _f, _r: not [
         x for x in facts.controls if x["trial_id"] != row["trial_id"]]),
    ("unattributed", r".*", lambda *_: False),  # every op that is drawn has a pass and a layer
)  # fmt: skip
