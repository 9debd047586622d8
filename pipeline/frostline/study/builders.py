"""Checks that `module:callable` exists, without importing it.

In: a reference and the folders searched first. Out: what is wrong with it, in words, or None. Reads
source files only. It runs neither TensorFlow nor modules of the user, because studies are also
checked on machines and in processes where these should not run.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from frostline.study.former_names import advice as advice_on_former
from frostline.study.former_names import current
from frostline.study.keras_names import keras_names
from frostline.suggest import advice, nearest

_REFERENCE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
_APPLICATIONS = "keras.applications"


def problem(
    reference: str, search_path: Sequence[Path] = (), kwargs: Mapping[str, object] | None = None
) -> str | None:
    """Return what is wrong with a reference, with the nearest valid name; None where it is right.

    Args:
        reference: `module:callable`.
        search_path: folders searched before Python's own.
        kwargs: keyword arguments it will be called with; checked where its signature is plain.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        return "write `module:callable`, such as `frostline.models:mlp_sequential`."
    module, name = match.groups()
    if module == _APPLICATIONS:
        names = keras_names("applications")
        if names and name not in names:
            return f"`{module}` has no model `{name}`. {advice(name, names)}"
        return None
    found = _find(module, search_path)
    if isinstance(found, str):
        return found if current(reference) == reference else advice_on_former(reference)
    if found.origin is None or not found.origin.endswith(".py"):
        return None  # compiled or a bare folder: only importing would tell
    try:
        source = _Source.read(Path(found.origin))
    except SyntaxError as error:
        return f"{found.origin}, line {error.lineno}: {error.msg}."
    except (OSError, ValueError) as error:
        return f"{found.origin} cannot be read: {error}."
    if name not in source.names:
        below = found.submodule_search_locations
        if source.is_open or (below and PathFinder.find_spec(f"{module}.{name}", below)):
            return None
        return f"`{module}` ({found.origin}) has no `{name}`. {advice(name, source.public)}"
    return _wrong_arguments(name, source, kwargs)


def _find(module: str, search_path: Sequence[Path]) -> ModuleSpec | str:
    """Find a module as the import system does, without importing the packages above it."""
    importlib.invalidate_caches()
    parts = module.split(".")
    spec: ModuleSpec | None = PathFinder.find_spec(parts[0], [str(path) for path in search_path])
    if spec is None or (spec.origin is None and len(parts) == 1):
        try:
            # For a name without a dot this asks the finders and imports nothing.
            spec = importlib.util.find_spec(parts[0]) or spec
        except ValueError:  # a module without a spec, such as `__main__`
            spec = None
    if spec is None:
        return f"there is no module `{parts[0]}`{_nearest_module(parts[0], search_path)}"
    for depth in range(1, len(parts)):
        below = spec.submodule_search_locations
        name = ".".join(parts[: depth + 1])
        lower = None if below is None else PathFinder.find_spec(name, list(below))
        if lower is None:
            inside = _modules_in([Path(folder) for folder in below or ()])
            return f"`{spec.name}` has no module `{parts[depth]}`. {advice(parts[depth], inside)}"
        spec = lower
    return spec


def _nearest_module(name: str, search_path: Sequence[Path]) -> str:
    searched = ", ".join(str(path) for path in search_path)
    where = f" in {searched} or among the installed ones" if searched else ""
    close = nearest(name, [*_modules_in(search_path), "frostline", _APPLICATIONS])
    return f"{where}. {f'Did you mean `{close}`?' if close else 'Install it, or correct the name.'}"


def _modules_in(folders: Iterable[Path]) -> list[str]:
    found: set[str] = set()
    for folder in folders:
        if folder.is_dir():
            found |= {path.stem for path in folder.glob("*.py")} - {"__init__"}
            found |= {path.parent.name for path in folder.glob("*/__init__.py")}
    return sorted(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The names a module's source binds at its top level.

    Attributes:
        names: every such name; functions with their definition, others with None.
        is_open: True where more names may appear when it runs (`import *`, `__getattr__`).
    """

    names: dict[str, ast.FunctionDef | None]
    is_open: bool

    @property
    def public(self) -> list[str]:
        own = [name for name, node in self.names.items() if node and not name.startswith("_")]
        return own or [name for name in self.names if not name.startswith("_")]

    @staticmethod
    def read(path: Path) -> _Source:
        names: dict[str, ast.FunctionDef | None] = {}
        for node in _statements(ast.parse(path.read_bytes(), filename=str(path)).body):
            names.update(_bound(node))
        return _Source(names=names, is_open="*" in names or "__getattr__" in names)


_BLOCKS = ast.If | ast.Try | ast.TryStar | ast.With | ast.For | ast.While | ast.Match


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run at import, those inside of blocks (`if`, `try`, `match`) included."""
    for node in body:
        yield node
        if not isinstance(node, _BLOCKS):
            continue
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            for inner in getattr(node, part, ()):
                parted = isinstance(inner, ast.ExceptHandler | ast.match_case)
                yield from _statements(inner.body if parted else [inner])


def _bound(node: ast.stmt) -> dict[str, ast.FunctionDef | None]:
    match node:
        case ast.FunctionDef():
            return {node.name: node}
        case ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name: None}
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).split(".")[0]: None for alias in node.names}
        case ast.Assign():
            targets: list[ast.expr] = node.targets
        case ast.AnnAssign() | ast.AugAssign():
            targets = [node.target]
        case _:
            return {}
    return {
        name.id: None
        for target in targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }


def _wrong_arguments(name: str, source: _Source, kwargs: Mapping[str, object] | None) -> str | None:
    function = source.names[name]
    if kwargs is None or function is None or function.decorator_list:
        return None
    arguments = function.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    keywords = [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)]
    required = positional[: len(positional) - len(arguments.defaults)] + [
        argument.arg
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    if arguments.kwarg is None:
        for key in kwargs:
            if key not in keywords:
                return f"`{name}` takes no argument `{key}`. {advice(key, keywords)}"
    missing = [key for key in required if key not in kwargs]
    if missing:
        return f"`{name}` needs the argument `{missing[0]}`; add it to `kwargs`."
    return None
