"""Hostile words and values: texts, numbers, policies, and bytes and lines that were changed.

In: a source of random numbers, and what there was. Out: what stands there now.
"""

from __future__ import annotations

import json
import random
from typing import Any

Random = random.Random

TEXTS = (
    "", " ", "\x1b[31mred\x1b[0m", "\x1b]52;c;ZXZpbA==\x07", "\x1b]0;title\x1b\\", "\x9b2J", "a\rb",
    "a\nerror: b", "a\tb", "\x00", "\x7f", "\u202egnp.exe", "\u2066x\u2069", "\u200bx", "\u061cx",
    "\ufeffx", "\U000e0041", "[red]x[bold]", "[/x]", "[/]", "[link=http://x]y[/link]", ":bomb:",
    "</script><script>alert(1)</script>", "{{7*7}}", "<img src=x onerror=y>", "../../outside",
    "/etc/passwd", "a/b/c", "%s%n", "漢" * 100, "👩‍🚀" * 50, "x" * 5_000, "y" * 200_000, "null",
    "nan", "-1", "none", "prefix:2", "regex:(a+)+$", "list:a,b", "`x`", "'", '"', "\\", "=1+1",
    "net", "net/l0", "ok", "failed", "forward", "trainable", "A" * 2_000_000,
)  # fmt: skip
LIKELY = (
    "net", "net/l0", "net/l2", "net/l5", "net/l0/kernel", "net/l4/kernel", "other", "none",
    "prefix:1",
    "prefix:9", "suffix:1", "layer:2", "random:2@0.5#1", "trainable", "pruned", "pass_through",
    "extra:1", "forward", "weight_gradient", "activation_gradient", "optimizer", "input", "ok",
    "failed", "baseline", "trial", "adam", "sgd", "float32", "mixed_float16", "mirrored",
    "/host:CPU",
    "/device:GPU:0", "three_anchor", "frozen_fraction", "two_point", "profile", "build", "Dense",
    "BatchNormalization", "MatMul", "gradient/net/l2/dX", "gradient/net/l3/dW", "input",
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2, 7, 255, -(2**31), 2**31, 2**53, 2**62, 2**63 - 1, -(2**63), 10**15, 10**18,
)  # fmt: skip
REALS = (
    0.0, -0.0, -1.0, 1.0, 1e-300, 1e300, 5e-324, float("inf"), float("-inf"), float("nan"), 0.5,
    1e15, 1e-9,
)  # fmt: skip
DEEP = 3_000


def text(chance: Random) -> str:
    """A hostile text; the longest one seldom."""
    found = chance.choice(TEXTS)
    if len(found) > 100_000 and chance.random() < 0.9:
        return text(chance)
    return found if chance.random() < 0.8 else f"net{found}"


