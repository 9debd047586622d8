"""From a study file to what TOML says in it, before anything is known of its keys.

In: a path, or the text. Out: the text, or tables of a depth and with numbers that the rest can work
with. Refuses (`StudyError`) what cannot be read, is no text, or no TOML.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from frostline.errors import StudyError
from frostline.study.toml_lines import Key, line_of
from frostline.study.wording import dotted
from frostline.suggest import nearest

_MOST_BYTES = 4 << 20
_MOST_DEPTH = 20
_DEPTH_ADVICE = f"a study has at most {_MOST_DEPTH} tables and lists in each other."
_WHOLE_ADVICE = "a whole number beyond TOML's range of 64 bits."
_DIGITS = re.compile(r"[0-9_]{1000}")


def read_text(path: Path) -> str:
    """Return the file's text.

    Raises:
        StudyError: there is no such file (with the nearest one in its folder), or it is not text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise StudyError(f"{path}: larger than {_MOST_BYTES >> 20} MiB; is it a study file?")
        return content.decode("utf-8")
    except FileNotFoundError:
        beside = (
            [str(other) for other in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        )
        close = nearest(str(path), beside)
        hint = f"Did you mean {close}?" if close else "Give the path of a TOML file."
        raise StudyError(f"{path}: no such file. {hint}") from None
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path}: not UTF-8 text (byte {error.start}); is it a TOML file?"
        ) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StudyError(f"{path}: cannot be read: {why}.") from None


def parsed(text: str, source: str) -> dict[str, Any]:
    """The tables as TOML gives them, of a depth and with numbers that can be worked with.

    Raises:
        StudyError: it is not TOML, is nested too deeply, or has a number beyond TOML's range.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{source}: not TOML: {error}.") from None
    except RecursionError:
        raise StudyError(f"{source}: nested too deeply; {_DEPTH_ADVICE}") from None
    except ValueError:  # more digits than Python turns into a number
        line = next(at for at, each in enumerate(text.splitlines(), 1) if _DIGITS.search(each))
        raise StudyError(f"{source}: line {line}: {_WHOLE_ADVICE}") from None
    waiting: list[tuple[Key, object]] = [((), raw)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            what = f"{dotted(key)}: {_WHOLE_ADVICE}"
        elif isinstance(value, dict | list) and len(key) >= _MOST_DEPTH:
            what = f"{dotted(key[:2])}: nested too deeply; {_DEPTH_ADVICE}"
        else:
            if isinstance(value, dict):
                waiting += [((*key, name), each) for name, each in value.items()]
            elif isinstance(value, list):
                waiting += [((*key, at), each) for at, each in enumerate(value)]
            continue
        found = line_of(key, None, text)
        raise StudyError(f"{source}: {f'line {found}: ' if found else ''}{what}")
    return raw
