"""The facts of a model that are known before anything is measured: layers, variables and wiring.

Written by the inspection in `frostline.measure` (the only place that builds the model), read by
everything that plans: policies, trials, anchors, estimates. Plain values, written and read as JSON
through `pydantic.TypeAdapter(ModelFacts)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import TypeAdapter

from frostline.variant import is_lora


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableFacts:
    """One variable that trains in the baseline.

    Attributes:
        path: `<layer>/<variable name>`, unique in the model (`vgg16/block1_conv1/kernel`).
        layer: name of the owning layer.
        name: the variable's own name (`kernel`, `bias`, `gamma`).
        shape: dimensions.
        params: number of elements.
        is_bias: True for an additive bias (`bias` of a layer; not a norm's `beta`).
        has_gradient: False where the loss does not depend on it (behind `stop_gradient`).
    """

    path: str
    layer: str
    name: str
    shape: tuple[int, ...]
    params: int
    is_bias: bool
    has_gradient: bool = True

    @property
    def is_lora(self) -> bool:
        """Whether Keras's `enable_lora` added it."""
        return is_lora(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """One layer: a `keras.Layer` that directly owns variables trainable in the baseline.

    Attributes:
        name: ownership path from the model, without the model's own name
            (`vgg16/block1_conv1`); unique and the same at each build.
        index: position in the order of first use in the training step's forward pass, from 0.
        kind: class name (`Conv2D`).
        block: the child of the model's top level that holds it (itself when it is that child).
        is_norm: True for normalisation layers (batch, layer, group, RMS, spectral).
        variables: its variables in ownership order.
        upstream: names of the layers whose gradients flow through this layer's computation, other
            layers only; a layer in a loop with this one is in both sets.
        forward_flops: FLOPs of the forward operations it creates in a training step, for one batch
            of `ModelFacts.batch_size`; None where no FLOP count is registered for any of them.
        uses: how often it is called in one training step (2 and more: shared).
        access: the layer as a Python expression in which `model` is the model; None where not
            known.
    """

    name: str
    index: int
    kind: str
    block: str
    is_norm: bool
    variables: tuple[VariableFacts, ...]
    upstream: tuple[str, ...]
    forward_flops: int | None
    uses: int
    access: str | None = None

    @property
    def params(self) -> int:
        """Parameters that train in the baseline."""
        return sum(variable.params for variable in self.variables)

    @property
    def has_gradient(self) -> bool:
        """Whether the loss depends on any of its variables."""
        return any(variable.has_gradient for variable in self.variables)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFrom:
    """What facts depend on; `frostline.facts.provenance` tells whether it has changed.

    Attributes:
        asked: digest of the model's entry in the study, the setting and the seed.
        program: digest of this program's source.
        versions: of Python and of the libraries that were used, by distribution.
        files: by path, the marks of all other files that were read while the model was built: the
            builder's module, the files that it imports and those that it opens. Paths inside the
            study's folder are relative to it, others to the home folder (`~/`), else absolute. The
            mark is empty where a file could not be read.
    """

    asked: str
    program: str
    versions: Mapping[str, str]
    files: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A model as its builder makes it.

    Attributes:
        name: the model's name in the study.
        layers: in the order of first use; may be empty (a model without trainable weights).
        untrainable_params: elements of variables that do not train in the baseline (statistics,
            what the builder froze, and what the training step leaves alone).
        builder_frozen_params: those among them that the builder froze.
        own_precision: the dtype policy that the builder sets itself; None where it keeps the one
            that it was called under.
        own_optimizers: the training step applies optimizers, and the model's own is none of them.
        inputs_alone: its own `train_step` takes inputs and no targets.
        also_holds: by the name of a layer that holds others: paths of variables that it holds and
            that go by another name, because another layer holds them as well.
        batch_size: the batch size the forward graph was traced with.
        build_s, trace_s: seconds to build the model and to trace its training step here.
        facts_warnings: what the inspection could not find out, in words.
        must_train: groups of variables, by path; the training step fails where none of a group
            trains (one of two optimizers would be left without gradients).
        step_bytes: what is alive of the training step at its peak, everything training, with
            `batch_size` examples and without XLA; None where that is not known.
        made_from: what the facts depend on; None where that is not known.
    """

    name: str
    layers: tuple[LayerFacts, ...]
    untrainable_params: int
    batch_size: int
    build_s: float
    trace_s: float
    facts_warnings: tuple[str, ...] = ()
    made_from: MadeFrom | None = None
    builder_frozen_params: int = 0
    own_precision: str | None = None
    inputs_alone: bool = False
    own_optimizers: bool = False
    also_holds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    must_train: tuple[tuple[str, ...], ...] = ()
    step_bytes: int | None = None

    @cached_property
    def by_name(self) -> dict[str, LayerFacts]:
        """Layers by name."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def variables(self) -> tuple[VariableFacts, ...]:
        """Every variable trainable in the baseline, in layer order."""
        return tuple(variable for layer in self.layers for variable in layer.variables)

    @cached_property
    def total_params(self) -> int:
        """Parameters trainable in the baseline."""
        return sum(layer.params for layer in self.layers)

    @cached_property
    def required_groups(self) -> tuple[frozenset[str], ...]:
        """Groups of variables, by path, of each of which some must train.

        The first holds everything that the loss depends on, the others what `must_train` says.
        """
        connected = frozenset(each.path for each in self.variables if each.has_gradient)
        groups = [connected, *(connected & set(group) for group in self.must_train)]
        return tuple(dict.fromkeys(group for group in groups if group))

    @cached_property
    def head(self) -> LayerFacts | None:
        """The last layer with no layer downstream and no shared use upstream; None if no layer.

        A layer that is its own ancestor through another call (tied weights) is skipped. Where every
        candidate is such a layer, the head is the last layer in the order of first use. A layer
        without a gradient is none.
        """
        layers = [layer for layer in self.layers if layer.has_gradient]
        if not layers:
            return None
        fed = {name for layer in layers for name in layer.upstream}
        ends = [layer for layer in layers if layer.name not in fed and layer.uses <= 1]
        return ends[-1] if ends else layers[-1]


_MOST = 4 * 10**18  # FLOPs of the largest step; more than any count or duration
_FACTS: TypeAdapter[ModelFacts] = TypeAdapter(ModelFacts)


def facts_path(model: str) -> str:
    """Where a model's or variant's facts lie in an output directory, relative to it."""
    return f"models/{model}.json"


def dump_facts(facts: ModelFacts) -> str:
    """Facts as JSON."""
    return _FACTS.dump_json(facts, indent=1).decode()


def parse_facts(text: str) -> ModelFacts:
    """Facts from what `dump_facts` made.

    Raises:
        ValueError: it is no such JSON, or describes no model that could be built.
    """
    facts = _FACTS.validate_json(text)
    if wrong := next(_wrong(facts), None):
        raise ValueError(wrong)
    return facts


def _wrong(facts: ModelFacts) -> Iterator[str]:
    """What cannot be; the rest of the program relies on its being so."""
    layers = facts.layers
    for names, what in (
        ([layer.name for layer in layers], "layer"),
        ([layer.index for layer in layers], "index"),
        ([variable.path for variable in facts.variables], "variable"),
    ):
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            yield f"the {what} {_short(twice)} is there twice"
    for layer in layers:
        if unknown := set(layer.upstream) - facts.by_name.keys():
            yield f"layer {_short(layer.name)} has {_short(unknown.pop())} upstream, which is none"
        if not layer.variables or any(each.layer != layer.name for each in layer.variables):
            yield f"layer {_short(layer.name)} has no variables, or another layer's"
        if not 0 <= layer.index <= _MOST or not 0 <= (layer.forward_flops or 0) <= _MOST:
            yield f"layer {_short(layer.name)} has numbers out of range"
        if any(not 0 <= each.params <= _MOST for each in layer.variables):
            yield f"layer {_short(layer.name)} has variables whose size is out of range"
    paths = {variable.path for variable in facts.variables}
    for name, held in facts.also_holds.items():
        if unknown := set(held) - paths:
            yield f"layer {_short(name)} holds {_short(unknown.pop())}, which is no variable"
    if not 0 <= facts.builder_frozen_params <= facts.untrainable_params <= _MOST:
        yield "the parameters that the builder froze are out of range"
    if unknown := set().union(*facts.must_train) - paths:
        yield f"{_short(unknown.pop())} must train, which is no variable"
    if layers and facts.total_params == 0:
        yield "no layer has parameters"
    if facts.batch_size < 1 or not all(
        0 <= each < _MOST for each in (facts.build_s, facts.trace_s)
    ):
        yield "the batch size or a duration is out of range"


def _short(name: object) -> str:
    text = f"`{name}`"
    return text if len(text) <= 80 else f"{text[:80]}..."
