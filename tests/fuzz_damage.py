"""Damage: what a hostile or unlucky hand does to an OUT, a study file or a command line.

In: a source of random numbers, and the thing. Out: the thing, damaged; the same seed does the same.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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
_DEEP = 3_000

Random = random.Random
Damage = Callable[[Random, Path], str]


def text(chance: Random) -> str:
    """A hostile text; the longest one seldom."""
    found = chance.choice(TEXTS)
    if len(found) > 100_000 and chance.random() < 0.9:
        return text(chance)
    return found if chance.random() < 0.8 else f"net{found}"


def damage_out(chance: Random, out: Path) -> list[str]:
    """Damage one to three places of an OUT; what was done, in words."""
    return [chance.choice(_DAMAGES)(chance, out) for _ in range(chance.choice((1, 1, 1, 2, 3)))]


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
    depth = chance.choice((3, 30, 400, _DEEP))
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


def _files(out: Path, below: str = "") -> list[Path]:
    return sorted(
        path for path in (out / below).rglob("*") if path.is_file() and not path.is_symlink()
    )


def _one(chance: Random, out: Path) -> Path:
    """A file, the few in JSON and TOML as often as the many in Parquet."""
    files = _files(out)
    few = [path for path in files if path.suffix != ".parquet"]
    return chance.choice(few if few and chance.random() < 0.4 else files or [out / "manifest.json"])


def _bytes(chance: Random, out: Path) -> str:
    path = _one(chance, out)
    if path.is_file():
        path.write_bytes(mutated_bytes(chance, path.read_bytes()))
    return f"bytes of {path.relative_to(out)}"


def _replaced(chance: Random, out: Path) -> str:
    """Something else in the place of a file."""
    path = _one(chance, out)
    path.unlink(missing_ok=True)
    kind = chance.choice(("nothing", "empty", "folder", "pipe", "link", "text", "zeros"))
    match kind:
        case "empty":
            path.touch()
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(out.parent / "outside" / "kept.txt")
        case "text":
            path.write_text(text(chance))
        case "zeros":
            path.write_bytes(bytes(5_000))
    return f"{path.relative_to(out)} became {kind}"


def _swapped(chance: Random, out: Path) -> str:
    one, other = _one(chance, out), _one(chance, out)
    if one.is_file() and other.is_file() and one != other:
        if chance.random() < 0.5:
            shutil.copyfile(one, other)
        else:
            kept = one.read_bytes()
            shutil.copyfile(other, one)
            other.write_bytes(kept)
    return f"{one.relative_to(out)} for {other.relative_to(out)}"


def _folder(chance: Random, out: Path) -> str:
    folders = sorted(path for path in out.rglob("*") if path.is_dir()) or [out / "tables"]
    path = chance.choice(folders)
    shutil.rmtree(path, ignore_errors=True)
    if chance.random() < 0.5:
        path.write_text("a file")
    return f"folder {path.relative_to(out)}"


def _cells(chance: Random, out: Path) -> str:
    """Cells, columns or rows of a table."""
    tables = _files(out, "tables")
    if not tables:
        return "no table"
    path = chance.choice(tables)
    try:
        rows = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError):
        return "an unreadable table"
    name = chance.choice(rows.column_names)
    done = f"{name} of {path.relative_to(out)}"
    at = rows.column_names.index(name)
    match chance.randrange(6):
        case 0:
            rows, done = rows.drop_columns([name]), f"no {done}"
        case 1:
            rows, done = pa.concat_tables([rows, rows]), f"twice {done}"
        case 2:
            rows, done = rows.slice(0, chance.randrange(len(rows) + 1)), f"fewer {done}"
        case _:
            values = rows[name].to_pylist()
            for place in range(len(values)) if chance.random() < 0.5 else (0,):
                if values:
                    values[place] = _value(chance, values[place])
            try:
                column = pa.array(values)
            except (pa.ArrowException, OverflowError, TypeError):
                column = pa.array([str(value)[:99] for value in values])
            rows = rows.set_column(at, name, column)
            done = f"{done} = {str(values[:1])[:60]!r}"
    pq.write_table(rows, path)
    return done


def _value(chance: Random, before: object) -> object:
    """Another value, mostly of the same type, and often one that could be."""
    if chance.random() < 0.2:
        return None
    if chance.random() < 0.1:
        return chance.choice((text(chance), chance.choice(NUMBERS), chance.choice(REALS), True))
    if chance.random() < 0.5:
        return _likely(chance, before)
    match before:
        case bool():
            return not before
        case int():
            return chance.choice(NUMBERS)
        case float():
            return chance.choice(REALS)
        case list():
            return chance.choice(
                ([], [text(chance)], [None], before * 2, before[:1], ["net/l0"] * 3)
            )
        case str():
            return text(chance)
    return before


def _likely(chance: Random, before: object) -> object:
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


def _renamed(chance: Random, out: Path) -> str:
    """A name, everywhere in OUT where it stands, becomes a hostile one."""
    old, new = chance.choice(("net/l2", "net", "prefix:2", "/cpu", "Dense", "graph", "adam")), ""
    while not new:
        new = text(chance)

    def named(value: object) -> object:
        if isinstance(value, list):
            return [named(each) for each in value]
        if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
            return new + value[len(old) :]
        return value

    for path in _files(out, "tables"):
        try:
            rows = pq.ParquetFile(path).read()
        except (pa.ArrowException, OSError):
            continue
        for at, field in enumerate(rows.schema):
            if pa.types.is_string(field.type) or pa.types.is_list(field.type):
                values = [named(value) for value in rows[at].to_pylist()]
                rows = rows.set_column(at, field, pa.array(values, field.type))
        pq.write_table(rows, path)
    for path in _files(out, "models"):
        content = path.read_text(errors="replace")
        quoted = json.dumps(new)[1:-1]
        path.write_text(
            content.replace(f'"{old}"', f'"{quoted}"').replace(f'"{old}/', f'"{quoted}/')
        )
    return f"{old} is called {new[:40]!r}"


def _json(chance: Random, out: Path) -> str:
    """A node of a JSON file."""
    files = [path for path in _files(out) if path.suffix == ".json"]
    if not files:
        return "no JSON"
    path = chance.choice(files)
    try:
        tree = json.loads(path.read_text())
    except (ValueError, RecursionError):
        return "unreadable JSON"
    if chance.random() < 0.05:
        path.write_text('{"a":' * _DEEP + "1" + "}" * _DEEP)
        return f"deep {path.name}"
    _change_node(chance, tree)
    path.write_text(json.dumps(tree))
    return f"a node of {path.relative_to(out)}"


def _change_node(chance: Random, tree: Any) -> None:
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.75:
            node = node[key]
            continue
        match chance.randrange(5):
            case 0:
                del node[key]
            case 1 if isinstance(node, list):
                node.insert(0, node[key])
            case 2:
                node[key] = chance.choice((None, [], {}, "", 0, -1, 10**30, 1e400, [[]], True))
            case _:
                node[key] = _value(chance, node[key])
        return


_DAMAGES: tuple[Damage, ...] = (
    _bytes, _replaced, _swapped, _folder, _cells, _cells, _cells, _cells, _renamed, _renamed, _json,
    _json,
)  # fmt: skip
