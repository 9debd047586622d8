"""XLA's optimised program: which TensorFlow ops does an instruction compute?

In: the program that a profile carries, as `frostline.trace.xspace` reads it. Out: for every
instruction the `OpShare`s it computes. Pure.

XLA fuses ops and rewrites them, and some instructions lose their metadata on the way. An
instruction's ops are looked for in this order:

1. What a fusion or call contains: its contractions alone when it has any (they take the time),
   else its arithmetic, weighted by the elements computed; moving data is free inside a fusion.
   Fusions recompute what others have computed before, forward activations in the backward pass
   above all: the first instruction in the schedule is charged for it, the later ones are not.
   An instruction that only recomputes belongs to the instruction that it recomputes for (4).
2. The ops of the instruction's own metadata.
3. The data movement that a fusion contains, when it contains nothing else.
4. The nearest instructions downstream that have metadata: a transposition in front of a convolution
   belongs to the convolution, and a rewritten gradient convolution is followed by the transposition
   that puts its result into TensorFlow's layout and still carries the name.
5. The nearest instructions upstream that have metadata.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from frostline.trace.ops import OpShare

_CONTRACTIONS = frozenset({"convolution", "dot", "custom-call", "fft", "triangular-solve"})
_NOTHING = frozenset({"parameter", "constant"})
_MOVEMENT = frozenset(
    {
        "bitcast", "bitcast-convert", "broadcast", "concatenate", "convert", "copy", "copy-done",
        "copy-start", "dynamic-slice", "get-tuple-element", "iota", "pad", "reshape", "reverse",
        "slice", "transpose", "tuple",
    }
)  # fmt: skip
_INLINED = frozenset({"fusion", "call", "async-start"})
_NO_OP = frozenset({"XLA_Args", "XLA_Retvals"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One HLO instruction.

    Attributes:
        name: unique in its module.
        opcode: `fusion`, `convolution`, ...
        op_name, op_type: TensorFlow op from the metadata, `` where there is none.
        elements: elements of the result, summed over a tuple.
        operands: names of the instructions it reads.
        called: names of the computations it calls.
        parameter: number of a parameter, else None.
    """

    name: str
    opcode: str
    op_name: str
    op_type: str
    elements: int
    operands: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    parameter: int | None = None

    @property
    def named(self) -> bool:
        """True when it says which op it belongs to."""
        return bool(self.op_name) and self.op_name not in _NO_OP and self.opcode not in _NOTHING


Program: TypeAlias = Mapping[str, tuple[Instruction, ...]]
"""A compiled program: computations by name, each with its instructions in order, root last."""


def op_shares(program: Program) -> dict[str, tuple[OpShare, ...]]:
    """The ops that each instruction of a program computes, by instruction name.

    Instructions for which nothing is found are left out.
    """
    resolver = _Resolver(program)
    found = ((name, resolver.shares(name)) for name in resolver.scheduled)
    return {name: shares for name, shares in found if shares}


def contents(program: Program) -> dict[str, tuple[str, ...]]:
    """Names of all TensorFlow ops of which an instruction computes something, by instruction.

    Beside the ops that an instruction is there for (`op_shares`) these are the ones that it
    recomputes or moves. An instruction that names none has those that it is there for.
    """
    resolver = _Resolver(program)
    found = {}
    for name in resolver.scheduled:
        shares = resolver.shares(name)
        named = resolver.named_inside(name) or tuple(share.op_name for share in shares)
        if named:
            found[name] = tuple(dict.fromkeys(named))
    return found


