"""Words for the mistakes of a study file: where, what was given, what would be valid.

In: errors of pydantic. Out: mistakes worded for the file's author, with the nearest valid key or
value. Pure.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from frostline.study.tables import StudyFile
from frostline.study.toml_lines import Key
from frostline.suggest import advice, nearest

_HINTS: Final[dict[Key, str]] = {
    ("name",): 'give the study a name: name = "my-study"',
    ("model",): "a study needs at least one [[model]] with a name and a builder",
    ("freeze",): 'say what to freeze: [freeze] policies = ["prefix:*"]',
    ("freeze", "policies"): 'say what to freeze, such as policies = ["prefix:*", "norms"]',
}

_PHRASES: Final = (
    ("Input should be", "must be"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
    ("String should have", "must have"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake of a study file.

    Attributes:
        key: keys and list positions down to the value.
        given: the value; None where there is none, because the key is missing.
        text: what is wrong and what would be valid, as a sentence.
    """

    key: Key
    given: object
    text: str


def worded_all(found: Sequence[ErrorDetails]) -> list[Mistake]:
    """Return the mistakes that pydantic found, each once.

    A key that is misspelled is not missing as well, and a list of which every value is wrong, which
    pydantic leaves out, is not empty as well.
    """
    meant = {_meant(tuple(each["loc"])) for each in found if each["type"] == "extra_forbidden"}
    wrong = {tuple(each["loc"][:end]) for each in found for end in range(len(each["loc"]))}
    return [
        worded(each)
        for each in found
        if not (each["type"] == "missing" and tuple(each["loc"]) in meant)
        and not (each["type"] == "too_short" and tuple(each["loc"]) in wrong)
    ]


def worded(details: ErrorDetails) -> Mistake:
    """Return an error of pydantic, in the words of a study file."""
    key: Key = tuple(details["loc"])
    given: object = details["input"]
    context: dict[str, Any] = details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return Mistake(key=key, given=given, text=f"unknown key. {_key_advice(key)}")
        case "missing":
            hint = _HINTS.get(key) or f"`{key[-1]}` is missing; it has no default"
            return Mistake(key=key, given=None, text=f"missing; {hint}.")
        case "too_short":
            hint = _HINTS.get(key, "list at least one value, or leave the key out")
            return Mistake(key=key, given=given, text=f"is empty; {hint}.")
        case "literal_error":
            valid = _literals(key)
            text = advice(str(given), valid) if valid else f"Valid: {context.get('expected')}."
            return Mistake(key=key, given=given, text=f"not a valid value. {text}")
        case "value_error":
            return Mistake(key=key, given=given, text=_sentence(str(context["error"])))
        case "tuple_type":
            return Mistake(key=key, given=given, text=f"must be a list, such as [{shown(given)}].")
        case "int_type" | "int_from_float":
            return Mistake(key=key, given=given, text="must be a whole number.")
        case "float_type":
            return Mistake(key=key, given=given, text="must be a number.")
        case "string_type":
            return Mistake(key=key, given=given, text="must be text in quotes.")
        case "bool_type":
            return Mistake(key=key, given=given, text="must be true or false, without quotes.")
        case "model_type" | "dict_type" | "model_attributes_type":
            table = (
                f"[[{key[0]}]]" if key[:1] == ("model",) and len(key) < 3 else f"[{dotted(key)}]"
            )
            return Mistake(key=key, given=given, text=f"must be a table; write {table}.")
        case "string_too_short":
            return Mistake(key=key, given=given, text="is empty.")
        case _:
            message = details["msg"]
            for pydantic_says, we_say in _PHRASES:
                message = message.replace(pydantic_says, we_say)
            return Mistake(key=key, given=given, text=_sentence(message))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _table_at(key: Key) -> type[BaseModel] | None:
    """The pydantic model that holds the last part of a key."""
    table: type[BaseModel] = StudyFile
    for part in key[:-1]:
        if isinstance(part, int):
            continue
        field = table.model_fields.get(part)
        inner = None if field is None else next(_models(field.annotation), None)
        if inner is None:
            return None
        table = inner
    return table


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    # In Python 3.11 and 3.12 `issubclass` refuses generic aliases such as `tuple[int, ...]`.
    plain = isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias)
    if plain and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _meant(key: Key) -> Key:
    """The key that an unknown one was probably meant to be."""
    table = _table_at(key)
    close = nearest(str(key[-1]), table.model_fields) if table else None
    return (*key[:-1], close or key[-1])


def _key_advice(key: Key) -> str:
    table = _table_at(key)
    given = str(key[-1])
    valid = list(table.model_fields) if table else []
    if nearest(given, valid) is None:
        # A valid key in the wrong table is the commonest mistake after a misspelling.
        for name, field in StudyFile.model_fields.items():
            inner = next(_models(field.annotation), None)
            if inner is not None and given in inner.model_fields:
                where = "[[model]]" if name == "model" else f"[{name}]"
                return f"It belongs under {where}."
    return advice(given, valid)


def _literals(key: Key) -> list[str]:
    names = [part for part in key if isinstance(part, str)]
    table = _table_at((*names[:-1], names[-1])) if names else None
    field = table.model_fields.get(names[-1]) if table else None
    return [] if field is None else list(_leaves(field.annotation))


def _leaves(annotation: Any) -> Iterator[str]:
    for argument in get_args(annotation):
        if isinstance(argument, str):
            yield argument
        else:
            yield from _leaves(argument)


def dotted(key: Key) -> str:
    """Return a key as it is read: `model[0].kwargs`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def shown(value: object) -> str:
    """Return a value as TOML spells it, cut at 80 characters."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            text = f'"{value}"'
        case list() | tuple():
            text = f"[{', '.join(shown(item) for item in value)}]"
        case dict():
            text = "{ " + ", ".join(f"{key} = {shown(item)}" for key, item in value.items()) + " }"
        case _:
            text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
