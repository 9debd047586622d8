"""Variants of a model: the same model with LoRA, quantised, or recomputing activations.

In: nothing; these are the values that a study's `[[model.variant]]` becomes. Out: `Variant` and the
name by which facts and logs know a model's variant. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Quantize = Literal["int8", "int4"]
RematMode = Literal["activations", "list_of_layers", "larger_than", "full"]

SEPARATOR: Final = "@"
"""Between a model's name and its variant's; no name in a study holds it."""

_LORA_PREFIX = "lora_"


def variant_key(model: str, variant: str | None) -> str:
    """The name of a model's variant among facts, logs and messages: `gpt2@lora4`."""
    return model if variant is None else f"{model}{SEPARATOR}{variant}"


def is_lora(variable: str) -> bool:
    """Whether Keras's `enable_lora` added a variable, by its own name or its path."""
    return variable.rpartition("/")[2].startswith(_LORA_PREFIX)


def is_variant_key(name: str) -> bool:
    """Whether a name is a variant's."""
    return SEPARATOR in name


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Keras's `enable_lora` on built layers.

    Attributes:
        rank: columns of A, rows of B.
        alpha: A·B counts alpha / rank times; None: as Keras has it, alpha = rank.
        layers: names of layers, or ends of names, with `*` and `?`; empty: every layer that can
            carry it.
    """

    rank: int
    alpha: float | None = None
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remat:
    """The model is built inside `keras.RematScope`, which recomputes what the gradients need.

    Attributes:
        mode: of the scope.
        layers: names of Keras layers, for the mode `list_of_layers`.
    """

    mode: RematMode
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a variant differs from the plain model; at least one of the three is given.

    Attributes:
        name: its name, unique in its model.
        lora: where low-rank products train in place of kernels.
        quantize: how kernels are kept; those do not train.
        remat: what is computed again in the backward pass.
    """

    name: str
    lora: Lora | None = None
    quantize: Quantize | None = None
    remat: Remat | None = None
