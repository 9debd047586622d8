"""An XLA program as ops with buffers: what each instruction makes, and who reads it.

In: a serialised `HloProto` with its buffer assignment. Out: `ProgramMemory`: the instructions of
the entry computation in the order of the schedule, each with the temporary buffers that it makes
and those that it reads, and the size of the program's temporary block. Parameters, constants and
results are no temporary buffers: their bytes are the model's. What a loop or a called computation
needs inside counts with the instruction that calls it. Pure.

Tuples, their elements and bitcasts make no buffer; who reads them reads what lies behind. A buffer
that XLA lets share another's bytes (`SHARE_WITH` in the heap's trace) counts as that one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from frostline.errors import TraceError
from frostline.trace.hlo import Program, contents
from frostline.trace.ops import ProgramMemory, ProgramOp
from frostline.trace.xspace import parse_hlo, program_of

_SHARE_WITH = 2
_NO_BUFFER = frozenset({"bitcast", "get-tuple-element", "tuple"})
Index: TypeAlias = tuple[int, ...]
Buffer: TypeAlias = tuple[int, int]


def program_memory(serialised: bytes) -> ProgramMemory | None:
    """Read the memory of a program; None where the proto holds no buffer assignment.

    Raises:
        TraceError: the bytes are no `HloProto`, or its parts do not fit each other.
    """
    parsed: Any = parse_hlo(serialised)
    if not parsed.buffer_assignment.allocations:
        return None
    try:
        return _Reader(parsed).read()
    except (KeyError, IndexError, StopIteration) as error:
        raise TraceError(f"an HLO program in the trace is damaged: {error!r}") from error


class _Reader:
    def __init__(self, parsed: Any) -> None:
        module, assignment = parsed.hlo_module, parsed.buffer_assignment
        self._program: Program = program_of(parsed)
        self._names = contents(self._program)
        entry = next(each for each in module.computations if each.id == module.entry_id)
        by_id = {op.id: op for op in entry.instructions}
        order = next(
            (each.value.instruction_ids for each in module.schedule.sequences
             if each.key == entry.id), [op.id for op in entry.instructions],
        )  # fmt: skip
        self._ops = [by_id[id_] for id_ in order]
        self._place = {op.id: place for place, op in enumerate(self._ops)}
        self._computations = {each.id: each for each in module.computations}
        temporary = [
            each
            for each in assignment.allocations
            if not (
                each.is_thread_local
                or each.is_parameter
                or each.is_constant
                or each.may_be_live_out
            )
        ]
        self._temporary_bytes = sum(each.size for each in temporary)
        self._temporary = {one.value_id for each in temporary for one in each.assigned}
        self._values: dict[int, list[Any]] = defaultdict(list)
        for value in assignment.values:
            self._values[value.defined_at.instruction_id].append(value)
        self._value_of: dict[Buffer, int] = {}
        self._buffer: dict[int, Buffer] = {}
        self._results: dict[int, dict[Index, Buffer]] = defaultdict(dict)
        self._shares = {
            event.value_id: event.shares_with
            for trace in assignment.traces
            for event in trace.events
            if event.kind == _SHARE_WITH
        }

    def read(self) -> ProgramMemory:
        """The program's ops, in the order of the schedule."""
        made = [self._made(op) for op in self._ops]
        for place, (op, values) in enumerate(zip(self._ops, made, strict=True)):
            for number, value in enumerate(values):
                self._value_of[place, number] = value.id
                self._buffer[value.id] = (place, number)
                self._results[op.id][tuple(value.defined_at.shape_index)] = (place, number)
        return ProgramMemory(
            ops=tuple(
                ProgramOp(
                    name=op.name,
                    opcode=op.opcode,
                    op_names=self._names.get(op.name, ()),
                    inputs=tuple(
                        dict.fromkeys(
                            buffer for id_ in op.operand_ids for buffer in self._read(id_, ())
                        )
                    ),
                    buffer_bytes=(*map(self._own_bytes, values), *self._inside(op)),
                )
                for op, values in zip(self._ops, made, strict=True)
            ),
            temporary_bytes=self._temporary_bytes,
        )

    def _made(self, op: Any) -> Sequence[Any]:
        """The values that an instruction defines; what a tuple or a bitcast defines is none."""
        return () if op.opcode in _NO_BUFFER else self._values.get(op.id, ())

    def _own_bytes(self, value: Any) -> int:
        return 0 if value.id in self._shares or value.id not in self._temporary else int(value.size)

    def _read(self, id_: int, index: Index) -> Iterator[Buffer]:
        """The buffers behind an operand, or behind the element of it that an index names."""
        if id_ not in self._place:
            return
        op = self._ops[self._place[id_]]
        if op.opcode == "get-tuple-element":
            yield from self._read(op.operand_ids[0], (op.tuple_index, *index))
        elif op.opcode == "bitcast":
            yield from self._read(op.operand_ids[0], index)
        elif op.opcode == "tuple":
            for operand in [op.operand_ids[index[0]]] if index else op.operand_ids:
                yield from self._read(operand, index[1:])
        else:
            found = self._results[id_]
            for buffer in [found[index]] if index in found else found.values():
                yield from self._behind(buffer)

    def _behind(self, buffer: Buffer) -> Iterator[Buffer]:
        """A buffer, and the one whose bytes it shares."""
        yield buffer
        other = self._buffer.get(self._shares.get(self._value_of[buffer], -1))
        if other is not None and other != buffer:
            yield from self._behind(other)

    def _inside(self, op: Any) -> tuple[int, ...]:
        """Temporary bytes of the computations that an instruction runs, fusions apart."""
        if op.opcode == "fusion":
            return ()
        waiting, seen, total = list(op.called_computation_ids), set[int](), 0
        while waiting:
            id_ = waiting.pop()
            if id_ in seen or id_ not in self._computations:
                continue
            seen.add(id_)
            for inner in self._computations[id_].instructions:
                total += sum(self._own_bytes(value) for value in self._values.get(inner.id, ()))
                if inner.opcode != "fusion":
                    waiting += inner.called_computation_ids
        return (total,) if total else ()
