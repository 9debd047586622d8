"""How a user reaches a layer in Python: `model.get_layer("vgg16").get_layer("block1_conv1")`.

In: a built model. Out: an expression per layer, in which `model` is the model. It uses `get_layer`
of models where that leads to the layer, else public attributes of the holder (`.forward_layer`,
`.blocks[0]`), and private attributes only where no public one leads there. Each expression has been
evaluated and leads to its layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import keras

_TRACKERS = ("_layers", "_self_")


def expressions(model: keras.Model) -> dict[int, str]:
    """The expression of every layer below a model, and of the model, by `id` of the layer."""
    found = {id(model): "model"}
    holders: deque[keras.Layer] = deque([model])
    while holders:
        holder = holders.popleft()
        ways = dict(_ways(holder))
        for layer in holder._flatten_layers(include_self=False, recursive=False):
            way = _by_name(holder, layer) or ways.get(id(layer))
            if way is not None and id(layer) not in found:
                found[id(layer)] = found[id(holder)] + way
                holders.append(layer)
    return found


def _by_name(holder: keras.Layer, layer: keras.Layer) -> str | None:
    if not isinstance(holder, keras.Model):
        return None
    try:
        reached = holder.get_layer(layer.name)
    except ValueError:
        return None
    return f'.get_layer("{layer.name}")' if reached is layer and '"' not in layer.name else None


def _ways(holder: keras.Layer) -> Iterator[tuple[int, str]]:
    """`id` of a value and the expression that leads to it; the best expression for each last."""
    attributes = sorted(vars(holder).items(), key=lambda item: _publicity(item[0]))
    for name, value in attributes:
        if not name.isidentifier():
            continue
        public = name.lstrip("_")
        if public != name and isinstance(getattr(type(holder), public, None), property):
            try:
                if getattr(holder, public) is value:
                    name = public
            except (AttributeError, ValueError):  # a property that has no value yet
                pass
        yield from _inside(value, f".{name}")


def _inside(value: Any, way: str) -> Iterator[tuple[int, str]]:
    if isinstance(value, keras.Layer):
        yield id(value), way
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _inside(item, f"{way}[{position}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str | int):
                yield from _inside(item, f"{way}[{key!r}]")


def _publicity(name: str) -> tuple[int, str]:
    """Private trackers first, private attributes next, public ones last."""
    return (0 if name.startswith(_TRACKERS) else 1 if name.startswith("_") else 2, name)
