"""Checks a study file: every table, and mistakes that concern several keys at once.

In: the text. Out: the validated tables, or one `StudyError` with every mistake of the file. Each
has its key, its line where it can be found, and the nearest valid key or value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from frostline.errors import StudyError
from frostline.optimizers import taken_apart
from frostline.study.builders import problem
from frostline.study.former_names import current
from frostline.study.keras_names import Kind, keras_names, optimizer_arguments
from frostline.study.parse import parsed
from frostline.study.tables import MeasureTable, StudyFile, TrainTable
from frostline.study.toml_lines import Key, line_of
from frostline.study.wording import Mistake, dotted, shown, worded_all
from frostline.suggest import advice


def checked(
    text: str, *, path: Path | None, check_builders: bool, former_names: bool = False
) -> StudyFile:
    """Return the validated tables of a study.

    Args:
        text: TOML.
        path: where it comes from, for messages and as the builders' folder.
        check_builders: whether builders and data callables must be found on this machine.
        former_names: `pipeline.models:` means the ready-made models.

    Raises:
        StudyError: the text is not TOML, or has mistakes, all of them named.
    """
    source = str(path) if path is not None else "the study"
    text = text.removeprefix("\ufeff")  # the byte order mark of some editors
    raw = parsed(text, source)
    if former_names:
        _rename(raw)
    mistakes: list[Mistake] = []
    file: StudyFile | None = None
    try:
        file = StudyFile.model_validate(raw)
    except ValidationError as error:
        mistakes += worded_all(error.errors())
    known_wrong = {mistake.key for mistake in mistakes}
    mistakes += [
        mistake
        for mistake in _across(raw, None if path is None else path.resolve().parent, check_builders)
        if mistake.key not in known_wrong
    ]
    if file is None or mistakes:
        raise StudyError(_report(source, text, mistakes))
    return file


def _rename(raw: Mapping[str, Any]) -> None:
    """Give the ready-made models their present names; tolerates a file that is wrong."""
    for model in _list(raw.get("model")):
        if isinstance(model, dict) and isinstance(model.get("builder"), str):
            model["builder"] = current(model["builder"])


def _report(source: str, text: str, mistakes: Sequence[Mistake]) -> str:
    located = [(line_of(one.key, one.given, text), one) for one in mistakes]
    located.sort(key=lambda pair: pair[0] or 0)
    count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "1 mistake"
    lines = [f"{source}: {count}"]
    for line, mistake in located:
        where = f"line {line}: " if line else ""
        given = "" if mistake.given is None else f" = {shown(mistake.given)}"
        lines.append(f"  {where}{dotted(mistake.key)}{given}: {mistake.text}")
    return "\n".join(lines)


def _across(raw: Mapping[str, Any], folder: Path | None, builders: bool) -> Iterator[Mistake]:
    """Mistakes that no single key shows; tolerates a file that is wrong in other ways too."""
    measure = raw.get("measure")
    if isinstance(measure, dict):
        low, high = (
            measure.get(key, MeasureTable.model_fields[key].default)
            for key in ("min_pairs", "max_pairs")
        )
        if isinstance(low, int) and isinstance(high, int) and low > high:
            key = ("measure", "min_pairs" if "min_pairs" in measure else "max_pairs")
            text = f"min_pairs ({low}) must not exceed max_pairs ({high})."
            yield Mistake(key=key, given=measure[key[1]], text=text)
    train = raw.get("train")
    if isinstance(train, dict):
        for axis in train.keys() & TrainTable.model_fields.keys():
            yield from _repeated(axis, _list(train[axis]))
        for position, name in enumerate(_list(train.get("optimizer"))):
            yield from _optimizer(("train", "optimizer", position), name)
    seen: dict[str, int] = {}
    for position, model in enumerate(_list(raw.get("model"))):
        if not isinstance(model, dict):
            continue
        name = model.get("name")
        if isinstance(name, str):
            if name in seen:
                text = f"model {seen[name] + 1} has this name already; each model needs its own."
                yield Mistake(key=("model", position, "name"), given=name, text=text)
            seen.setdefault(name, position)
        yield from _variants(position, _list(model.get("variant")))
        if "loss" in model:
            yield from _keras("losses", ("model", position, "loss"), model["loss"])
        for number, metric in enumerate(_list(model.get("metrics"))):
            yield from _keras("metrics", ("model", position, "metrics", number), metric)
        if builders:
            yield from _callables(model, position, [] if folder is None else [folder])


def _variants(position: int, variants: Sequence[Any]) -> Iterator[Mistake]:
    """Variants of one model that share a name."""
    seen: set[str] = set()
    for number, variant in enumerate(variants):
        name = variant.get("name") if isinstance(variant, dict) else None
        if isinstance(name, str) and name in seen:
            text = "another variant of this model has this name already; each needs its own."
            yield Mistake(key=("model", position, "variant", number, "name"), given=name, text=text)
        seen |= {name} if isinstance(name, str) else set()


def _optimizer(key: Key, given: object) -> Iterator[Mistake]:
    """Mistakes in an optimizer's name or in the names of its arguments."""
    arguments: Mapping[str, object] = {}
    name = given
    if isinstance(given, dict):
        name = given.get("name")
        arguments = {each: value for each, value in given.items() if each != "name"}
    elif isinstance(given, str):
        with suppress(ValueError):
            name, arguments = taken_apart(given)
    yield from _keras("optimizers", key, name)
    known = optimizer_arguments(name) if isinstance(name, str) else ()
    for argument, value in arguments.items():
        if known and argument not in known:
            text = f"`{name}` takes no such argument. {advice(argument, known)}"
            yield Mistake(key=(*key, argument), given=value, text=text)


def _repeated(axis: str, values: list[Any]) -> Iterator[Mistake]:
    for position, value in enumerate(values):
        # In Python `1 == True`; in TOML they differ.
        if any(value == other and type(value) is type(other) for other in values[:position]):
            text = "is listed twice; each value of an axis once."
            yield Mistake(key=("train", axis, position), given=value, text=text)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _keras(kind: Kind, key: Key, name: object) -> Iterator[Mistake]:
    """Refuse names that the installed Keras does not resolve; `package>name` is always accepted."""
    known = keras_names(kind)
    if not isinstance(name, str) or not known or ">" in name:
        return
    if name not in known and not (kind == "optimizers" and name.lower() in known):
        text = f"not among the {kind} that Keras knows. {advice(name, known)}"
        yield Mistake(key=key, given=name, text=text)


def _callables(
    model: Mapping[str, Any], position: int, folders: Sequence[Path]
) -> Iterator[Mistake]:
    kwargs = model.get("kwargs", {})
    for key, arguments in (
        ("builder", kwargs if isinstance(kwargs, dict) else None),
        ("data", None),
    ):
        reference = model.get(key)
        if isinstance(reference, str):
            wrong = problem(reference, folders, arguments)
            if wrong is not None:
                yield Mistake(key=("model", position, key), given=reference, text=wrong)
