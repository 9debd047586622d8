"""Which instructions of the baseline's XLA program are left in a freeze configuration?

In: the program's instructions with the ops of the traced step that they compute, and which of those
ops run (`frostline.memory.running`). Out: a flag per instruction, as `frostline.memory.liveness`
takes it. An instruction of the backward pass or of the optimizer goes with the last of its ops that
ran; what is there for such instructions alone goes with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from frostline.attribute.walk import readers_of, union

_KEPT = frozenset({"parameter", "constant", "tuple"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStep:
    """One instruction of a program, in the order of its schedule.

    Attributes:
        name: of the instruction.
        op_type: HLO opcode.
        graph_ops: ops of the traced step that it computes, by name.
        inputs: position of the instruction that made a buffer, and which of its buffers.
        output_bytes: of each buffer that it makes; 0 for one that is not temporary.
        temporary_bytes: what it works in; XLA has a buffer for that, too, so None.
    """

    name: str
    op_type: str
    graph_ops: tuple[str, ...]
    inputs: tuple[tuple[int, int], ...] | None
    output_bytes: tuple[int | None, ...] | None
    temporary_bytes: int | None = None


def kept_steps(
    steps: Sequence[ProgramStep], runs: Mapping[str, bool], always: frozenset[str]
) -> list[bool]:
    """Per instruction, whether it is left in a configuration.

    Args:
        steps: the program.
        runs: by op of the traced step, whether it runs.
        always: names of the ops of the traced step that every configuration runs.
    """
    found = [_is_wanted(step, runs, always) for step in steps]
    readers = _readers(steps)
    last = len(steps) - 1
    for number in reversed(range(len(steps))):
        if readers[number] and steps[number].op_type not in _KEPT and number != last:
            found[number] = found[number] and any(found[reader] for reader in readers[number])
    return found


def needs_of(
    steps: Sequence[ProgramStep], needs: Mapping[str, int | None], always: frozenset[str]
) -> list[int | None]:
    """Per instruction, the condition under which it is left, as `frostline.memory.least` takes it.

    `needs` has that of each op of the traced step; `always` is as in `kept_steps`.
    """
    found: list[int | None] = []
    for step in steps:
        own = [needs[name] for name in step.graph_ops if name in needs and name not in always]
        known = [each for each in own if each]
        found.append(0 if not own else union(known) if len(known) == len(own) else None)
    readers = _readers(steps)
    last = len(steps) - 1
    for number in reversed(range(len(steps))):
        own_needs, read = found[number], [found[reader] for reader in readers[number]]
        if own_needs is None or not read or 0 in read or number == last:
            continue
        if steps[number].op_type not in _KEPT:
            wanted = union(each for each in read if each)
            found[number] = (own_needs & wanted if own_needs else wanted) or None
    return found


def without_unread_buffers(steps: Sequence[ProgramStep], kept: Sequence[bool]) -> list[ProgramStep]:
    """The program without the buffers that only instructions read which are not left.

    A fusion that makes several makes only what is read; so would XLA.
    """
    read_at_all, read_still = set[tuple[int, int]](), set[tuple[int, int]]()
    for step, is_left in zip(steps, kept, strict=True):
        read_at_all.update(step.inputs or ())
        if is_left:
            read_still.update(step.inputs or ())
    gone = read_at_all - read_still
    return [
        replace(
            step,
            output_bytes=tuple(
                0 if (number, output) in gone else n_bytes
                for output, n_bytes in enumerate(step.output_bytes or ())
            ),
        )
        for number, step in enumerate(steps)
    ]


def _readers(steps: Sequence[ProgramStep]) -> list[tuple[int, ...]]:
    return readers_of([tuple(source for source, _ in step.inputs or ()) for step in steps])


def _is_wanted(step: ProgramStep, runs: Mapping[str, bool], always: frozenset[str]) -> bool:
    """An instruction that recomputes forward ops for others is there for the others."""
    known = [name for name in step.graph_ops if name in runs]
    own = [name for name in known if name not in always]
    return not own or any(runs[name] for name in own)
