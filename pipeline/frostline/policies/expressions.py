"""Regular expressions of policies: is it one, and in which names is it found.

In: an expression and names. Out: the names in which it is found. Refuses (`PolicyError`) what is no
regular expression, and what takes for ever to match: Python's search goes back over every way in
which repetitions can share a name out, and `(a+)+$` has twice as many with each letter. No rule
about how an expression is written tells all of those from the harmless ones. So an expression that
can only take few steps, as nearly all do, is searched for here; any other one in a process whose
processor time is limited (`frostline.policies.search_names`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable
from functools import lru_cache

from frostline.errors import PolicyError
from frostline.policies import search_names

_FEW_STEPS = 2_000_000
_GIVEN_UP_S = 60  # wall time; the limit on processor time ends it long before

_REPEATED_GROUP = re.compile(r"\)\s*[*+?{]")
_BACK_REFERENCE = re.compile(r"\\[0-9]")


def compiled(expression: str) -> re.Pattern[str]:
    """The expression, ready to be searched for.

    Raises:
        ValueError: it is no regular expression; says why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a later Python may read differently
            return re.compile(expression)
    except re.error as error:
        raise ValueError(str(error)) from None
    except OverflowError:
        raise ValueError("it repeats something too often") from None
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deeply") from None


def names_with(expression: str, names: Iterable[str]) -> frozenset[str]:
    """The names in which an expression is found.

    Raises:
        PolicyError: searching takes for ever; says what to write instead.
    """
    return _names_with(expression, tuple(names))


@lru_cache(maxsize=256)
def _names_with(expression: str, names: tuple[str, ...]) -> frozenset[str]:
    if _most_steps(expression, names) <= _FEW_STEPS:
        found = compiled(expression).search
        return frozenset(name for name in names if found(name))
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", search_names.__file__],
            input=json.dumps({"expression": expression, "names": names}),
            capture_output=True,
            text=True,
            check=True,
            timeout=_GIVEN_UP_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise PolicyError(
            f"`regex:{expression}`: to search for it takes more than {search_names.CPU_S} s of "
            "processor time: avoid repetitions within a repetition, such as `(a+)+` or `(.*x)*`"
        ) from None
    return frozenset(names[at] for at in json.loads(answer.stdout))


def _most_steps(expression: str, names: tuple[str, ...]) -> float:
    """No fewer steps than a search in all of the names takes; endless where that is not known.

    Each repetition may end at any letter, each alternative doubles the ways, and a search begins at
    any letter. A repeated group or a reference to one may do anything.
    """
    if (
        _REPEATED_GROUP.search(expression)
        or _BACK_REFERENCE.search(expression)
        or "(?" in expression.replace("(?:", "")
    ):
        return float("inf")
    repetitions = sum(map(expression.count, "*+?{"))
    alternatives = expression.count("|")
    longest = max(map(len, names), default=0) + len(expression)
    if repetitions > 8 or alternatives > 30:
        return float("inf")
    return float(len(names) * 2**alternatives * longest ** (repetitions + 1))
