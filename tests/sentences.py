"""Draws sweeps by the thousand and holds every sentence about them against their tables.

`make sentences` runs it; the exit code is 1 where a sentence was wrong, and its seed is printed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from sentence_checks import faults_of_answer, faults_of_reasons
from sentence_facts import facts_of
from sentence_sweeps import draw_sweep

from frostline.analyse import answer, summarise
from frostline.explanation import explain
from frostline.store.outdir import OutDir
from frostline.store.sweep import Sweep


class ReadOnce(Sweep):
    """A sweep that reads each table once, since every trial of it is explained."""

    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        *,
        trials: Collection[str] | None = None,
    ) -> pa.Table:
        known = self.__dict__.setdefault("_known", {})
        if name not in known:
            files = sorted(Path(self.out.local_path or "", "tables", name).glob("*.parquet"))
            read_here = files and name != "trials"  # without the checks of the store
            known[name] = pads.dataset(files).to_table() if read_here else super().table(name)
        found = known[name]
        if trials is not None:
            found = found.filter(pc.is_in(found["trial_id"], pa.array(list(trials))))
        return found if columns is None else found.select(columns)


def read_once(folder: Path) -> ReadOnce:
    """The sweep in a folder."""
    out = OutDir.open(str(folder), create=False)
    manifest = out.manifest()
    assert manifest is not None
    return ReadOnce(out, manifest)


def faults(seed: int, folder: Path) -> Iterator[str]:
    """What is wrong with the sentences about the sweep of a seed."""
    draw_sweep(seed, folder)
    sweep = read_once(folder)
    facts = facts_of(folder)
    summary = summarise(sweep.trial_rows())
    for fault in faults_of_answer(facts, answer(summary), summary.groups[0].title):
        yield f"seed {seed}: {fault}"
    for row in facts.trials:
        for fault in faults_of_reasons(facts, row, explain(sweep, row["trial_id"]).reasons):
            yield f"seed {seed}: {fault}"


def _in_scratch(seed: int) -> list[str]:
    folder = Path(tempfile.mkdtemp(prefix="frostline-sentences-"))
    try:
        return list(faults(seed, folder / "out"))
    finally:
        shutil.rmtree(folder)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="sweeps")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    asked = parser.parse_args()
    began, wrong = time.monotonic(), 0
    seeds = range(asked.first, asked.first + asked.count)
    with ProcessPoolExecutor(asked.jobs) as pool:
        for number, found in enumerate(pool.map(_in_scratch, seeds, chunksize=20), start=1):
            wrong += len(found)
            print(*found, sep="\n", end="\n" if found else "", flush=True)
            if number % 500 == 0:
                print(f"{number} sweeps, {wrong} wrong sentences", file=sys.stderr, flush=True)
    print(f"{asked.count} sweeps in {time.monotonic() - began:.0f} s, {wrong} wrong sentences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
