"""Groups of trials cut into chunks, one per lease. Pure.

Every lease pays for an import of TensorFlow and for a baseline, so chunks are long; there are more
of them than slots, so that the last ones even out and a lost node costs little.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from frostline.plan.trials import TrialGroup
from frostline.trial import Trial

_PER_SLOT = 2
_FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Trials of one group, in run order; never empty."""

    trials: tuple[Trial, ...]


def chunks_of(
    groups: Iterable[TrialGroup], *, done: Collection[str], slots: int, most: int | None = None
) -> list[Chunk]:
    """Cut what is left of the groups.

    Args:
        groups: the plan.
        done: ids of trials that need not run.
        slots: leases that can run at the same time; with one slot, no group is cut.
        most: trials of a chunk, after which its measuring process would be replaced anyway: a
            cluster that grows can only use as many machines as there are chunks.
    """
    left = [
        tuple(trial for trial in group.trials if trial.trial_id not in done) for group in groups
    ]
    total = sum(map(len, left))
    rounds = 1 if slots <= 1 else _PER_SLOT
    if most is not None:
        rounds = max(rounds, -(-total // (max(1, slots) * most)))
    size = max(_FEWEST, -(-total // (max(1, slots) * rounds)))
    return [Chunk(trials=part) for trials in left if trials for part in _parts(trials, size)]


def _parts(trials: tuple[Trial, ...], size: int) -> Iterator[tuple[Trial, ...]]:
    """As few parts as `size` allows, as equal as they can be."""
    count = max(1, -(-len(trials) // size))
    for number in range(count):
        start = number * len(trials) // count
        yield trials[start : (number + 1) * len(trials) // count]
