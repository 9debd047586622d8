"""The least memory that a model takes while it trains, from its variables alone. Pure.

`least_bytes` is a lower bound: what exceeds a device's memory by it cannot be measured there.
`expected_bytes` adds the tensors of the traced step, as they would be alive in graph mode; XLA
often needs less, and kernels' workspaces and the allocator's gaps come on top.
"""

from __future__ import annotations

from frostline.facts.model_facts import ModelFacts
from frostline.optimizers import taken_apart
from frostline.trial import Setting

_FLOAT_BYTES = 4  # Keras keeps variables in float32 under mixed precision, too
_SLOTS = {
    "adadelta": 2, "adafactor": 0, "adagrad": 1, "adam": 2, "adamax": 2, "adamw": 2, "ftrl": 2,
    "lamb": 2, "lion": 1, "nadam": 2, "rmsprop": 1, "sgd": 0,
}  # fmt: skip
"""Values that an optimizer keeps for each parameter, at least, by Keras identifier."""
_MORE = {
    "sgd": ("momentum",),
    "rmsprop": ("momentum", "centered"),
    "adam": ("amsgrad",),
    "adamw": ("amsgrad",),
}
_ANY = ("use_ema", "gradient_accumulation_steps")
"""Arguments that add a value for each parameter where they are set."""


def least_bytes(facts: ModelFacts, setting: Setting) -> int:
    """Weights, gradients and the optimizer's state of one copy of a model, in bytes."""
    values = facts.total_params * (2 + _slots(setting.optimizer)) + facts.untrainable_params
    return values * _FLOAT_BYTES


def _slots(optimizer: str | None) -> int:
    """Values that an optimizer keeps for each parameter, at least; 0 for the model's own."""
    if optimizer is None:
        return 0
    try:
        name, arguments = taken_apart(optimizer)
    except ValueError:
        return 0
    name = name.lower()
    more = (*_MORE.get(name, ()), *_ANY)
    return _SLOTS.get(name, 0) + sum(bool(arguments.get(each)) for each in more)


def expected_bytes(facts: ModelFacts, setting: Setting) -> int | None:
    """What one copy of a model takes while a step runs, in bytes; None where it is not known.

    Tensors grow with the batch; those of the optimizer do not, so that a batch other than the one
    that was traced is estimated from above where it is larger.
    """
    if facts.step_bytes is None or not facts.batch_size:
        return None
    gradients = facts.total_params * _FLOAT_BYTES
    tensors = round(facts.step_bytes * setting.batch_size / facts.batch_size)
    return least_bytes(facts, setting) - gradients + tensors
