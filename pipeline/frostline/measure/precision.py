"""Which dtype policy a model has, where its builder sets one itself.

In: a built model, and the policy under which its builder was called. Out: the policy that the
builder chose instead, or None where it kept the one that it was given. Refuses (TrialError) a model
in another policy than its setting's, since its row would say what did not run.
"""

from __future__ import annotations

import math
from collections import Counter

import keras

from frostline.errors import TrialError
from frostline.measure.layers import all_layers, own_variables


def own_precision(model: keras.Model, called_under: str) -> str | None:
    """The dtype policy that the builder set; call it right after the builder.

    That is the policy which stands now, or, where every layer with weights was given its own, the
    one that holds most parameters. Single layers in another policy (a head in float32) are usual
    and no choice of their own.
    """
    standing = keras.config.dtype_policy().name
    if standing != called_under:
        return str(standing)
    sizes: Counter[str] = Counter()
    for layers in all_layers(model).values():
        for layer in layers:
            if own := tuple(own_variables(layer)):
                sizes[layer.dtype_policy.name] += sum(math.prod(each.shape) for each in own)
    if not sizes or called_under in sizes:
        return None
    return sizes.most_common(1)[0][0]


def refuse_other_precision(model: keras.Model, *, called_under: str, wanted: str) -> None:
    """Refuse a model whose builder chose another dtype policy than its setting says.

    Raises:
        TrialError: it did, stage `build`.
    """
    there = own_precision(model, called_under) or called_under
    if there != wanted:
        raise TrialError(
            "build",
            "OtherPrecision",
            f"the setting asks for precision {wanted}, and the builder of model {model.name!r} "
            f"makes it in {there}: leave the dtype policy out of the builder, or leave "
            f"`precision` out of the study",
        )
