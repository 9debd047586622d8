"""What every command prints with `--json`: one document each, with its name and version.

In: the name of a command and its content. Out: JSON on standard output, and nothing else there.
docs/json.md describes each document. A version changes when a key goes or changes its meaning; new
keys may appear in any release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from frostline.cli.console import print_json

VERSIONS = {
    "compare": 1, "demo": 1, "diff": 1, "doctor": 1, "explain": 1, "export": 1, "layers": 1,
    "plan": 1, "predict": 1, "reattribute": 1, "recommend": 1, "report": 1, "status": 1, "stop": 1,
    "submit": 1, "sweep": 1, "tensorboard": 1,
}  # fmt: skip
"""The version of each command's document; `json_version` in the document itself."""

AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document; see docs/json.md in the repository."),
]


def print_document(command: str, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Print a command's document: an object, or a list of objects, each marked with its version.

    Times are in the unit that a key ends with; what is not known is null.
    """
    mark = {"json_version": VERSIONS[command]}
    marked = {**body, **mark} if isinstance(body, Mapping) else [{**one, **mark} for one in body]
    print_json(json.dumps(marked, indent=1, ensure_ascii=False, default=str))
