"""Damage: what a hostile or unlucky hand does to an OUT.

In: a source of random numbers, and the thing. Out: the thing, damaged; the same seed does the same.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz_words import DEEP, Random, mutated_bytes, text, value

Damage = Callable[[Random, Path], str]


def damage_out(chance: Random, out: Path) -> list[str]:
    """Damage one to three places of an OUT; what was done, in words."""
    return [chance.choice(_DAMAGES)(chance, out) for _ in range(chance.choice((1, 1, 1, 2, 3)))]


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
                    values[place] = value(chance, values[place])
            try:
                column = pa.array(values)
            except (pa.ArrowException, OverflowError, TypeError):
                column = pa.array([str(value)[:99] for value in values])
            rows = rows.set_column(at, name, column)
            done = f"{done} = {str(values[:1])[:60]!r}"
    pq.write_table(rows, path)
    return done


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
        path.write_text('{"a":' * DEEP + "1" + "}" * DEEP)
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
                node[key] = value(chance, node[key])
        return


_DAMAGES: tuple[Damage, ...] = (
    _bytes, _replaced, _swapped, _folder, _cells, _cells, _cells, _cells, _renamed, _renamed, _json,
    _json,
)  # fmt: skip
