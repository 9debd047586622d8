"""Straight lines through what anchors measured: slots by parameters, workspace by what is alive.

In: points in integers. Out: lines, and values on them, rounded. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through the outermost of some points."""

    low: tuple[int, int]
    high: tuple[int, int]

    @staticmethod
    def through(points: Iterable[tuple[int, int]]) -> Line:
        """The line through the points with the smallest and the largest x."""
        found = sorted(points)
        return Line(found[0], found[-1])

    def at(self, x: int) -> int:
        """The value there, rounded."""
        (x0, y0), (x1, y1) = self.low, self.high
        return y1 if x1 == x0 else round(y0 + (y1 - y0) * (x - x0) / (x1 - x0))


class Workspace:
    """What peaks have beyond what is alive: linear between anchors, constant beyond them.

    Where more is alive, no less is needed: an anchor that was measured below one with less alive is
    taken to need as much. A peak may be smaller than what is taken to be alive (a program that
    works in place); below the least anchor this falls in proportion to what is alive, so that
    nothing alive needs nothing.
    """

    def __init__(self, points: Sequence[tuple[int, int]]) -> None:
        sums: dict[int, list[int]] = defaultdict(list)
        for alive, measured in points:
            sums[alive].append(measured - alive)
        self._alive = sorted(sums)
        self._beyond: list[int] = []
        least = None
        for each in self._alive:
            beyond = round(sum(sums[each]) / len(sums[each]))
            least = each + beyond if least is None else max(least, each + beyond)
            self._beyond.append(least - each)

    def corners(self, most: int) -> list[int]:
        """Where the line bends, in bytes alive, up to a number."""
        return [each for each in self._alive if each <= most]

    def at(self, alive: int) -> int:
        """The workspace where so much is alive."""
        if not self._alive:
            return 0
        place = bisect_left(self._alive, alive)
        if place == len(self._alive):
            return self._beyond[-1]
        if place == 0:
            least, beyond = self._alive[0], self._beyond[0]
            return beyond if beyond >= 0 or not least else round(beyond * alive / least)
        x0, x1 = self._alive[place - 1 : place + 1]
        y0, y1 = self._beyond[place - 1 : place + 1]
        return round(y0 + (y1 - y0) * (alive - x0) / (x1 - x0))


def lower_hull(points: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """The lines of the lower convex hull of points whose x ascends, as slope and constant."""
    hull: list[tuple[int, int]] = []
    for x, y in points:
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2:]
            if (y1 - y0) * (x - x0) < (y - y0) * (x1 - x0):
                break
            hull.pop()
        hull.append((x, y))
    if len(hull) == 1:
        return [(0.0, float(hull[0][1]))]
    return [
        ((y1 - y0) / (x1 - x0), y0 - (y1 - y0) / (x1 - x0) * x0)
        for (x0, y0), (x1, y1) in pairwise(hull)
    ]
