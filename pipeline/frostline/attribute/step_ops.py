"""The ops of a traced step with their pass, their layer and the variables that need them.

In: the step as plain values (`PlainStep`): ops, data flow, landmarks, variables. Out: a `GraphOp`
per op. An op is several vertices of the flow where its outputs differ in what they read; it is
forward if any of them is, then backward, then the optimizer's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from frostline.attribute.credit import (
    UNKNOWN,
    BackwardOps,
    Credit,
    ForwardNames,
    credit_backward,
)
from frostline.attribute.step_graph import GraphOp, Pass, is_input
from frostline.attribute.uses import ALIAS, ParameterFlow, adopted, uses
from frostline.attribute.walk import (
    OpGroup,
    StepFlow,
    backward_pass,
    members,
    readers_of,
    spread_up,
    topological,
    union,
    walk,
    with_repeats,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainOp:
    """One op as it was traced.

    Attributes:
        name: unique in the step.
        own_name: its name in the function that holds it.
        op_type: TensorFlow op type.
        creator: path of the layer that was active when it was created; None outside of all.
        vertices: its outputs in the flow, at least one.
        repeats: position of the first op that computes the same from the same; None where there is
            none before it. Only one of them is run.
        caller: position of the op that calls the function that holds it; None in the step itself.
        differentiates: position of the call whose gradient it computes, or the function that holds
            it; None where that is not known.
        calls: name of the function that it calls; None where it is no call.
        is_compiled: XLA compiles the function that it calls as a program of its own, in a step that
            it does not compile as a whole.
    """

    name: str
    own_name: str
    op_type: str
    creator: str | None
    vertices: tuple[int, ...]
    repeats: int | None
    caller: int | None = None
    differentiates: int | None = None
    calls: str | None = None
    is_compiled: bool = False


@dataclass(frozen=True, kw_only=True)
class PlainStep:
    """One traced step as plain values.

    Attributes:
        ops: in creation order.
        flow: the data flow and its landmarks; variables are numbered as in `layer_of`, and one
            number more stands for all variables that are trained without being the model's.
        layer_of: per variable, the layer that owns it.
        handles: per variable, the vertices that stand for it.
        writes: per updating vertex, the vertices that stand for the variables it updates.
        data: vertices at which data enters.
        model_path: the path under which ops of the model itself were created; no layer, unless it
            owns variables.
    """

    ops: Sequence[PlainOp]
    flow: StepFlow
    layer_of: Sequence[str]
    handles: Sequence[frozenset[int]]
    writes: Mapping[int, frozenset[int]]
    data: frozenset[int]
    model_path: str

    @cached_property
    def order(self) -> list[int]:
        """Sources before their readers."""
        return topological(self.flow.sources)

    @cached_property
    def own_masks(self) -> dict[str, int]:
        """Mask of the variables of each layer."""
        masks: dict[str, int] = {}
        for position, layer in enumerate(self.layer_of):
            masks[layer] = masks.get(layer, 0) | 1 << position
        return masks

    @cached_property
    def op_of(self) -> list[int | None]:
        """Per vertex, the position of its op."""
        found: list[int | None] = [None] * len(self.flow.sources)
        for position, op in enumerate(self.ops):
            for vertex in op.vertices:
                found[vertex] = position
        return found

    @cached_property
    def layer_handles(self) -> dict[str, set[int]]:
        """Per layer, the vertices that stand for its variables."""
        found: dict[str, set[int]] = {}
        for layer, vertices in zip(self.layer_of, self.handles, strict=True):
            found.setdefault(layer, set()).update(vertices)
        return found


def graph_ops(step: PlainStep) -> tuple[GraphOp, ...]:
    """Pass, layer and needs of every op of a step."""
    walked = walk(step.flow)
    groups = [_first_group(walked.groups, op.vertices) for op in step.ops]
    masks = [
        union(walked.needed_by[vertex] for vertex in op.vertices)
        if group is OpGroup.BACKWARD
        else 0
        for op, group in zip(step.ops, groups, strict=True)
    ]
    for position, call in _run_together(step).items():
        if groups[position] is OpGroup.OTHER:
            groups[position] = groups[call]
        if groups[position] is groups[call] is OpGroup.BACKWARD:
            masks[position] = masks[call]
    forward = _forward_layers(step, groups)
    found = {
        **forward,
        **_backward_layers(step, groups, masks, forward),
        **_optimizer_layers(step, walked.groups, groups),
    }
    layers = [found.get(position) for position in range(len(step.ops))]
    repeats = [op.repeats for op in step.ops]
    return tuple(
        GraphOp(
            op_name=op.name,
            op_type=op.op_type,
            layer=layer or None,
            pass_=_pass(op, group, of_all, step.own_masks.get(layer or "", 0)),
            # Nothing that can be frozen decides about an op that another variable needs as well.
            needed_by=() if mask >> len(step.layer_of) else members(mask),
            repeats=op.repeats,
            calls=op.calls,
        )
        for op, group, mask, of_all, layer in zip(
            step.ops, groups, masks, with_repeats(masks, repeats), layers, strict=True
        )
    )


def _run_together(step: PlainStep) -> dict[int, int]:
    """The ops that run whenever a call runs, each with that call.

    A function that XLA compiles by itself is one program: what any of its results needs is
    computed, whether the step uses that result or not. So the weight gradient of a grouped
    convolution is computed on a CPU even where its kernel is frozen, as long as the gradient to its
    input is needed. What none of its results needs is left out.
    """
    callers = partial(_callers, step.ops)
    found: dict[int, int] = {}
    for call, op in enumerate(step.ops):
        if not op.is_compiled or any(step.ops[each].is_compiled for each in callers(call)):
            continue
        seen, waiting = set(op.vertices), list(op.vertices)
        while waiting:
            for vertex in step.flow.sources[waiting.pop()]:
                position = step.op_of[vertex]
                inside = position is None or call in callers(position)
                if inside and vertex not in seen:
                    seen.add(vertex)
                    waiting.append(vertex)
                    if position is not None:
                        found[position] = call
    return found


def _first_group(groups: Sequence[OpGroup], vertices: Sequence[int]) -> OpGroup:
    found = {groups[vertex] for vertex in vertices}
    return next(group for group in OpGroup if group in found)


def _pass(op: PlainOp, group: OpGroup, needed_by: int, own: int) -> Pass:
    if is_input(op.op_type):
        return "input"
    match group:
        case OpGroup.FORWARD:
            return "forward"
        case OpGroup.BACKWARD:
            return backward_pass(needed_by, own)
        case OpGroup.OPTIMIZER:
            return "optimizer"
        case OpGroup.OTHER:
            return "other"


def _forward_layers(step: PlainStep, groups: Sequence[OpGroup]) -> dict[int, str | None]:
    """The creating layer, or the layer whose variables an op handles in its place."""
    creators: list[str | None] = [ALIAS] * len(step.flow.sources)
    outside = set(step.writes)
    for op, group in zip(step.ops, groups, strict=True):
        for vertex in op.vertices:
            creators[vertex] = op.creator
            if group is not OpGroup.FORWARD:
                outside.add(vertex)
    flow = ParameterFlow(
        sources=step.flow.sources, creators=creators, data=step.data, ignored=outside
    )
    chosen = adopted(uses(flow, step.layer_handles), creators, step.model_path)
    layers: dict[int, str | None] = {}
    for position, (op, group) in enumerate(zip(step.ops, groups, strict=True)):
        if group in (OpGroup.FORWARD, OpGroup.OTHER):
            layers[position] = chosen.get(op.vertices[0], op.creator)
    return layers


def _backward_layers(
    step: PlainStep,
    groups: Sequence[OpGroup],
    masks: Sequence[int],
    forward: Mapping[int, str | None],
) -> dict[int, str | None]:
    names, computed_again = ForwardNames(), ForwardNames()
    inside: dict[int, ForwardNames] = defaultdict(ForwardNames)
    for number, (op, group) in enumerate(zip(step.ops, groups, strict=True)):
        if group is OpGroup.FORWARD:
            names.add(op.own_name, forward[number])
            for call in _callers(step.ops, number):
                inside[call].add(op.own_name, forward[number])
        elif group in (OpGroup.BACKWARD, OpGroup.OTHER) and op.creator is not None:
            computed_again.add(op.own_name, op.creator)  # the last of them, nothing may read
    readers = readers_of(step.flow.sources)
    backward = {
        position: None
        for vertex in step.order
        if (position := step.op_of[vertex]) is not None and groups[position] is OpGroup.BACKWARD
    }

    def named(op: PlainOp) -> Credit:
        """The layer whose op it differentiates.

        In the gradient of a called function, names are those of that function. A loop keeps values
        for its gradient in its forward body: there the creator is known. So it is where a layer
        computes its gradient itself. If it computes its forward pass again for that, ops of the
        layers inside of it are told by their names.
        """
        if op.creator is None and op.differentiates in inside:
            function = inside[op.differentiates]
            told = function.layer_of_gradient(op.own_name)
            if told is UNKNOWN:
                told = function.only_layer
            if told is not UNKNOWN:
                return told
        if op.creator is None:
            return names.layer_of_gradient(op.own_name)
        inner = computed_again.layer_of_gradient(op.own_name)
        if isinstance(inner, str) and inner.startswith(f"{op.creator}/"):
            return inner
        return op.creator

    def neighbours(op: int, edges: Sequence[tuple[int, ...]]) -> list[int]:
        """Ops next to an op; arguments and loop variables between them are passed through."""
        found, seen = set(), set(step.ops[op].vertices)
        waiting = list(seen)
        while waiting:
            for vertex in edges[waiting.pop()]:
                position = step.op_of[vertex]
                if position is not None and position in backward and position != op:
                    found.add(position)
                elif position is None and vertex not in seen:
                    seen.add(vertex)
                    waiting.append(vertex)
        return sorted(found)

    def owner(op: int) -> str | None:
        if masks[op] >> len(step.layer_of):
            return None
        owners = {step.layer_of[position] for position in members(masks[op])}
        return owners.pop() if len(owners) == 1 else None

    return credit_backward(
        BackwardOps(
            named={op: named(step.ops[op]) for op in backward},
            readers=lambda op: neighbours(op, readers),
            reads=lambda op: neighbours(op, step.flow.sources),
            owner=owner,
            sums=[op for op in backward if step.ops[op].op_type == "AddN"],
        )
    )


def _callers(ops: Sequence[PlainOp], position: int) -> Iterator[int]:
    """The calls around an op, innermost first."""
    while (caller := ops[position].caller) is not None:
        yield caller
        position = caller


def _optimizer_layers(
    step: PlainStep, vertex_groups: Sequence[OpGroup], groups: Sequence[OpGroup]
) -> dict[int, str]:
    """Layer of the optimizer's ops that update the variables of a single layer.

    An optimizer's own variable (a momentum) belongs to the layers whose updates read it.
    """
    layer_bits = {layer: 1 << bit for bit, layer in enumerate(step.own_masks)}
    names = list(layer_bits)
    bit_of = {
        handle: layer_bits[layer]
        for layer, handles in step.layer_handles.items()
        for handle in handles
    }
    before = {
        vertex
        for vertex, group in enumerate(vertex_groups)
        if group in (OpGroup.FORWARD, OpGroup.BACKWARD)
    }
    read_by: dict[int, int] = {}
    masks: list[int] = []
    for _ in range(2):  # variables first, then the optimizer's own, by who reads them
        seeds = {
            vertex: mask
            for vertex, handles in step.writes.items()
            if vertex in step.flow.updates
            and (
                mask := union(bit_of.get(handle, 0) for handle in handles)
                or union(read_by.get(handle, 0) for handle in handles)
            )
        }
        masks = spread_up(step.flow.sources, step.order, seeds, stop=before)
        read_by = {handle: masks[handle] for handles in step.writes.values() for handle in handles}
    found = {}
    for position, (op, group) in enumerate(zip(step.ops, groups, strict=True)):
        if group is OpGroup.OPTIMIZER:
            served = members(union(masks[vertex] for vertex in op.vertices))
            if len(served) == 1:
                found[position] = names[served[0]]
    return found
