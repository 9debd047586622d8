"""A step's graph, indexed for look-up by names as profiled.

XLA also compiles single functions inside of a step that it does not compile itself: those with
`jit_compile=True`, and Keras's grouped convolutions. Its program then bears the function's
name, and its instructions name ops as the function does, so that they are looked for in the call.

In: `StepGraph`. Out: `GraphIndex`. Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from frostline.attribute.names import canonical, originals, scopes
from frostline.attribute.step_graph import GraphOp, Pass, StepGraph

_CALLERS = frozenset(
    {
        "Case", "If", "PartitionedCall", "StatefulPartitionedCall", "StatelessCase", "StatelessIf",
        "StatelessWhile", "While",
    }
)  # fmt: skip
_FUSED_FROM = {
    "Conv2D": ("Conv2D",),
    "Conv3D": ("Conv3D",),
    "DepthwiseConv2dNative": ("DepthwiseConv2dNative",),
    "MatMul": ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"),
    "BatchMatMulV2": ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"),
}
"""By what follows `Fused` in the type of a fused op, the types of the op that it was made from."""

_IDLE = frozenset(
    {"Const", "Identity", "IdentityN", "NoOp", "Placeholder", "ReadVariableOp", "Shape", "ShapeN"}
)
"""XLA computes nothing for them."""

_FUSED = re.compile(r"^_(?:Mkl)?(?:Native)?Fused(\w+)$")


_PHASES: dict[Pass, str] = {
    "forward": "forward",
    "activation_gradient": "backward",
    "weight_gradient": "backward",
    "optimizer": "optimizer",
    "input": "",
    "other": "",
}
"""What a function inside of a step is part of; nothing of the ops that may be in any."""


@dataclass(frozen=True, slots=True)
class Match:
    """Where an op belongs: layer, pass, the rule that found it, and the graph's op if it is one."""

    layer: str | None
    pass_: Pass
    rule: str
    graph_op: str | None = field(default=None, compare=False)