def mutated_bytes(chance: Random, content: bytes) -> bytes:
    """The bytes with a few of them changed, cut off, doubled or moved."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(6):
            case 0 if data:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at:]
            case 2:
                del data[at : at + chance.randrange(1, 40)]
            case 3:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 4:
                data[at:at] = data[at : at + chance.randrange(1, 400)]
            case 5:
                data[at:at] = text(chance).encode("utf-8", "replace")
    return bytes(data)


def mutated_lines(chance: Random, content: str) -> str:
    """A study with some of its lines or values changed, so that it often stays TOML."""
    lines = content.splitlines()
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(lines)) if lines else 0
        key, equals, _value = lines[at].partition("=") if lines else ("", "", "")
        match chance.randrange(6):
            case 0:
                del lines[at : at + 1]
            case 1:
                lines[at:at] = lines[at : at + 1]
            case 2 if equals:
                lines[at] = f"{key}= {toml_value(chance)}"
            case 3 if equals:
                slip = key.strip() or "x"
                cut = chance.randrange(len(slip))
                lines[at] = f"{slip[:cut]}{slip[cut + 1 :]} = {_value}"
            case 4:
                lines.insert(
                    at, f"{chance.choice(('x', 'seed', 'name', 'a.b'))} = {toml_value(chance)}"
                )
            case _:
                other = chance.randrange(len(lines)) if lines else 0
                lines[at : at + 1], lines[other : other + 1] = (
                    lines[other : other + 1], lines[at : at + 1],
                )  # fmt: skip
    return "\n".join(lines) + "\n"


def toml_value(chance: Random) -> str:
    """Some value as TOML spells it; not always a valid one."""
    depth = chance.choice((3, 30, 400, DEEP))
    return chance.choice((
        json.dumps(text(chance), ensure_ascii=chance.random() < 0.5),
        str(chance.choice(NUMBERS)), str(chance.choice(REALS)), "9" * chance.choice((30, 5_000)),
        "0x" + "f" * 5_000, "true", "[]", "{}", "[[]]", "1979-05-27T07:32:00Z", "''", "nan", "inf",
        f"[{', '.join(json.dumps(policy(chance)) for _ in range(3))}]",
        "[" * depth + "]" * depth, "{ a = " * depth + "1" + " }" * depth,
    ))  # fmt: skip


def policy(chance: Random) -> str:
    """A freeze policy, or what somebody may take for one."""
    return chance.choice((
        "none", "anchors", "all_but_head", "prefix:*", "prefix:2", "suffix:*/3", "layer:l1",
        "random:2@0.5", "norms", "regex:l[12]", "regex:(l+)+$", "regex:(l|l)*x", "regex:[",
        "regex:(", "regex:a{99999999999}", "regex:(?P<n>l)(?P=n)", "regex:" + "(" * 2_000,
        "regex:.*.*.*.*.*x",
        "prefix:" + "9" * 5_000, "random:99999999@0.5", "random:3@1e999", "layer:", "prefix:-1",
        "list:net/l0,net/l1", "list:,", "anchors:extra:99", "prefix:*+suffix:*+layer:*",
        "+".join(["prefix:*"] * 12), "nroms", "", "+", text(chance), f"layer:{text(chance)}",
        f"regex:{text(chance)}", f"list:{text(chance)}",
    ))  # fmt: skip


def value(chance: Random, before: object) -> object:
    """Another value, mostly of the same type, and often one that could be."""
    if chance.random() < 0.2:
        return None
    if chance.random() < 0.1:
        return chance.choice((text(chance), chance.choice(NUMBERS), chance.choice(REALS), True))
    if chance.random() < 0.5:
        return likely(chance, before)
    match before:
        case bool():
            return not before
        case int():
            return chance.choice(NUMBERS)
        case float():
            return chance.choice(REALS)
        case list():
            return _list(chance, before)
        case dict() if before:
            key = chance.choice(list(before))
            return {**before, key: value(chance, before[key])}
        case str():
            return text(chance)
    return before


def _list(chance: Random, before: list[Any]) -> list[Any]:
    """Another list; of numbers or mappings, as often one with another element."""
    if before and isinstance(before[0], int | float | dict) and chance.random() < 0.6:
        at = chance.randrange(len(before))
        return [*before[:at], value(chance, before[at]), *before[at + 1 :]]
    return chance.choice(
        ([], [text(chance)], [None], before * 2, before * 50, before[:1], ["net/l0"] * 3, [0] * 100)
    )


def likely(chance: Random, before: object) -> object:
    """A value that a sweep might have there, were the other values others."""
    match before:
        case bool():
            return not before
        case int():
            return chance.choice((0, 1, 2, 3, before + 1, before * 1_000, chance.randrange(10**9)))
        case float():
            return chance.choice((0.0, 1.0, before / 2, before * 100, chance.random(), 1e-6, 1e6))
        case str():
            return chance.choice(LIKELY)
        case list():
            return chance.sample(LIKELY, chance.randrange(4))
    return before
