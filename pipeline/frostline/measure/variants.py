"""Makes the variant of a model: LoRA, quantised kernels, recomputed activations.

In: a model as its builder makes it, its variables built. Out: the same model, changed by Keras's
own `quantize` and `enable_lora`; nothing else of it changes, so what else trained still does.
`keras.RematScope` takes effect while a model is built, so the builder is called inside it. Refuses
(`TrialError`, kind `CannotVary`) what Keras cannot do to these layers, naming them.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NoReturn

import keras

from frostline.errors import TrialError
from frostline.listing import listed
from frostline.measure.layers import all_layers
from frostline.measure.short_error import short_error
from frostline.suggest import advice
from frostline.variant import Lora, Quantize, Variant

_KINDS = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Embedding)
_WRAPS_WHOLE_CALLS = ("list_of_layers", "larger_than", "full")
_MOST_NAMED = 8


def remat_scope(variant: Variant | None) -> contextlib.AbstractContextManager[Any]:
    """The scope in which the variant's model is built."""
    if variant is None or variant.remat is None:
        return contextlib.nullcontext()
    remat = variant.remat
    scope: contextlib.AbstractContextManager[Any] = keras.RematScope(
        mode=remat.mode, layer_names=list(remat.layers) or None
    )
    return scope


def vary(model: keras.Model, variant: Variant) -> tuple[str, ...]:
    """Turn a built model into its variant.

    Returns:
        Warnings: layers with kernels that Keras does not quantise.

    Raises:
        TrialError: a layer cannot be wrapped, quantised or given low-rank products.
    """
    layers = {path: found[0] for path, found in all_layers(model).items() if path}
    refuse_unwrappable(model, variant)  # once more: some layers are made when the model is built
    carriers = {} if variant.lora is None else _carriers(layers, variant.lora)
    said: tuple[str, ...] = ()
    if variant.quantize is not None:
        said = _quantised(model, layers, variant.quantize, carriers)
    if variant.lora is not None:
        _with_lora(carriers, variant.lora)
    return said


def base_weights(layer: keras.Layer) -> dict[str, keras.Variable]:
    """What a layer keeps untrained under its low-rank products, by the variables' names."""
    if not getattr(layer, "lora_enabled", False):
        return {}
    return {each.name: each for each in layer.non_trainable_variables}


def _carriers(layers: dict[str, keras.Layer], lora: Lora) -> dict[str, keras.Layer]:
    """The layers that get low-rank products, by path."""
    able = {path: layer for path, layer in layers.items() if hasattr(layer, "enable_lora")}
    if not lora.layers:
        found = {
            path: layer
            for path, layer in able.items()
            if type(layer) in _KINDS and layer.trainable_variables
        }
        if not found:
            _refuse("no layer of the model can carry LoRA: none is a Dense, EinsumDense or "
                    "Embedding that trains")  # fmt: skip
        return found
    named = _named(lora.layers, layers)
    if unable := [path for path in named if path not in able]:
        kinds = sorted({type(layers[path]).__name__ for path in unable})
        _refuse(
            f"LoRA goes on Dense, EinsumDense and Embedding, and not on {_some(unable)} "
            f"({', '.join(kinds)})"
        )
    if frozen := [path for path in named if not layers[path].trainable_variables]:
        _refuse(f"the builder froze {_some(frozen)}, so that LoRA would not train there")
    return {path: layers[path] for path in named}


def _named(names: Iterable[str], layers: dict[str, keras.Layer]) -> list[str]:
    """Paths of the layers that go by these names, or end with them, `*` and `?` allowed."""
    found: set[str] = set()
    for name in names:
        fits = {path for path in layers if fnmatchcase(f"/{path}", f"*/{name}")}
        if not fits:
            _refuse(f"no layer is called `{name}`. {advice(name, list(layers))}")
        found |= fits
    return [path for path in layers if path in found]


def _with_lora(carriers: dict[str, keras.Layer], lora: Lora) -> None:
    for path, layer in carriers.items():
        try:
            layer.enable_lora(lora.rank, lora_alpha=lora.alpha)
        except (ValueError, NotImplementedError) as error:
            _refuse(f"Keras cannot enable LoRA on {path}: {short_error(error)}")


def _quantised(
    model: keras.Model,
    layers: dict[str, keras.Layer],
    mode: Quantize,
    carriers: dict[str, keras.Layer],
) -> tuple[str, ...]:
    """Quantise what Keras can; a carrier of LoRA has to be among it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one for every layer without kernels
        try:
            model.quantize(mode)
        except (ValueError, NotImplementedError) as error:
            _refuse(f"Keras cannot quantise the model to {mode}: {short_error(error)}")
    done = {path for path, layer in layers.items() if getattr(layer, "quantization_mode", None)}
    if not done:
        _refuse(f"Keras quantises none of the model's layers to {mode}")
    if left := [path for path in carriers if path not in done]:
        _refuse(f"Keras does not quantise {_some(left)} to {mode}, and LoRA goes on them")
    whole = [
        path for path, layer in layers.items() if path not in done and hasattr(layer, "kernel")
    ]
    return (f"{mode} leaves these layers as they are: {_some(whole)}",) if whole else ()


def refuse_unwrappable(model: keras.Model, variant: Variant | None) -> None:
    """Refuse what TensorFlow cannot recompute: a call with `training`, since it takes no keywords.

    Raises:
        TrialError: names the layers.
    """
    remat = None if variant is None else variant.remat
    if remat is None or remat.mode not in _WRAPS_WHOLE_CALLS:
        return
    layers = {path: found[0] for path, found in all_layers(model).items() if path}
    wrapped: dict[str, keras.Layer] = {model.name: model, **layers}
    if remat.mode == "list_of_layers":
        by_name = {layer.name: layer for layer in layers.values()}
        for name in remat.layers:
            if name not in by_name:
                _refuse(f"no layer is called `{name}`. {advice(name, list(by_name))}")
        wrapped = {name: by_name[name] for name in remat.layers}
    names = [name for name, layer in wrapped.items() if layer._call_has_training_arg]
    if names:
        _refuse(
            f'under TensorFlow, RematScope("{remat.mode}") fails on layers that are called with '
            f'`training`: {_some(names)}; use mode = "activations", or list other layers'
        )


def _refuse(why: str) -> NoReturn:
    raise TrialError("build", "CannotVary", why)


def _some(names: Sequence[str]) -> str:
    return listed(names, _MOST_NAMED)