class GraphIndex:
    """Look-up of graph ops by profiled names.

    Args:
        graph: the traced step.
        profiled: op names in the trace, to know which ops grappler has fused into others.
    """

    def __init__(self, graph: StepGraph, profiled: Iterable[str] = ()) -> None:
        self._ops = graph.ops
        self._by_name = {op.op_name: op for op in graph.ops}
        self._by_canonical = self._agreeing((canonical(op.op_name), op) for op in graph.ops)
        self._by_inner_name = self._agreeing(self._inner_names())
        self._scopes: dict[str, Match | None] = {}
        self._fill_scopes()
        self._found: dict[str, tuple[GraphOp | None, str]] = {}
        found = (self.find(name)[0] for name in profiled)
        seen = {op.op_name for op in found if op is not None}
        self._positions = {op.op_name: position for position, op in enumerate(graph.ops)}
        self._vanished = [
            op for op in graph.ops if op.pass_ == "forward" and op.op_name not in seen
        ]
        self._inside: dict[str, list[GraphOp]] = defaultdict(list)
        self._calls: dict[str, tuple[str, ...]] = {}
        self._fill_calls()

    @staticmethod
    def _agreeing(named: Iterable[tuple[str, GraphOp]]) -> dict[str, GraphOp]:
        """Ops by name; only names whose ops all have the same layer and pass."""
        found: dict[str, GraphOp | None] = {}
        for name, op in named:
            other = found.setdefault(name, op)
            if other is not None and (other.layer, other.pass_) != (op.layer, op.pass_):
                found[name] = None
        return {name: op for name, op in found.items() if op is not None}

    def _inner_names(self) -> Iterable[tuple[str, GraphOp]]:
        """Ops of called functions by their name inside the function, which is the name in XLA."""
        callers = {op.op_name for op in self._ops if op.op_type in _CALLERS}
        for op in self._ops:
            for scope in scopes(op.op_name):
                if scope in callers:
                    yield op.op_name.removeprefix(scope + "/"), op

    def _fill_scopes(self) -> None:
        """For each scope, what all of its ops have in common; None where they differ."""
        for op in self._ops:
            match = Match(op.layer, op.pass_, "scope")
            for scope in scopes(canonical(op.op_name)):
                if self._scopes.setdefault(scope, match) != match:
                    self._scopes[scope] = None

    def _fill_calls(self) -> None:
        """The calls of each function that is part of a single pass, by what XLA would call it."""
        callers = {op.op_name for op in self._ops if op.calls is not None}
        for op in self._ops:
            for scope in scopes(op.op_name):
                if scope in callers:
                    self._inside[scope].append(op)
        calls: dict[str, list[str]] = defaultdict(list)
        for op in self._ops:
            if op.calls is None:
                continue
            if len({_PHASES[each.pass_] for each in self._inside[op.op_name]} - {""}) == 1:
                calls[_program_of(op.calls)].append(op.op_name)
        self._calls = {program: tuple(names) for program, names in calls.items()}

    def calls_of(self, program: str) -> tuple[str, ...]:
        """The calls of the function that an XLA program was made of, by name.

        Empty where it was made of the step itself, or of a function that is not in the graph.
        """
        return self._calls.get(_core(program), ()) if program else ()

    def in_call(self, call: str, name: str, named: Collection[str]) -> Match:
        """Where an instruction of a called function's program belongs.

        Args:
            call: name of the call.
            name: of the op that the instruction computes, in the function; empty where it names
                none.
            named: the ops of that function that any of the program's instructions name. An
                instruction without a name computes one of the others.
        """
        if op := self._by_name.get(f"{call}/{name}"):
            return Match(op.layer, op.pass_, "call:exact", op.op_name)
        if name and (match := self.scope(f"{call}/{name}")):
            return replace(match, rule="call:scope")
        inside = [
            op
            for op in self._inside[call]
            if op.op_type not in _IDLE and op.op_name.removeprefix(f"{call}/") not in named
        ]
        if len({(op.layer, op.pass_) for op in inside}) == 1:
            return Match(inside[0].layer, inside[0].pass_, "call:rest")
        own = self._by_name[call]
        return Match(own.layer, own.pass_, "call")

    def find(self, name: str) -> tuple[GraphOp | None, str]:
        """The graph op of a profiled name and the rule that led to it; None where there is none."""
        if name not in self._found:
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> tuple[GraphOp | None, str]:
        for original, rule in originals(name):
            for known in (self._by_name, self._by_canonical, self._by_inner_name):
                if original in known:
                    return known[original], rule
        return None, ""

    def scope(self, name: str) -> Match | None:
        """What all ops of the innermost scope known to the graph agree on, else None."""
        for scope in scopes(canonical(name)):
            if scope in self._scopes:
                return self._scopes[scope]
        return None

    def contraction_inside(self, op: GraphOp, profiled_type: str) -> GraphOp | None:
        """The convolution or matrix product that grappler fused into the op it named it after.

        It is the last op of that type which was created before `op` and is not in the trace itself.
        None where the profiled type is no fusion, where `op` is such an op itself, or where another
        op of its layer is.
        """
        fused = _FUSED.match(profiled_type)
        types = () if fused is None else _FUSED_FROM.get(fused[1], ())
        if not types or op.op_type in types:
            return None
        before = self._positions[op.op_name]
        inside = [
            other
            for other in self._vanished
            if self._positions[other.op_name] < before and other.op_type in types
        ]
        own = any(other.layer == op.layer for other in inside)
        return inside[-1] if inside and not own else None


def _program_of(function: str) -> str:
    """What XLA calls the program of a function, without numbers and underscores around it.

    It replaces what is no letter, digit, dot or dash, and begins with a letter.
    """
    return re.sub(r"[^\w.-]", "_", f"a{function[1:]}" if function[:1] == "_" else function).strip(
        "_"
    )


def _core(program: str) -> str:
    """A program's name without its id, its number and the attributes of its function."""
    return re.sub(r"(?:\.\d+)?(?:\(\d*\))?$", "", program).strip("_")
