"""What a recommendation says, as values: the pick, its prediction, and the frontier around it.

Shares are predicted step times divided by the baseline's, predicted too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from frostline.analyse.groups import GroupKey
from frostline.errors import FrostlineError
from frostline.memory.largest_batch import largest_batch, peak_bytes_at
from frostline.memory.peak_prediction import PeakPrediction
from frostline.notebook import html_table, html_text, one_line
from frostline.prediction import Answer
from frostline.recommendation.importance import Importance
from frostline.words import ratio_with_interval, share

FRONTIER = ("budget", "predicted\nstep", "kept", "frozen\nlayers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The best configuration for one budget.

    Attributes:
        budget: predicted step time / the baseline's, at most.
        share: predicted step time / the baseline's.
        kept: importance of the layers that train / that of all layers.
        kept_at_most: no configuration within the budget keeps more; above `kept` where the search
            was not exact.
        frozen_layers: in layer order.
    """

    budget: float
    share: float
    kept: float
    kept_at_most: float
    frozen_layers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to freeze in one model under one setting.

    Attributes:
        key: model and setting.
        device_kind: what the sweep measured them on; None where it is not known.
        title: all of that in words; the device only where there are several kinds.
        importance: of the layers; as much of it as possible was kept.
        pick: the configuration.
        answer: its prediction, with an interval from the sweep's held-out errors.
        training_layers: what is left to train.
        head_frozen: name of the head where the pick freezes it.
        fastest: the shortest step of all, whatever it keeps.
        frontier: budgets ascending, the pick's among them; each point is exact, but for models of
            more than 30 layers within a memory: there nothing keeps 0.01% more.
        code: Python that freezes the pick.
        most: the speedup that no choice of whole layers is predicted to exceed, whatever it keeps
            and whether or not the head trains.
        memory_bytes: device memory at most, as asked; None: any.
        peak: the pick's predicted peak; None where nothing can say it.
        other_batches: the same under settings that differ in the batch size alone, by batch size.
    """

    key: GroupKey
    device_kind: str | None
    title: str
    importance: Importance
    pick: Point
    answer: Answer
    training_layers: tuple[str, ...]
    head_frozen: str | None
    fastest: Point
    frontier: tuple[Point, ...]
    code: str
    most: float
    memory_bytes: int | None = None
    peak: PeakPrediction | None = None
    other_batches: Mapping[int, PeakPrediction] = field(default_factory=dict)

    def __repr__(self) -> str:
        facts = {
            "freeze": self.answer.policy,
            "budget": f"{self.pick.budget:g}",
            "predicted step": f"{self.pick.share:.3f} of the baseline's",
            "kept": kept_words(self.pick.kept),
        }
        return one_line("Recommendation", self.title, facts)

    def _repr_html_(self) -> str:
        answer = self.answer
        speedup = ratio_with_interval(answer.predicted_speedup, answer.low, answer.high)
        words = (
            f"Freeze {len(self.pick.frozen_layers)} of {len(self.importance.by_layer)} layers: the "
            f"predicted speedup is {speedup}, and {kept_words(self.pick.kept)} of what matters "
            f"({self.importance.words}) goes on training."
        )
        table = html_table(FRONTIER, self.frontier_rows(), caption=self.title)
        return table + html_text(words) + html_text(self.code, "pre")

    @property
    def largest_batch(self) -> int | None:
        """Examples that fit into the memory asked for, with the pick; None where not asked."""
        if self.memory_bytes is None or not self._peaks:
            return None
        return largest_batch(self._peaks, self.memory_bytes)

    @property
    def largest_batch_peak(self) -> int | None:
        """Predicted peak of `largest_batch`, in bytes."""
        examples = self.largest_batch
        return None if examples is None else peak_bytes_at(self._peaks, examples)

    @property
    def _peaks(self) -> dict[int, PeakPrediction]:
        if self.peak is None:
            return {}
        return {**self.other_batches, self.key.setting.batch_size: self.peak}

    def frontier_rows(self) -> list[tuple[str, ...]]:
        """The points of the frontier as rows under `FRONTIER`."""
        total = len(self.importance.by_layer)
        return [
            (
                f"{point.budget:.3g}",
                f"{point.share:.3f}",
                kept_words(point.kept),
                f"{len(point.frozen_layers)} of {total}",
            )
            for point in self.frontier
        ]

    @property
    def share_interval(self) -> tuple[float, float] | None:
        """Where the measured step would lie, in baseline steps; None where too little was held out.

        An interval of this sweep's held-out predictions, see `frostline.prediction.interval`.
        """
        if self.answer.low is None or self.answer.high is None:
            return None
        return 1 / self.answer.high, 1 / self.answer.low


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendations:
    """A recommendation for each model and setting of a sweep; a sequence of them.

    Attributes:
        found: in the order of models and settings; at least one.
        failures: why other models and settings have none.
        notices: models and settings without a cost model, and why.
    """

    found: tuple[Recommendation, ...]
    failures: tuple[FrostlineError, ...]
    notices: tuple[str, ...]

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, number: int) -> Recommendation:
        return self.found[number]

    def _repr_html_(self) -> str:
        words = (*self.notices, *map(str, self.failures))
        return "".join([*(one._repr_html_() for one in self.found), *map(html_text, words)])


def kept_words(fraction: float) -> str:
    """A share of the importance; a sum that rounding leaves just below 1 is 100%."""
    return share(fraction if fraction < 1 - 1e-12 else 1.0)
