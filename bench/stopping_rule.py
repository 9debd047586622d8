"""Pairs that a sweep took, and those that it would have taken by each stopping rule.

    python bench/stopping_rule.py OUT...

Reads the raw samples, replays the looks of `frostline.measure.pairing`, and stops where the rule
says. A trial cannot be continued beyond the pairs that it took.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import get_args

from frostline import open_sweep
from frostline.measure.pairing import estimate, looks
from frostline.store.sweep import Sweep
from frostline.study.study import Study, parse_study
from frostline.trial import StoppingRule


def pairs_of(ratios: Sequence[float], study: Study, rule: StoppingRule) -> int:
    """Pairs after which a trial stops by a rule; all of them where it never does."""
    measure = study.measure
    for point in looks(measure.min_pairs, measure.max_pairs):
        if point > len(ratios):
            break
        found = estimate(ratios[:point], rule=rule, seed=study.seed)
        if found.width_by(rule) <= measure.target_ci:
            return point
    return len(ratios)


def ratios_of(sweep: Sweep, trial_id: str) -> list[float]:
    """The ratios of a trial's interleaved pairs, in their order."""
    counted: dict[int, dict[str, int]] = {}
    for row in sweep.table("steps", trials=[trial_id]).to_pylist():
        if not row["warmup"] and row["pair"] >= 0:
            counted.setdefault(row["pair"], {})[row["arm"]] = row["step_ns"]
    return [counted[pair]["baseline"] / counted[pair]["trial"] for pair in sorted(counted)]


def main() -> None:
    """Print a line for each trial and a sum for each sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="+")
    for place in parser.parse_args().out:
        sweep = open_sweep(place)
        text = sweep.out.read_text("study.toml") or ""
        study = parse_study(text, check_builders=False, former_names=True)
        rules = get_args(StoppingRule)
        total = dict.fromkeys(("taken", *rules), 0)
        print(f"{place}: target_ci {study.measure.target_ci}")
        for row in sweep.trial_rows():
            if row.pairing != "interleaved":
                continue
            ratios = ratios_of(sweep, row.trial_id)
            found = {rule: pairs_of(ratios, study, rule) for rule in rules}
            for name, pairs in (("taken", len(ratios)), *found.items()):
                total[name] += pairs
            said = ", ".join(f"{rule} {pairs}" for rule, pairs in found.items())
            print(f"  {row.policy:22} {row.speedup:6.2f}x  taken {len(ratios):3}, {said}")
        print(f"  all: {', '.join(f'{name} {pairs}' for name, pairs in total.items())}")


if __name__ == "__main__":
    main()
