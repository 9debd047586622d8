"""Where the rows of a trial lie: a folder for each table, in it a file for each trial. Pure.

In: a table and a `trial_id`. Out: names relative to OUT, and back from the name of a file.
"""

from __future__ import annotations

from collections.abc import Iterable

_SUFFIX = ".parquet"


def table_folder(table: str) -> str:
    """Where the files of a table lie, relative to OUT."""
    return f"tables/{table}"


def table_file(table: str, trial_id: str) -> str:
    """The file with a trial's rows of a table, relative to OUT."""
    return f"{table_folder(table)}/{file_name(trial_id)}"


def file_name(trial_id: str) -> str:
    """What a trial's file is called in the folder of any table."""
    return f"{trial_id}{_SUFFIX}"


def trial_of(path: str) -> str:
    """The `trial_id` that a file is named after."""
    return path.rpartition("/")[2].removesuffix(_SUFFIX)


def trials_among(names: Iterable[str]) -> list[str]:
    """The trials that have a file among the files of a folder; hidden files are nobody's."""
    return [trial_of(name) for name in names if name.endswith(_SUFFIX) and not name.startswith(".")]
