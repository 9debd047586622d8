"""Did the freeze take effect? Compared with what the trial asked for, bit for bit.

Three observations: the gradients that the step asked for, the variables that it assigns, and the
values before and after some steps (statistics of frozen normalisation layers included: a frozen
BatchNormalization runs in inference mode). A mismatch fails the trial; a trainable value that did
not move is a warning, since zero gradients are legal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.errors import TrialError


def digests(variables: Mapping[str, Any]) -> dict[str, str]:
    """Digest of the bytes of each variable, by path; constant memory beyond one variable."""
    return {
        path: hashlib.blake2b(variable.numpy().tobytes(), digest_size=16).hexdigest()
        for path, variable in variables.items()
    }


def check_gradients(asked_for: Iterable[str], expected: Iterable[str]) -> None:
    """The tape was asked for the gradients of exactly the variables that should train.

    Raises:
        TrialError: some are missing or too many.
    """
    found, wanted = set(asked_for), set(expected)
    if extra := sorted(found - wanted):
        raise _mismatch("computes gradients of frozen variables", extra)
    if missing := sorted(wanted - found):
        raise _mismatch("asks for no gradient of these trainable variables", missing)


def check_assigned(assigned: Iterable[str], expected: Iterable[str]) -> None:
    """The step assigns exactly the variables that should train (statistics aside).

    Raises:
        TrialError: some are missing or too many.
    """
    found, wanted = set(assigned), set(expected)
    if extra := sorted(found - wanted):
        raise _mismatch("updates frozen variables", extra)
    if missing := sorted(wanted - found):
        raise _mismatch("does not update these trainable variables", missing)


def check_values(
    before: Mapping[str, str],
    after: Mapping[str, str],
    *,
    still: Iterable[str],
    trained: Iterable[str],
) -> tuple[str, ...]:
    """What should stand still did.

    Args:
        before: `digests` ahead of some steps.
        after: `digests` behind them.
        still: paths that must not have changed.
        trained: paths that are expected to have changed.

    Returns:
        Warnings: trainable variables that did not move.

    Raises:
        TrialError: a frozen value moved.
    """
    if moved := sorted(path for path in still if before[path] != after[path]):
        raise _mismatch(
            "changes frozen values (a layer that assigns its own variables in call() must respect "
            "`trainable`)",
            moved,
        )
    unmoved = sorted(path for path in trained if before[path] == after[path])
    return (f"trainable values that did not move: {_some(unmoved)}",) if unmoved else ()


def _mismatch(what: str, paths: list[str]) -> TrialError:
    return TrialError("check", "FreezeCheckFailed", f"the training step {what}: {_some(paths)}")


def _some(paths: list[str], most: int = 5) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more
