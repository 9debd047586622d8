"""Checks that the freeze took effect, bit for bit.

First, that there is a gradient at all: a step without one has no backward pass, so freezing has
nothing to save, and zeros there would be no measurement. Then three observations are compared with
what the trial asked for: the gradients that the step asked for, the variables that it assigns, and
the values before and after some steps (statistics of a frozen BatchNormalization included, since it
runs in inference mode). A mismatch fails the trial. A trainable value that did not move is a
warning, since zero gradients are legal; where the gradients could not be seen, it is a mismatch.
So is a warning what a layer assigns to its own frozen variables while it is called: the freeze took
its gradient and its update away, and the layer goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from frostline.errors import TrialError
from frostline.listing import listed


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
        raise _no_gradients(f"the loss depends on none of {_some(sorted(wanted))}")


def check_unseen(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Check by values what a step trains of which no gradient tape was seen.

    Both are `digests` of what should train, taken before and after some steps. Without a tape
    nothing tells a step that was traced before the freeze from one that was traced after it, so
    that every value has to move.

    Raises:
        TrialError: a trainable value did not move.
    """
    unmoved = sorted(path for path in before if before[path] == after[path])
    if unmoved and len(unmoved) == len(before):
        raise unseen_and_unmoved()
    if unmoved:
        raise _mismatch(
            "asks no gradient tape that can be seen, and does not move these trainable variables; "
            "where it runs in a tf.function that was called before, it still trains what trained "
            "then: take the gradients in train_step itself",
            unmoved,
        )


def refused_by_keras(error: Exception) -> TrialError | None:
    """The error of a step in which Keras found no gradient to apply; None where it says another."""
    said = str(error)
    if "No gradients provided" not in said:
        return None
    return _no_gradients(f"Keras says {said.splitlines()[0]!r}")


def unseen_and_unmoved() -> TrialError:
    """The error of a step without a gradient tape that leaves all as it was."""
    return _no_gradients("no gradient tape is asked, and no trainable value moves")


def check_gradients(
    asked_for: Iterable[str], expected: Iterable[str], *, frozen: Iterable[str]
) -> None:
    """Check that the tape was asked for the gradients of what should train, and of nothing frozen.

    Variables that are neither (the builder froze them, or Keras does not know them) do not matter.

    Raises:
        TrialError: some are missing, or frozen.
    """
    found = set(asked_for)
    if extra := sorted(found & set(frozen)):
        raise _mismatch("computes gradients of frozen variables", extra)
    if missing := sorted(set(expected) - found):
        raise _mismatch("asks for no gradient of these trainable variables", missing)


def check_assigned(
    assigned: Iterable[str], expected: Iterable[str], *, frozen: Iterable[str]
) -> None:
    """Check that training assigns what should train, and nothing frozen.

    Raises:
        TrialError: some are missing, or frozen.
    """
    found = set(assigned)
    if extra := sorted(found & set(frozen)):
        raise _mismatch("updates frozen variables", extra)
    if missing := sorted(set(expected) - found):
        raise _mismatch("does not update these trainable variables", missing)


def check_values(
    before: Mapping[str, str],
    after: Mapping[str, str],
    *,
    still: Iterable[str],
    trained: Iterable[str],
    self_assigned: Iterable[str] = (),
) -> tuple[str, ...]:
    """Check that frozen values did not change between two `digests`, with some steps in between.

    Paths in `still` must not have changed, unless their own layer assigns them (`self_assigned`);
    those in `trained` are expected to have changed.

    Returns:
        Warnings: trainable variables that did not move, frozen ones that their layer moved.

    Raises:
        TrialError: a frozen value moved, and its layer does not assign it.
    """
    moved = {path for path in still if before[path] != after[path]}
    if wrong := sorted(moved - set(self_assigned)):
        raise _mismatch("changes frozen values", wrong)
    unmoved = sorted(path for path in trained if before[path] == after[path])
    warnings = []
    if moved:
        warnings.append(
            f"frozen, but their layer assigns them itself in every step: {_some(sorted(moved))}. "
            "They have no gradient and no update any more; the time of that assignment stays, and "
            "their values go on changing"
        )
    if unmoved:
        warnings.append(f"trainable values that did not move: {_some(unmoved)}")
    return tuple(warnings)


def _no_gradients(why: str) -> TrialError:
    """The error of a step without a single gradient; `why` says what was seen."""
    return TrialError(
        "check",
        "NoGradients",
        f"the training step computes no gradients: {why}. Freezing has nothing to save where "
        "nothing is differentiated; look for an operation without a gradient on every way to the "
        "loss (stop_gradient, argmax, rounding, a comparison, a cast to integers), and for a "
        "train_step that does not ask its tape",
    )


def _mismatch(what: str, paths: list[str]) -> TrialError:
    return TrialError("check", "FreezeCheckFailed", f"the training step {what}: {_some(paths)}")


def _some(paths: list[str]) -> str:
    return listed(paths, 5)
