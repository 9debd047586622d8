"""Programs written in XLA's textual form, for tests of what instructions compute."""

from __future__ import annotations

import re

from frostline.trace.hlo import Instruction, Program

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"\s*([\w\-]+)\(")
_DIMENSIONS = re.compile(r"\b[a-z]\w*\[([\d,<=]*)\]")
_REFERENCE = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|\w+_computations?)=(?:\{([^}]*)\}|%?([\w.\-]+))"
)
_OP_NAME = re.compile(r'op_name="((?:[^"\\]|\\.)*)"')
_OP_TYPE = re.compile(r'op_type="((?:[^"\\]|\\.)*)"')


def program_of(text: str) -> Program:
    """A program from its computations as XLA prints them."""
    computations: dict[str, tuple[Instruction, ...]] = {}
    current: str | None = None
    body: list[Instruction] = []
    root: Instruction | None = None
    for line in text.splitlines():
        if current is None:
            start = _COMPUTATION.match(line)
            if start:
                current, body, root = start[1], [], None
        elif line.startswith("}"):
            computations[current] = (*body, root) if root else tuple(body)
            current = None
        else:
            match = _INSTRUCTION.match(line)
            if match is None:
                continue
            instruction = _instruction(match[2], match[3])
            if match[1]:
                root = instruction
            else:
                body.append(instruction)
    return computations


def _instruction(name: str, rest: str) -> Instruction:
    shape_end = _closing(rest) if rest.startswith("(") else rest.find(" ")
    shape, tail = rest[:shape_end], rest[shape_end:]
    opcode = _OPCODE.match(tail)
    if opcode is None:
        return Instruction(name=name, opcode="", op_name="", op_type="", elements=_elements(shape))
    arguments_end = opcode.end() - 1 + _closing(tail[opcode.end() - 1 :])
    arguments, attributes = tail[opcode.end() : arguments_end - 1], tail[arguments_end:]
    op_name, op_type = _OP_NAME.search(attributes), _OP_TYPE.search(attributes)
    called = [
        reference
        for many, one in _CALLED.findall(attributes.partition("metadata=")[0])
        for reference in (re.findall(r"[\w.\-]+", many) if many else [one])
    ]
    is_parameter = opcode[1] == "parameter"
    return Instruction(
        name=name,
        opcode=opcode[1],
        op_name=op_name[1] if op_name else "",
        op_type=op_type[1] if op_type else "",
        elements=_elements(shape),
        operands=() if is_parameter else tuple(_REFERENCE.findall(arguments)),
        called=tuple(called),
        parameter=int(arguments) if is_parameter and arguments.isdigit() else None,
    )


def _closing(text: str) -> int:
    """Index after the parenthesis that closes the one `text` begins with."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return index + 1
    return len(text)


def _elements(shape: str) -> int:
    total = 0
    for dimensions in _DIMENSIONS.findall(shape):
        count = 1
        for size in dimensions.replace("<=", "").split(","):
            count *= int(size) if size else 1
        total += count
    return total
