"""Checks that the freeze took effect, bit for bit.

First, that there is a gradient at all: a step without one has no backward pass, so freezing has
nothing to save, and zeros there would be no measurement. Then three observations are compared with
what the trial asked for: the gradients that the step asked for, the variables that it assigns, and
the values before and after some steps (statistics of frozen normalisation layers included, since a
frozen BatchNormalization runs in inference mode). A mismatch fails the trial. A trainable value
that did not move is a warning, since zero gradients are legal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from frostline.errors import TrialError


def digests(variables: Mapping[str, Any]) -> dict[str, str]:
    """Digest of the bytes of each variable, by path; copies one variable at a time."""
    return {
        path: hashlib.blake2b(variable.numpy().tobytes(), digest_size=16).hexdigest()
        for path, variable in variables.items()
    }


def check_differentiable(trained: Iterable[str], unconnected: Iterable[str]) -> None:
    """Check that the loss depends on something that should train.

    For the paths in `unconnected` the tape returned no gradient.

    Raises:
        TrialError: no trainable variable has a gradient.
    """
    wanted = set(trained)
    if wanted and wanted <= set(unconnected):
        raise no_gradients(f"the loss depends on none of {_some(sorted(wanted))}")


def check_some_gradient(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Check that a step which asked no tape for gradients trains by other means.

    Both are `digests` of what should train, taken before and after some steps.

    Raises:
        TrialError: no trainable value moved.
    """
    if all(before[path] == after[path] for path in before):
        raise no_gradients("it asks no gradient tape, and no trainable value moves")


def no_gradients(why: str) -> TrialError:
    """The error of a step without a single gradient; `why` says what was seen."""
    return TrialError(
        "check",
        "NoGradients",
        f"the training step computes no gradients: {why}. Freezing has nothing to save where "
        "nothing is differentiated; look for an operation without a gradient on every way to the "
        "loss (stop_gradient, argmax, rounding, a comparison, a cast to integers), and for a "
        "train_step that does not ask its tape",
    )


def check_gradients(asked_for: Iterable[str], expected: Iterable[str]) -> None:
    """Check that the tape was asked for the gradients of exactly the variables that should train.

    Raises:
        TrialError: some are missing or too many.
    """
    found, wanted = set(asked_for), set(expected)
    if extra := sorted(found - wanted):
        raise _mismatch("computes gradients of frozen variables", extra)
    if missing := sorted(wanted - found):
        raise _mismatch("asks for no gradient of these trainable variables", missing)


def check_assigned(assigned: Iterable[str], expected: Iterable[str]) -> None:
    """Check that the step assigns exactly the variables that should train (statistics aside).

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
    """Check that frozen values did not change between two `digests`, with some steps in between.

    Paths in `still` must not have changed; those in `trained` are expected to have changed.

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
