"""The parts of an XSpace file that the event export omits: its planes and compiled programs.

In: the path of a `.xplane.pb`. Out: names of planes, which of them are empty, and HLO modules by
program name. Refuses (`TraceError`) an empty file, a truncated one and one that is no XSpace.

An XSpace of a million events takes seconds and gigabytes to parse. So only the outermost fields are
walked, and a plane is parsed only where its content is wanted. Field numbers are those of
`xplane.proto`, `hlo.proto` and `xla_data.proto`, declared here as far as they are used, because the
generated classes live inside TensorFlow, which must not be imported where traces are converted.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
)

from frostline.errors import TraceError
from frostline.trace.hlo import Instruction, Program

_METADATA_PLANE = "/host:metadata"
_HLO_PROTO_STAT = "Hlo Proto"
_ACCELERATORS = ("/device:GPU:", "/device:TPU:")
_PLANES, _ERRORS, _WARNINGS = 1, 2, 3
_PLANE_NAME, _PLANE_LINES = 2, 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# message: {field: (number, type)}; `*` marks a repeated field.
_SCHEMA = {
    "Plane": {"event_metadata": (4, "EventEntry*"), "stat_metadata": (5, "StatEntry*")},
    "EventEntry": {"value": (2, "EventMetadata")},
    "EventMetadata": {"name": (2, "string"), "stats": (5, "Stat*")},
    "Stat": {"metadata_id": (1, "int64"), "bytes_value": (6, "bytes")},
    "StatEntry": {"key": (1, "int64"), "value": (2, "StatMetadata")},
    "StatMetadata": {"name": (2, "string")},
    "Hlo": {"hlo_module": (1, "Module"), "buffer_assignment": (3, "Buffers")},
    "Module": {
        "name": (1, "string"), "computations": (3, "Computation*"), "entry_id": (6, "int64"),
        "schedule": (7, "Schedule"),
    },
    "Schedule": {"sequences": (1, "SequenceEntry*")},
    "SequenceEntry": {"key": (1, "int64"), "value": (2, "Sequence")},
    "Sequence": {"instruction_ids": (1, "int64*")},
    "Buffers": {
        "values": (1, "Value*"), "allocations": (3, "Allocation*"), "traces": (4, "HeapTrace*"),
    },
    "Value": {"id": (1, "int64"), "size": (2, "int64"), "defined_at": (3, "Place")},
    "Place": {"shape_index": (3, "int64*"), "instruction_id": (4, "int64")},
    "Allocation": {
        "size": (2, "int64"), "is_thread_local": (3, "int64"), "is_parameter": (5, "int64"),
        "may_be_live_out": (7, "int64"), "assigned": (9, "Assigned*"), "is_constant": (12, "int64"),
    },
    "Assigned": {"value_id": (1, "int64")},
    "HeapTrace": {"events": (1, "HeapEvent*")},
    "HeapEvent": {"kind": (1, "int64"), "value_id": (2, "int64"), "shares_with": (5, "int64")},
    "Computation": {
        "name": (1, "string"), "instructions": (2, "Op*"), "id": (5, "int64"),
        "root_id": (6, "int64"),
    },
    "Op": {
        "name": (1, "string"), "opcode": (2, "string"), "shape": (3, "Shape"),
        "metadata": (7, "OpMetadata"), "parameter_number": (9, "int64"), "id": (35, "int64"),
        "operand_ids": (36, "int64*"), "tuple_index": (13, "int64"),
        "called_computation_ids": (38, "int64*"),
    },
    "OpMetadata": {"op_type": (1, "string"), "op_name": (2, "string")},
    "Shape": {"dimensions": (3, "int64*"), "tuple_shapes": (4, "Shape*")},
}  # fmt: skip


def _message_classes() -> dict[str, type[message.Message]]:
    field = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": field.TYPE_STRING, "int64": field.TYPE_INT64, "bytes": field.TYPE_BYTES}
    file = descriptor_pb2.FileDescriptorProto(
        name="frostline/xspace.proto", package="frostline", syntax="proto3"
    )
    for name, fields in _SCHEMA.items():
        declared = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            element = kind.rstrip("*")
            declared.field.add(
                name=field_name,
                number=number,
                label=field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL,
                type=scalars.get(element, field.TYPE_MESSAGE),
                type_name=None if element in scalars else f".frostline.{element}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"frostline.{name}"))
        for name in _SCHEMA
    }


_MESSAGES = _message_classes()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceFacts:
    """What a file contains beside events.

    Attributes:
        planes: names of all planes, in file order.
        empty_devices: device planes of accelerators without a single line.
        programs: serialised HLO by program, `<module>(<program id>)`.
        complaints: what the profiler itself says went wrong (CUPTI's errors, dropped events).
    """

    planes: tuple[str, ...]
    empty_devices: tuple[str, ...]
    programs: dict[str, bytes]
    complaints: tuple[str, ...] = ()

    @property
    def has_accelerator(self) -> bool:
        """True with a plane of a GPU or a TPU, empty or not."""
        return any(name.startswith(_ACCELERATORS) for name in self.planes)


def read_space(path: Path) -> SpaceFacts:
    """Walk the file's planes.

    Raises:
        TraceError: the file is missing, empty, truncated or no XSpace.
    """
    try:
        if path.stat().st_size == 0:
            raise TraceError(f"{path} is empty; the profiler wrote nothing, or is still writing")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _walk(data)
    except OSError as error:
        raise TraceError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, message.DecodeError) as error:
        raise TraceError(
            f"{path} is no complete XSpace ({error}); it was cut off while it was written or "
            "copied, or it is a file of another kind: see that the disk has space, profile again"
        ) from error


def _walk(data: mmap.mmap) -> SpaceFacts:
    planes: list[str] = []
    empty: list[str] = []
    programs: dict[str, bytes] = {}
    complaints: list[str] = []
    for field, start, end in _fields(data, 0, len(data)):
        if field in (_ERRORS, _WARNINGS):
            complaints.append(data[start:end].decode())
        if field != _PLANES:
            continue
        name, has_lines = "", False
        for inner, inner_start, inner_end in _fields(data, start, end):
            if inner == _PLANE_NAME:
                name = data[inner_start:inner_end].decode()
            has_lines |= inner == _PLANE_LINES
        planes.append(name)
        if not has_lines and name.startswith(_ACCELERATORS):
            empty.append(name)
        if name == _METADATA_PLANE:
            programs.update(_programs(data[start:end]))
    if not planes:
        raise ValueError("no plane")
    return SpaceFacts(
        planes=tuple(planes),
        empty_devices=tuple(empty),
        programs=programs,
        complaints=tuple(complaints),
    )


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field numbers of a message with the bounds of their content."""
    position = start
    while position < end:
        key, position = _varint(data, position, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, after = _varint(data, position, end)
        elif wire == _BYTES:
            length, position = _varint(data, position, end)
            after = position + length
        elif wire in (_FIXED64, _FIXED32):
            after = position + (8 if wire == _FIXED64 else 4)
        else:
            raise ValueError(f"wire type {wire} at byte {position}")
        if after > end:
            raise ValueError(f"a field at byte {position} ends {after - end} bytes too late")
        yield number, position, after
        position = after


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise ValueError(f"a number does not end at byte {position}")


def _programs(plane: bytes) -> dict[str, bytes]:
    parsed: Any = _MESSAGES["Plane"].FromString(plane)
    wanted = {entry.key for entry in parsed.stat_metadata if entry.value.name == _HLO_PROTO_STAT}
    return {
        entry.value.name: stat.bytes_value
        for entry in parsed.event_metadata
        for stat in entry.value.stats
        if stat.metadata_id in wanted
    }


def parse_hlo(serialised: bytes) -> Any:
    """A serialised `HloProto`, as far as its fields are declared here.

    Raises:
        TraceError: the bytes are no `HloProto`.
    """
    try:
        return _MESSAGES["Hlo"].FromString(serialised)
    except message.DecodeError as error:
        raise TraceError(f"an HLO program in the trace cannot be read: {error}") from error


def parse_hlo_proto(serialised: bytes) -> Program:
    """Read a program from a serialised `HloProto`.

    Raises:
        TraceError: the bytes are no `HloProto`.
    """
    return program_of(parse_hlo(serialised))


def program_of(parsed: Any) -> Program:
    """The program in what `parse_hlo` gives."""
    module = parsed.hlo_module
    computation_names = {computation.id: computation.name for computation in module.computations}
    return {
        computation.name: _computation(computation, computation_names)
        for computation in module.computations
    }


def _computation(computation: Any, computation_names: dict[int, str]) -> tuple[Instruction, ...]:
    names = {op.id: op.name for op in computation.instructions}
    ordered = sorted(computation.instructions, key=lambda op: op.id == computation.root_id)
    return tuple(
        Instruction(
            name=op.name,
            opcode=op.opcode,
            op_name=op.metadata.op_name,
            op_type=op.metadata.op_type,
            elements=_elements(op.shape),
            operands=tuple(names[id_] for id_ in op.operand_ids if id_ in names),
            called=tuple(
                computation_names[id_]
                for id_ in op.called_computation_ids
                if id_ in computation_names
            ),
            parameter=op.parameter_number if op.opcode == "parameter" else None,
        )
        for op in ordered
    )


def _elements(shape: Any) -> int:
    if shape.tuple_shapes:
        return sum(_elements(part) for part in shape.tuple_shapes)
    return math.prod(shape.dimensions)
