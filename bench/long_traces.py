"""Traces of any length for timing programs that read them: written event by event, not recorded.

In: the ops of a real profiled step (`Trace`). Out: an XSpace file as a GPU run in graph mode leaves
it, with that step repeated: streams of kernels and copies, and the host's dispatch of each op with
its launches. Times of the kernels are those of the recorded ops, shrunk; they are evidence of
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from frostline.trace.ops import Trace, TraceOp

SHRINK = 20  # a kernel against the CPU's op
LAUNCH_PS = 4_000_000
GAP_PS = 300_000
KERNELS = {"Conv2D": 3, "Conv2DBackpropFilter": 4, "Conv2DBackpropInput": 4, "MatMul": 2}
STREAMS = {13: "Stream #13(Compute)", 17: "Stream #17(Compute)", 14: "Stream #14(MemcpyH2D)"}


def write_gpu_trace(path: Path, step: Trace, *, events: int) -> int:
    """Write a trace of at least so many events on streams and host threads.

    Args:
        path: file to write.
        step: ops to repeat, as profiled on a CPU in graph mode.
        events: how many, kernels, copies, launches and dispatches together.

    Returns:
        Events written.
    """
    ops = [op for op in step.ops if op.op_name and not op.in_input]
    device, host = _Plane(), _Plane()
    streams: dict[int, list[bytes]] = {line: [] for line in STREAMS}
    threads: dict[int, list[bytes]] = {1: [], 7: []}
    kernels = [_Kernels.of(op, device, host) for op in ops]
    correlation, now_ps, number = 0, 0, 0
    while sum(map(len, streams.values())) + sum(map(len, threads.values())) < events:
        began_ps = now_ps
        correlation += 1
        streams[14].append(
            device.event("MemcpyH2D", now_ps, 9_000_000, correlation, {
                "tf_op": "IteratorGetNext/_1:_Send",
                "memcpy_details": "kind_src:pageable kind_dst:device size:1572864 dest:0 async:1",
            })
        )  # fmt: skip
        for position, each in enumerate(kernels):
            threads[7].append(host.timed(each.dispatch, now_ps, LAUNCH_PS * len(each.own)))
            for event in each.own:
                correlation += 1
                threads[7].append(host.timed(each.launch, now_ps, LAUNCH_PS, correlation))
                # Every ninth op runs beside the others, on a stream of its own.
                line = 17 if position % 9 == 0 else 13
                streams[line].append(device.timed(event, now_ps, each.kernel_ps, correlation))
                now_ps += max(each.kernel_ps, LAUNCH_PS) + GAP_PS
        stats: dict[str, str | int] = {"step_num": number, "_r": 1}
        threads[1].append(host.event("train", began_ps, now_ps - began_ps, None, stats))
        now_ps, number = now_ps + 50_000_000, number + 1
    space = [
        _field(1, device.encoded(0, "/device:GPU:0", STREAMS, streams)),
        _field(1, host.encoded(1, "/host:CPU", {1: "python", 7: "tf_Compute/7"}, threads)),
        _field(4, b"vm"),
    ]
    path.write_bytes(b"".join(space))
    return sum(map(len, (*streams.values(), *threads.values())))


@dataclass(frozen=True, slots=True)
class _Kernels:
    """What repeats of one op: its encoded events without their times."""

    own: tuple[bytes, ...]
    dispatch: bytes
    launch: bytes
    kernel_ps: int

    @classmethod
    def of(cls, op: TraceOp, device: _Plane, host: _Plane) -> _Kernels:
        count = KERNELS.get(op.op_type.removeprefix("_Mkl").removeprefix("Native"), 1)
        label = f"{op.op_name}:{op.op_type}"
        details = "regs:32 shm:2064 grid:32,1,1 block:128,1,1"
        stats: dict[str, str | int] = {"tf_op": label, "kernel_details": details, "is_eager": 0}
        names = [
            f"void tensorflow::functor::{op.op_type}Kernel{i}<float, int>" for i in range(count)
        ]
        return cls(
            own=tuple(device.body(name, stats) for name in names),
            dispatch=host.body(label, {"is_eager": 0}),
            launch=host.body("cuLaunchKernel", {"kernel_details": names[0]}),
            kernel_ps=max(1_000, (op.typical_ns or 1_000) * 1_000 // SHRINK // count),
        )


@dataclass
class _Plane:
    """A plane in the making: names are written once and referred to by number."""

    events: dict[str, int] = field(default_factory=dict)
    stats: dict[str, int] = field(default_factory=dict)

    def body(self, name: str, stats: dict[str, str | int]) -> bytes:
        """An event without times: its metadata and stats."""
        encoded = [_number(1, self.events.setdefault(name, len(self.events) + 1))]
        encoded += [_field(4, self._stat(key, value)) for key, value in stats.items()]
        return b"".join(encoded)

    def timed(self, body: bytes, start_ps: int, length_ps: int, correlation: int = 0) -> bytes:
        linked = _field(4, self._stat("correlation_id", correlation)) if correlation else b""
        return body + _number(2, start_ps) + _number(3, length_ps) + linked

    def event(
        self, name: str, start_ps: int, length_ps: int, correlation: int | None,
        stats: dict[str, str | int],
    ) -> bytes:  # fmt: skip
        return self.timed(self.body(name, stats), start_ps, length_ps, correlation or 0)

    def _stat(self, key: str, value: str | int) -> bytes:
        name = _number(1, self.stats.setdefault(key, len(self.stats) + 1))
        if isinstance(value, int):
            return name + _number(4, value)
        return name + _number(7, self.stats.setdefault(value, len(self.stats) + 1))

    def encoded(
        self, id_: int, name: str, names: dict[int, str], lines: dict[int, list[bytes]]
    ) -> bytes:
        parts = [_number(1, id_), _field(2, name.encode())]
        for line, events in lines.items():
            head = _number(1, line) + _field(2, names[line].encode())
            parts.append(_field(3, head + b"".join(_field(4, event) for event in events)))
        for number, known in ((4, self.events), (5, self.stats)):
            parts += _entries(number, known)
        return b"".join(parts)


def _entries(number: int, known: dict[str, int]) -> Iterator[bytes]:
    for name, id_ in known.items():
        described = _number(1, id_) + _field(2, name.encode())
        yield _field(number, _number(1, id_) + _field(2, described))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _field(number: int, content: bytes | Iterable[int]) -> bytes:
    content = bytes(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
