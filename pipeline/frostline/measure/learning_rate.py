"""A smaller learning rate for synthetic batches on which a model diverges.

In: what a step raised, and a compiled model. Out: whether to try again, and the model with its
optimizer's learning rate divided, with a sentence that says so. What a step computes with takes the
same time whatever the rate is, but values that are not finite do not: loss scaling leaves updates
out. Real data need none of this.
"""

from __future__ import annotations

import keras

from frostline.errors import TrialError

DIVISOR = 1e6


def may_go_slower(error: TrialError, *, is_synthetic: bool) -> bool:
    """Whether a smaller learning rate may help: the loss was not finite on synthetic batches."""
    return is_synthetic and error.kind == "NonFiniteLoss"


def slow_down(model: keras.Model) -> str | None:
    """Divide the learning rate by `DIVISOR`; a warning, or None where it cannot be set."""
    optimizer = model.optimizer
    try:
        rate = float(optimizer.learning_rate)
        optimizer.learning_rate = rate / DIVISOR
    except (AttributeError, TypeError, ValueError):  # none, or a schedule
        return None
    return (
        f"the loss is not finite on synthetic batches at the learning rate {rate:g}: measured at "
        f"{rate / DIVISOR:g}, which takes the same time"
    )
