"""The grammar of freeze policies, without any model: text in, terms out, or a `PolicyError`.

    policy  = term { "+" term }                       what any of the terms freezes is frozen
    term    = "none" | "anchors" [ ":" anchor ] | "all_but_head" | "all_but_biases"
            | "all_but_norms" | "all_but_lora" | "norms" | "biases" | "kernels"
            | ( "prefix" | "suffix" | "layer" ) ":" count
            | "layer" ":" name | "random" ":" N "@" F [ "#" draw ]
            | "regex" ":" expression | "list" ":" name { "," name }
    count   = K | "*" | "*/" N

A regular expression may contain `+`: it ends only where a `+` is followed by a policy's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from frostline.errors import PolicyError
from frostline.policies.expressions import compiled
from frostline.suggest import advice

Granularity = Literal["layer", "block"]
Policy = str | Sequence[str]

WORDS: Final = (
    "none", "anchors", "all_but_head", "all_but_biases", "all_but_norms",
    "all_but_lora", "norms", "biases", "kernels",
)  # fmt: skip
FORMS: Final = {
    "prefix": "prefix:K, prefix:* or prefix:*/N",
    "suffix": "suffix:K, suffix:* or suffix:*/N",
    "layer": "layer:K, layer:NAME, layer:* or layer:*/N",
    "random": "random:N@F, N draws freezing about the fraction F of the parameters",
    "regex": "regex:EXPRESSION",
    "list": "list:NAME,NAME,...",
}
POLICY_NAMES: Final = (*WORDS, *FORMS)
_NEXT_TERM = re.compile(
    rf"\+(?=\s*(?:(?:{'|'.join(WORDS)})\s*(?:\+|$)|(?:anchors|{'|'.join(FORMS)}):))"
)
_MOST_DRAWS = 10_000
_MOST_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Word:
    """A policy without an argument."""

    name: str

    @property
    def family(self) -> str:
        """See `frostline.policies.family`."""
        return self.name


@dataclass(frozen=True, slots=True)
class AnchorTerm:
    """One anchor by its name."""

    family: ClassVar[str] = "anchors"
    name: str


@dataclass(frozen=True, slots=True)
class Count:
    """`K` (then `k` is set), or every K, or at most `at_most` of them."""

    kind: Literal["prefix", "suffix", "layer"]
    k: int | None = None
    at_most: int | None = None

    @property
    def family(self) -> str:
        """See `frostline.policies.family`."""
        return self.kind


@dataclass(frozen=True, slots=True)
class Named:
    """One layer by its name, or by the end of its name."""

    family: ClassVar[str] = "layer"
    name: str


@dataclass(frozen=True, slots=True)
class Random:
    """`draws` seeded draws, or one of them when `draw` is set; `fraction` in its shortest form."""

    family: ClassVar[str] = "random"
    draws: int
    fraction: str
    draw: int | None = None


@dataclass(frozen=True, slots=True)
class Regex:
    """Layers and variables in whose names the expression is found."""

    family: ClassVar[str] = "regex"
    expression: str


@dataclass(frozen=True, slots=True)
class Listed:
    """Layers and variables by name."""

    family: ClassVar[str] = "list"
    names: tuple[str, ...]


Term = Word | AnchorTerm | Count | Named | Random | Regex | Listed


def parse(policy: Policy) -> tuple[Term, ...]:
    """Return the terms of a policy; a list of names is read as `list:`.

    Raises:
        PolicyError: unknown name (with the nearest valid one), missing or wrong argument.
    """
    if not isinstance(policy, str):
        return (_listed(list(policy), f"{list(policy)}"),)
    rest = policy.strip()
    if not rest:
        raise PolicyError(f"An empty policy. {advice('', POLICY_NAMES)}")
    terms: list[Term] = []
    while True:
        first, rest_or_none = _cut(rest)
        terms.append(_term(first.strip(), policy))
        if rest_or_none is None:
            break
        rest = rest_or_none.strip()
    if len(terms) > 1 and Word("anchors") in terms:
        raise PolicyError(
            f"`{policy}`: `anchors` is a list of configurations and takes no `+`; "
            "write it as a policy of its own."
        )
    return tuple(terms)


def spelled(policy: Policy) -> str:
    """A policy as messages show it: text as it is, a list of names in brackets."""
    return policy if isinstance(policy, str) else f"[{', '.join(policy)}]"


def _cut(text: str) -> tuple[str, str | None]:
    """Split the first term off; None where nothing follows it."""
    if text.startswith("regex:"):
        found = _NEXT_TERM.search(text)
        return (text, None) if found is None else (text[: found.start()], text[found.end() :])
    first, plus, rest = text.partition("+")
    return first, rest if plus else None


def _term(text: str, policy: str) -> Term:
    name, colon, argument = text.partition(":")
    name, argument = name.strip(), argument.strip()
    where = f"`{text}`" if text == policy.strip() else f"`{text}` in `{policy}`"
    if name not in POLICY_NAMES:
        raise PolicyError(f"{where}: unknown policy `{name}`. {advice(name, POLICY_NAMES)}")
    if name in WORDS:
        if not colon:
            return Word(name)
        if name == "anchors":
            return _anchor(argument, where)
        raise PolicyError(f"{where}: `{name}` takes no argument; write `{name}`.")
    if not argument:
        raise PolicyError(f"{where}: an argument is missing; write {FORMS[name]}.")
    if name == "random":
        return _random(argument, where)
    if name == "regex":
        try:
            compiled(argument)
        except ValueError as error:
            raise PolicyError(f"{where}: not a regular expression: {error}.") from None
        return Regex(argument)
    if name == "list":
        return _listed([part.strip() for part in argument.split(",")], text)
    return _counted(name, argument, where)


def _counted(name: str, argument: str, where: str) -> Term:
    kind: Literal["prefix", "suffix", "layer"] = (
        "prefix" if name == "prefix" else "suffix" if name == "suffix" else "layer"
    )
    if argument == "*":
        return Count(kind)
    if match := re.fullmatch(r"\*\s*/\s*([0-9]+)", argument):
        at_most = _whole(match[1], where)
        if at_most < 1:
            raise PolicyError(f"{where}: N in `*/N` is at least 1.")
        return Count(kind, at_most=at_most)
    if re.fullmatch(r"[+-]?[0-9]+", argument):
        k = _whole(argument, where)
        if k < 1:
            raise PolicyError(f"{where}: K counts from 1; `none` freezes nothing.")
        return Count(kind, k=k)
    if kind == "layer" and "*" not in argument:
        return Named(argument)
    raise PolicyError(f"{where}: `{argument}` is not a count; write {FORMS[name]}.")


def _whole(digits: str, where: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise PolicyError(f"{where}: a number of {len(digits)} digits; no model is that large.")
    return int(digits)


def _random(argument: str, where: str) -> Random:
    match = re.fullmatch(r"([0-9]+)\s*@\s*([0-9.eE+-]+)(?:\s*#\s*([0-9]+))?", argument)
    if match is None:
        raise PolicyError(f"{where}: write {FORMS['random']}, such as `random:4@0.5`.")
    draws = _whole(match[1], where)
    try:
        fraction = float(match[2])
    except ValueError:
        raise PolicyError(f"{where}: `{match[2]}` is not a fraction such as 0.5.") from None
    if not 1 <= draws <= _MOST_DRAWS:
        raise PolicyError(f"{where}: N is between 1 and {_MOST_DRAWS}.")
    if not 0 < fraction < 1:
        raise PolicyError(f"{where}: F lies between 0 and 1, both excluded (0.5 is half).")
    draw = None if match[3] is None else _whole(match[3], where)
    if draw is not None and draw >= draws:
        raise PolicyError(f"{where}: draws count from 0, so the last one is #{draws - 1}.")
    return Random(draws, repr(fraction), draw)


def _anchor(argument: str, where: str) -> AnchorTerm:
    known = ("trainable", "pruned", "pass_through")
    if argument not in known and not re.fullmatch(r"extra:[1-9][0-9]*", argument):
        raise PolicyError(
            f"{where}: no such anchor. {advice(argument, (*known, 'extra:1'))} "
            "`anchors` alone means all of them."
        )
    return AnchorTerm(argument)


def _listed(names: list[str], where: str) -> Listed:
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise PolicyError(
            f"`{where}`: a list names at least one layer or variable, none of them empty; "
            "`none` freezes nothing."
        )
    for name in names:
        if "," in name or "+" in name:
            raise PolicyError(
                f"`{where}`: `{name}` holds a comma or a plus sign, which separate names and "
                "policies; choose the layer with `regex:` instead."
            )
    return Listed(tuple(name.strip() for name in names))
