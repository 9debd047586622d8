"""Writes small XSpace files for tests: planes, lines, events and HLO programs as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

US = 1_000_000  # picoseconds in a microsecond


@dataclass
class Event:
    """One event; stats are strings or integers, bytes for serialised messages."""

    name: str
    start_us: float
    duration_us: float
    stats: dict[str, str | int | bytes] = field(default_factory=dict)


@dataclass
class Line:
    """A thread or a stream."""

    id: int
    name: str
    events: Sequence[Event]


@dataclass
class Plane:
    """A host or a device; `programs` are serialised HLO protos by name."""

    name: str
    lines: Sequence[Line] = ()
    programs: dict[str, bytes] = field(default_factory=dict)


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field_bytes(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def encode(*fields: tuple[int, int | str | bytes]) -> bytes:
    return b"".join(field_bytes(number, value) for number, value in fields)


def xspace(planes: Sequence[Plane]) -> bytes:
    return encode(*[(1, _plane(plane, index)) for index, plane in enumerate(planes)], (4, "vm"))


def write_xspace(path: Path, planes: Sequence[Plane]) -> Path:
    path.write_bytes(xspace(planes))
    return path


def _plane(plane: Plane, index: int) -> bytes:
    ordinal = plane.name.rpartition(":")[2]  # what profilers give device planes for an id
    stats: dict[str, int] = {}
    events: dict[str, int] = {}

    def stat(name: str, value: str | int | bytes) -> bytes:
        kind = {str: 5, int: 4, bytes: 6}[type(value)]
        return encode((1, stats.setdefault(name, len(stats) + 1)), (kind, value))

    lines = []
    for line in plane.lines:
        encoded = [
            encode(
                (1, events.setdefault(event.name, len(events) + 1)),
                (2, round(event.start_us * US)),
                (3, round(event.duration_us * US)),
                *[(4, stat(name, value)) for name, value in event.stats.items()],
            )
            for event in line.events
        ]
        lines.append(encode((1, line.id), (2, line.name), *[(4, event) for event in encoded]))
    metadata = [encode((1, id_), (2, name)) for name, id_ in events.items()]
    for name, program in plane.programs.items():
        metadata.append(
            encode((1, 1000 + len(metadata)), (2, name), (5, stat("Hlo Proto", program)))
        )
    return encode(
        (1, int(ordinal) if ordinal.isdigit() else 100 + index),
        (2, plane.name),
        *[(3, line) for line in lines],
        *[(4, encode((1, number), (2, item))) for number, item in enumerate(metadata, start=1)],
        *[(5, encode((1, id_), (2, encode((1, id_), (2, name))))) for name, id_ in stats.items()],
    )


@dataclass
class Op:
    """An HLO instruction for `hlo_proto`; operands are earlier instructions' names."""

    name: str
    opcode: str
    op_name: str = ""
    op_type: str = ""
    elements: int = 1
    operands: Sequence[str] = ()
    calls: str = ""
    parameter: int = 0


def hlo_proto(name: str, computations: dict[str, Sequence[Op]]) -> bytes:
    """A serialised `HloProto`; each computation's last instruction is its root."""
    ids = {
        op.name: number
        for number, op in enumerate((op for ops in computations.values() for op in ops), start=1)
    }
    computation_ids = {name: number for number, name in enumerate(computations, start=1)}
    return encode(
        (
            1,
            encode(
                (1, name),
                *[
                    (3, _computation(title, ops, ids, computation_ids))
                    for title, ops in computations.items()
                ],
            ),
        )
    )


def _computation(
    title: str, ops: Sequence[Op], ids: dict[str, int], computation_ids: dict[str, int]
) -> bytes:
    encoded = [
        encode(
            (1, op.name),
            (2, op.opcode),
            (3, encode((2, 11), (3, varint(op.elements)))),
            (7, encode((1, op.op_type), (2, op.op_name))),
            (9, op.parameter),
            (35, ids[op.name]),
            (36, b"".join(varint(ids[operand]) for operand in op.operands)),
            *([(38, varint(computation_ids[op.calls]))] if op.calls else []),
        )
        for op in ops
    ]
    return encode(
        (1, title),
        *[(2, op) for op in encoded],
        (5, computation_ids[title]),
        (6, ids[ops[-1].name]),
    )
