"""Which layers of a Keras model own what trains, under which names, and how to freeze it.

In: a built `keras.Model`. Out: layers and variables with the names that every table uses, the same
at each build. Refuses (TrialError): freezing a variable that the model does not have.

Names. A layer's name is its ownership path: the names of the layers that hold it, from the model's
children down, joined by `/`. Layers are visited depth first, in the order in which their holder
tracks them. A layer held by several holders is visited once, so the first path found is its name;
an equal path met again for another layer gets `_1`, `_2`, ... appended. The model itself is a layer
only if it owns variables directly; it goes by its own name then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import keras

from frostline.errors import TrialError

MODEL_PATH = ""

_NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.SpectralNormalization,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedVariable:
    """A variable that trains, and the Keras object behind it.

    Attributes:
        path: `<layer>/<name>`, unique in the model.
        name: the variable's own name (`kernel`); within a recurrent layer of several cells the
            cell's name comes first (`lstm_cell/kernel`).
        is_bias: True for an additive bias of a layer that is no normalisation.
        variable: the Keras variable.
    """

    path: str
    name: str
    is_bias: bool
    variable: keras.Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedLayer:
    """A layer that directly owns variables which train.

    Attributes:
        name: ownership path, unique in the model.
        kind: class name.
        block: the child of the model's top level that holds it.
        is_norm: True for normalisation layers.
        layer: the Keras layer.
        variables: what trains, in ownership order.
    """

    name: str
    kind: str
    block: str
    is_norm: bool
    layer: keras.Layer
    variables: tuple[OwnedVariable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """A layer met on the way through the model; a cell goes by its recurrent layer's path."""

    path: str
    owner: keras.Layer
    layer: keras.Layer
    cell_path: str
    depth: int


def all_layers(model: keras.Model) -> dict[str, tuple[keras.Layer, ...]]:
    """Every Keras layer below the model by path, weightless ones included.

    Returns:
        Path to the layers that go by it: one, or a recurrent layer and all of its cells. The model
        itself is there under `MODEL_PATH`.
    """
    found: dict[str, list[keras.Layer]] = {}
    for visit in _visits(model):
        found.setdefault(visit.path, []).append(visit.layer)
    return {path: tuple(layers) for path, layers in found.items()}


def owned_layers(model: keras.Model) -> tuple[OwnedLayer, ...]:
    """Layers that own variables which train, in ownership order; none of them is empty.

    Call it on a built model and before `freeze`: what trains now is taken for what trains in the
    baseline. A recurrent layer counts the variables of its cells. A variable tracked by several
    layers belongs to the deepest of them (SpectralNormalization tracks its inner layer's kernel),
    and to the first of equally deep ones.
    """
    trains = {id(variable) for variable in model.trainable_weights}
    visits = tuple(_visits(model))
    holder: dict[int, _Visit] = {}
    for visit in visits:
        for variable in own_variables(visit.layer):
            known = holder.get(id(variable))
            if id(variable) in trains and (known is None or known.depth < visit.depth):
                holder[id(variable)] = visit
    own_name = model.name
    collected: dict[str, tuple[keras.Layer, list[OwnedVariable]]] = {}
    for visit in visits:
        name = visit.path or own_name
        is_norm = isinstance(visit.owner, _NORMS)
        for variable in own_variables(visit.layer):
            if holder.get(id(variable)) is not visit:
                continue
            _, variables = collected.setdefault(name, (visit.owner, []))
            variables.append(_owned_variable(variable, name, visit.cell_path, is_norm, variables))
    return tuple(
        OwnedLayer(
            name=name,
            kind=type(layer).__name__,
            block=name.split("/", 1)[0],
            is_norm=isinstance(layer, _NORMS),
            layer=layer,
            variables=tuple(variables),
        )
        for name, (layer, variables) in collected.items()
    )


def own_variables(layer: keras.Layer) -> Iterator[keras.Variable]:
    """Variables that a layer tracks itself, those of layers that it holds not included."""
    yield from layer._trainable_variables
    yield from layer._non_trainable_variables


def frozen_by_builder(model: keras.Model) -> tuple[keras.Variable, ...]:
    """Variables that were made to train and do not, each once; statistics are none of them."""
    trains = {id(variable) for variable in model.trainable_weights}
    made_to_train = {
        id(variable): variable
        for visit in _visits(model)
        for variable in visit.layer._trainable_variables
    }
    return tuple(variable for key, variable in made_to_train.items() if key not in trains)


def freeze(model: keras.Model, frozen_variables: Iterable[str]) -> None:
    """Freeze variables as a Keras user would, before the training function is made.

    A layer of which every variable is frozen gets `layer.trainable = False`, which also switches
    BatchNormalization to inference mode. Single variables get `variable.trainable = False` where
    only some of a layer's variables are frozen (a bias alone), and where the layer holds other
    layers that still train and that its `trainable` would freeze as well.

    Args:
        model: the model as its builder made it, nothing else frozen yet.
        frozen_variables: paths as in `OwnedVariable.path`.

    Raises:
        TrialError: the model has no such variable.
    """
    frozen = set(frozen_variables)
    owned = owned_layers(model)
    by_path = {entry.path: entry.variable for layer in owned for entry in layer.variables}
    if unknown := sorted(frozen - by_path.keys()):
        raise TrialError(
            "build",
            "UnknownVariable",
            f"the model has no trainable variable {unknown[0]!r}; its builder must give the same "
            "model at each call",
        )
    frozen_ids = {id(by_path[path]) for path in frozen}
    for entry in owned:
        chosen = [variable for variable in entry.variables if variable.path in frozen]
        if {id(variable) for variable in entry.layer.trainable_weights} <= frozen_ids:
            entry.layer.trainable = False
        for variable in chosen:
            variable.variable.trainable = False


def _owned_variable(
    variable: keras.Variable,
    layer_name: str,
    cell_path: str,
    is_norm: bool,
    taken: Iterable[OwnedVariable],
) -> OwnedVariable:
    name = f"{cell_path}/{variable.name}" if cell_path else variable.name
    name = _free(name, {entry.name for entry in taken})
    own = variable.name
    return OwnedVariable(
        path=f"{layer_name}/{name}",
        name=name,
        is_bias=not is_norm and (own == "bias" or own.endswith("_bias")),
        variable=variable,
    )


def _visits(model: keras.Model) -> Iterator[_Visit]:
    seen = {id(model)}
    taken: dict[str, None] = {}

    def below(holder: _Visit) -> Iterator[_Visit]:
        for layer in holder.layer._flatten_layers(include_self=False, recursive=False):
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            visit = _visit(layer, holder, taken)
            yield visit
            yield from below(visit)

    top = _Visit(path=MODEL_PATH, owner=model, layer=model, cell_path="", depth=0)
    yield top
    yield from below(top)


def _visit(layer: keras.Layer, holder: _Visit, taken: dict[str, None]) -> _Visit:
    if isinstance(holder.owner, keras.layers.RNN):
        outermost = holder.layer is holder.owner
        within = "" if outermost else "/".join(filter(None, (holder.cell_path, layer.name)))
        return _Visit(
            path=holder.path,
            owner=holder.owner,
            layer=layer,
            cell_path=within,
            depth=holder.depth + 1,
        )
    path = _free(f"{holder.path}/{layer.name}" if holder.path else layer.name, taken)
    taken[path] = None
    return _Visit(path=path, owner=layer, layer=layer, cell_path="", depth=holder.depth + 1)


def _free(name: str, taken: Mapping[str, None] | set[str]) -> str:
    """The name, or the first of `name_1`, `name_2`, ... that is not taken."""
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
