"""One digest for everything that is identified by its content: trials, studies, facts of models.

In: plain values, as JSON has them. Out: a SHA-256 in hexadecimal. Equal values have equal digests
whatever the order of their keys, on every machine and in every version: digests are kept in OUT, as
parts of file names too. Pure.
"""

from __future__ import annotations

import hashlib
import json

DIGITS = 10
"""How many digits of a digest stand in a trial's id."""


def digest_of(value: object, *, spaced: bool = False) -> str:
    """The SHA-256 of a value's canonical JSON: sorted keys, nothing but ASCII.

    Args:
        value: mappings with string keys, lists, tuples, strings, numbers, booleans, None.
        spaced: with a space after each comma and colon. The digests of what models were inspected
            for, and of models that could not be built, have had this form from the beginning.

    Raises:
        TypeError: something in the value has no JSON form.
    """
    separators = (", ", ": ") if spaced else (",", ":")
    said = json.dumps(value, sort_keys=True, separators=separators, ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()
