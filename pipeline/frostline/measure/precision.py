"""Which dtype policy a model has, where its builder sets one itself.

In: a built model, and the policy under which its builder was called. Out: the policy that the
builder chose instead, or None where it kept the one that it was given.
"""

from __future__ import annotations

import math
from collections import Counter

import keras

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
