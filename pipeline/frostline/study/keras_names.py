"""The names that the installed Keras knows, read from its source without importing it.

In: nothing. Out: names of applications, optimizers, losses or metrics. They are empty where Keras
is not installed or has another layout; then no name is refused.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

Kind = Literal["applications", "optimizers", "losses", "metrics"]

_REGISTRIES = ("ALL_OBJECTS", "ALL_OBJECTS_DICT")
_ALSO_IN_COMPILE = ("accuracy", "acc", "crossentropy", "ce")


@cache
def keras_names(kind: Kind) -> tuple[str, ...]:
    """Return the names Keras resolves for this kind, in the source's order.

    Args:
        kind: `applications` gives the model functions; the others what `keras.<kind>.get` takes.
    """
    root = _keras_folder()
    if root is None:
        return ()
    file = root / "applications" if kind == "applications" else root / "src" / kind
    try:
        tree = ast.parse((file / "__init__.py").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    if kind == "applications":
        found = list(_imported(tree, "keras.src.applications"))
    else:
        found = list(_registered(tree))
        if found and kind == "optimizers":
            found = [name.lower() for name in found]
        elif found:
            found += [_snake_case(name) for name in found]
            found += _ALSO_IN_COMPILE if kind == "metrics" else ()
    return tuple(dict.fromkeys(found))


@cache
def optimizer_arguments(name: str) -> tuple[str, ...]:
    """Return the arguments of one of Keras's optimizers, from its source; empty where unknown."""
    root = _keras_folder()
    if root is None:
        return ()
    folder = root / "src" / "optimizers"
    files = {path.stem.replace("_", ""): path for path in folder.glob("*.py")}
    found: list[str] = []
    for kind in (name.lower(), "baseoptimizer"):
        arguments = _init_arguments(files[kind], kind) if kind in files else None
        if arguments is None:
            return ()
        found += arguments
    return tuple(dict.fromkeys(found))


def _init_arguments(file: Path, kind: str) -> list[str] | None:
    """Arguments of a class's `__init__`; `kind` is its name in lower case."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.lower() == kind:
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                    given = (*inner.args.args[1:], *inner.args.kwonlyargs)
                    return [argument.arg for argument in given]
    return None


def _keras_folder() -> Path | None:
    try:
        spec = importlib.util.find_spec("keras")  # a name without a dot: imports nothing
    except ValueError:
        return None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            yield from (alias.asname or alias.name for alias in node.names)


def _registered(tree: ast.Module) -> Iterator[str]:
    """Members of the set `ALL_OBJECTS` and keys of the dicts that `ALL_OBJECTS_DICT` takes."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Set(elts=members)) if (
                name in _REGISTRIES
            ):
                yield from (member.id for member in members if isinstance(member, ast.Name))
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="update"),
                    args=[ast.Dict(keys=keys)],
                )
            ) if name in _REGISTRIES:
                yield from (
                    key.value
                    for key in keys
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                )


def _snake_case(name: str) -> str:
    """As `keras.src.utils.naming.to_snake_case`, which makes the names that `get` takes."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
