"""What Keras does while a graph is traced: who creates each op, and what the gradient tape returns.

`OpCredits` credits every op created in a graph to the call of the innermost Keras layer that is
active in the creating thread, in function bodies as well. `StepRecorder` adds the gradient tape's
calls (targets, sources and the gradients that came back) and the optimizers that were given
gradients, wherever the model holds them. Both only watch: they wrap methods
(`keras.Layer.__call__`, `Graph._create_op_internal`, what `tf.custom_gradient` makes of a function,
`GradientTape.gradient`, `Optimizer.apply`) inside the `with` block, pass everything through, and
put the originals back whatever happens. They hold neither model nor graph alive: layers and
variables are kept by identity, graphs and optimizers by weak reference.
"""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import custom_gradient

from frostline.measure.graph.wrapped_methods import optimizer_classes, wrapped
from frostline.measure.layers import all_layers


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRef:
    """The name of a symbolic tensor; keeps neither the tensor nor its graph alive.

    Attributes:
        graph: weak reference to its graph.
        op_name: name of the op in that graph.
        index: which output of the op.
    """

    graph: weakref.ReferenceType[ops.Graph]
    op_name: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient:
    """What the tape returned for one variable.

    Attributes:
        variable: `variable_key` of the source.
        path: the variable's own path, to name it where the model does not know it.
        connected: False where the tape returned nothing: the loss does not depend on the variable.
        tensors: the gradient in the graph; several for a sparse one (values, indices, shape), none
            where there is no gradient or no graph.
    """

    variable: int
    path: str
    connected: bool
    tensors: tuple[TensorRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeCall:
    """One call of `GradientTape.gradient` that asked for gradients of variables.

    Attributes:
        graph: weak reference to the graph in which it was called; None where it ran eagerly.
        targets: what was differentiated.
        gradients: what came back, one for each variable.
    """

    graph: weakref.ReferenceType[ops.Graph] | None
    targets: tuple[TensorRef, ...]
    gradients: tuple[Gradient, ...]


def variable_key(variable: Any) -> int:
    """Identity of a variable, the same for the Keras and for the TensorFlow object."""
    inner = getattr(variable, "_value", variable) if _is_keras(variable) else variable
    container = getattr(inner, "_distributed_container", None)
    held = container() if callable(container) else None
    return id(inner if held is None else held)


class OpCredits:
    """Context in which ops are credited to layer calls.

    Attributes:
        calls: the layer's path of each call that was entered while a graph was built, in order;
            a credit is an index into it.
    """

    def __init__(self, model: keras.Model) -> None:
        self.calls: list[str] = []
        self._paths = {
            id(layer): path for path, layers in all_layers(model).items() for layer in layers
        }
        self._credits: weakref.WeakKeyDictionary[ops.Graph, dict[str, int | None]] = (
            weakref.WeakKeyDictionary()
        )
        self._active = threading.local()
        self._patches = ExitStack()

    def __enter__(self) -> OpCredits:
        with ExitStack() as stack:
            stack.enter_context(wrapped(keras.Layer, "__call__", self._layer_call))
            stack.enter_context(wrapped(ops.Graph, "_create_op_internal", self._create_op))
            stack.enter_context(
                wrapped(custom_gradient, "_graph_mode_decorator", self._custom_gradient)
            )
            self._patches = stack.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._patches.close()

    def of_graph(self, graph: ops.Graph) -> dict[str, int | None]:
        """Call that created each op of a graph, None outside of all; by the op's own name."""
        return self._credits.get(graph, {})

    def _layer_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(layer: keras.Layer, /, *args: Any, **kwargs: Any) -> Any:
            path = self._paths.get(id(layer))
            if path is None or not tf.inside_function():
                return original(layer, *args, **kwargs)
            outer = self._current()
            # A recurrent layer's cell goes by the same path: one call, not two.
            if outer is None or self.calls[outer] != path:
                self.calls.append(path)
                self._active.call = len(self.calls) - 1
            try:
                return original(layer, *args, **kwargs)
            finally:
                self._active.call = outer

        return call

    def _custom_gradient(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A gradient of a layer's own making runs after the layer's call, and is the layer's."""

        @functools.wraps(original)
        def decorate(function: Any, args: Any, kwargs: Any) -> Any:
            outer = self._current()

            @functools.wraps(function)
            def called(*inputs: Any) -> Any:
                result, gradient = function(*inputs)
                return result, self._within(outer, gradient)

            return original(called, args, kwargs)

        return decorate

    def _within(self, call: int | None, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose ops are credited to a call; TensorFlow reads its signature."""

        @functools.wraps(function)
        def credited(*args: Any, **kwargs: Any) -> Any:
            outer, self._active.call = self._current(), call
            try:
                return function(*args, **kwargs)
            finally:
                self._active.call = outer

        credited.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return credited

    def _create_op(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def create(graph: ops.Graph, /, *args: Any, **kwargs: Any) -> Any:
            op = original(graph, *args, **kwargs)
            self._credits.setdefault(graph, {})[op.name] = self._current()
            return op

        return create

    def _current(self) -> int | None:
        return getattr(self._active, "call", None)


class StepRecorder:
    """Context around the first call of a model's training function.

    Attributes:
        credits: which layer call created each op.
        tape_calls: what the gradient tape was asked for and returned, in order; empty when the
            step uses no `tf.GradientTape`, or uses one in a function that was traced before. A tape
            that a function with a gradient of its own asks meanwhile is no call of the step's:
            `tf.recompute_grad` asks for all variables, frozen ones too, whatever is made of them.
    """

    def __init__(self, model: keras.Model) -> None:
        self.credits = OpCredits(model)
        self.tape_calls: list[TapeCall] = []
        self._model = weakref.ref(model)
        self._asked = threading.local()
        self._optimizers: weakref.WeakSet[keras.Optimizer] = weakref.WeakSet()
        self._patches = ExitStack()

    @property
    def model(self) -> keras.Model | None:
        """The model, while it is alive."""
        return self._model()

    @property
    def optimizers(self) -> list[keras.Optimizer]:
        """Optimizers that were given gradients while this watched, and those that they wrap."""
        found: list[keras.Optimizer] = []
        waiting = list(self._optimizers)
        while waiting:
            optimizer = waiting.pop()
            if all(optimizer is not known for known in found):
                found.append(optimizer)
                inner = vars(optimizer).values()
                waiting += [each for each in inner if isinstance(each, keras.Optimizer)]
        return found

    def __enter__(self) -> StepRecorder:
        with ExitStack() as stack:
            stack.enter_context(self.credits)
            stack.enter_context(wrapped(tf.GradientTape, "gradient", self._gradient))
            for kind in optimizer_classes():
                stack.enter_context(wrapped(kind, "apply", self._apply))
            self._patches = stack.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._patches.close()

    def _gradient(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def gradient(
            tape: tf.GradientTape, /, target: Any, sources: Any, *args: Any, **kwargs: Any
        ) -> Any:
            is_inner, self._asked.inside = getattr(self._asked, "inside", False), True
            try:
                result = original(tape, target, sources, *args, **kwargs)
            finally:
                self._asked.inside = is_inner
            if not is_inner:
                self._record(target, sources, result)
            return result

        return gradient

    def _apply(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def apply(optimizer: keras.Optimizer, /, *args: Any, **kwargs: Any) -> Any:
            self._optimizers.add(optimizer)
            return original(optimizer, *args, **kwargs)

        return apply

    def _record(self, target: Any, sources: Any, result: Any) -> None:
        flat_sources, flat_result = _flat(sources), _flat(result)
        if len(flat_sources) != len(flat_result):
            return
        gradients = tuple(
            Gradient(
                variable=variable_key(source),
                path=getattr(source, "path", None) or source.name,
                connected=value is not None,
                tensors=_refs(value),
            )
            for source, value in zip(flat_sources, flat_result, strict=True)
            if _is_variable(source)
        )
        if gradients:
            targets = tuple(ref for entry in _flat(target) for ref in _refs(entry))
            graph = weakref.ref(ops.get_default_graph()) if tf.inside_function() else None
            self.tape_calls.append(TapeCall(graph=graph, targets=targets, gradients=gradients))


def _is_keras(variable: Any) -> bool:
    return isinstance(variable, keras.Variable)


def _is_variable(source: Any) -> bool:
    return _is_keras(source) or isinstance(source, tf.Variable)


def _flat(structure: Any) -> Sequence[Any]:
    """Leaves of a structure; a sparse gradient is one leaf."""
    return tf.nest.flatten(structure)  # type: ignore[no-any-return]


def _refs(value: Any) -> tuple[TensorRef, ...]:
    parts = (
        (value.values, value.indices, value.dense_shape)
        if isinstance(value, tf.IndexedSlices)
        else (value,)
    )
    return tuple(
        TensorRef(graph=weakref.ref(part.graph), op_name=part.op.name, index=part.value_index)
        for part in parts
        if tf.is_tensor(part) and not _is_keras(part) and tf.is_symbolic_tensor(part)
    )
