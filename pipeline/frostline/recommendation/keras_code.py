"""A freeze configuration as Python that a Keras user pastes after the code that builds the model.

In: a model's facts, which may come from somebody else, and the layers to freeze. Out: text, in
which names are quoted and a layer is reached in no other way than Keras models offer. The code does
what the measuring process does: it sets a layer's `trainable`, or the `trainable` of its own
variables where the layer holds other layers that go on training. Pure.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

from frostline.facts.model_facts import LayerFacts, ModelFacts

_REMINDER = (
    "# Keras reads `trainable` when the model is compiled: compile it again from here on, with the",
    "# optimizer, loss and metrics that you train with: model.compile(...)",
)


def keras_code(facts: ModelFacts, frozen_layers: Collection[str]) -> str:
    """Python that freezes whole layers of a built model called `model`.

    A layer without a known expression is looked up by its name.
    """
    frozen = [layer for layer in facts.layers if layer.name in frozen_layers]
    training = [layer.name for layer in facts.layers if layer.name not in frozen_layers]
    holders = [layer for layer in frozen if _holds(layer, training)]
    plain = [layer for layer in frozen if layer not in holders]
    lines: list[str] = []
    if plain:
        lines += ["frozen = [", *(f"    {_reached(layer)}," for layer in plain), "]"]
        lines += ["for layer in frozen:", "    layer.trainable = False"]
    for layer in holders:
        lines += [
            "# Its own weights alone: layers inside of it go on training.",
            f"for variable in {_reached(layer)}._trainable_variables:",
            "    variable.trainable = False",
        ]
    if not lines:
        return "# Nothing is frozen: every layer trains.\n"
    return "\n".join((*lines, *_REMINDER)) + "\n"


def _holds(layer: LayerFacts, names: Collection[str]) -> bool:
    """Whether the layer encloses one of these; the model itself encloses all."""
    return layer.access == "model" or any(name.startswith(f"{layer.name}/") for name in names)


def _reached(layer: LayerFacts) -> str:
    """The layer's own expression where it is one; else a look-up by names."""
    try:
        return _written(ast.parse(layer.access or "", mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        names = layer.name.split("/")
        return "model" + "".join(f".get_layer({_quoted(name)})" for name in names)


def _written(expression: ast.expr) -> str:
    """Write an expression again, out of `model`, `.get_layer("name")`, `.attribute` and `[key]`.

    Raises:
        ValueError: it holds anything else, which no recording of a model can have made.
    """
    match expression:
        case ast.Name(id="model"):
            return "model"
        case ast.Call(
            func=ast.Attribute(value=holder, attr="get_layer"),
            args=[ast.Constant(value=str(name))],
            keywords=[],
        ):
            return f"{_written(holder)}.get_layer({_quoted(name)})"
        case ast.Attribute(value=holder, attr=name) if not name.startswith("__"):
            return f"{_written(holder)}.{name}"
        case ast.Subscript(value=holder, slice=ast.Constant(value=int(key))):
            return f"{_written(holder)}[{key!r}]"
        case ast.Subscript(value=holder, slice=ast.Constant(value=str(key))):
            return f"{_written(holder)}[{_quoted(key)}]"
    raise ValueError("not the way to a layer")


def _quoted(text: str) -> str:
    """A string in double quotes; what is not printable is escaped, direction marks included."""
    inner = repr(text)
    return inner if inner[0] == '"' else '"' + inner[1:-1].replace('"', '\\"') + '"'