class _Resolver:
    """The program's data flow with fusions and calls opened up, so that names can be followed."""

    def __init__(self, program: Program) -> None:
        self.instructions = {
            instruction.name: instruction for body in program.values() for instruction in body
        }
        self._computations = program
        self._computed: set[tuple[str, str, int]] = set()
        self._users: dict[str, list[str]] = defaultdict(list)
        self._producers: dict[str, list[str]] = defaultdict(list)
        for instruction in self.instructions.values():
            self._connect(instruction)

    def _connect(self, instruction: Instruction) -> None:
        entered = [
            self._computations[name]
            for name in instruction.called
            if instruction.opcode in _INLINED | {"while"} and self._computations.get(name)
        ]
        for body in entered:
            for inner in body:
                if inner.parameter is not None and inner.parameter < len(instruction.operands):
                    self._edge(instruction.operands[inner.parameter], inner.name)
            self._edge(body[-1].name, instruction.name)
        if not entered:
            for operand in instruction.operands:
                self._edge(operand, instruction.name)

    def _edge(self, producer: str, user: str) -> None:
        self._users[producer].append(user)
        self._producers[user].append(producer)

    @property
    def scheduled(self) -> Iterator[str]:
        """Names of the instructions that run by themselves, in the order of the schedule."""
        inlined = {
            computation
            for instruction in self.instructions.values()
            if instruction.opcode == "fusion"
            for computation in instruction.called
        }
        for computation, body in self._computations.items():
            if computation not in inlined:
                yield from (instruction.name for instruction in body)

    def shares(self, name: str) -> tuple[OpShare, ...]:
        """Shares of one instruction, see the module's docstring; to be asked in schedule order."""
        own = self.instructions[name]
        content = list(self._content(own)) if own.opcode in _INLINED else []
        contractions = [leaf for leaf in content if leaf.opcode in _CONTRACTIONS]
        if contractions:
            named = [leaf for leaf in contractions if leaf.named]
            return _weighted(named) or self._nearest(contractions[0].name)
        arithmetic = [leaf for leaf in content if leaf.named and leaf.opcode not in _MOVEMENT]
        if arithmetic:
            new = [leaf for leaf in arithmetic if _signature(leaf) not in self._computed]
            self._computed.update(map(_signature, new))
            return self._by_work(new) or self._nearest(name) or self._by_work(arithmetic)
        if own.named and own.opcode not in _MOVEMENT:
            self._computed.add(_signature(own))
        if own.named:
            return _weighted([own])
        return _weighted([leaf for leaf in content if leaf.named]) or self._nearest(name)

    def named_inside(self, name: str) -> tuple[str, ...]:
        """Ops that an instruction names, itself and inside of it."""
        own = self.instructions[name]
        inside = self._content(own) if own.opcode in _INLINED else ()
        return tuple(leaf.op_name for leaf in (own, *inside) if leaf.named)

    def _content(self, instruction: Instruction) -> Iterator[Instruction]:
        for computation in instruction.called:
            for inner in self._computations.get(computation, ()):
                if inner.opcode in _INLINED:
                    yield from self._content(inner)
                elif inner.opcode not in _NOTHING:
                    yield inner

    def _by_work(self, leaves: list[Instruction]) -> tuple[OpShare, ...]:
        """Weights by elements computed; a reduction computes as many as it reads."""
        work = []
        for leaf in leaves:
            read = [self.instructions[name].elements for name in leaf.operands[:1]
                    if name in self.instructions]  # fmt: skip
            work.append((leaf, max([leaf.elements, *read])))
        return _merged(work)

    def _nearest(self, name: str) -> tuple[OpShare, ...]:
        return self._search(name, self._users) or self._search(name, self._producers)

    def _search(self, name: str, edges: dict[str, list[str]]) -> tuple[OpShare, ...]:
        """Breadth first through instructions without a name, to the first ring that has some."""
        seen, ring = {name}, [name]
        while ring:
            nearby = dict.fromkeys(near for here in ring for near in edges.get(here, ()))
            ring = [near for near in nearby if near not in seen]
            seen.update(ring)
            named = [self.instructions[near] for near in ring if near in self.instructions]
            named = [instruction for instruction in named if instruction.named]
            if named:
                return _merged((instruction, 1) for instruction in named)
        return ()


def _signature(instruction: Instruction) -> tuple[str, str, int]:
    return instruction.op_name, instruction.opcode, instruction.elements


def _weighted(instructions: list[Instruction]) -> tuple[OpShare, ...]:
    return _merged((instruction, instruction.elements) for instruction in instructions)


def _merged(work: Iterable[tuple[Instruction, int]]) -> tuple[OpShare, ...]:
    weights: dict[str, int] = defaultdict(int)
    types: dict[str, str] = {}
    for instruction, amount in work:
        weights[instruction.op_name] += max(amount, 1)
        types[instruction.op_name] = types.get(instruction.op_name) or instruction.op_type
    return tuple(
        OpShare(op_name=name, op_type=types[name], weight=weight)
        for name, weight in weights.items()
    )
