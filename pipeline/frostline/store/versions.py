"""Refuses tables that a newer version of the program wrote.

In: the files of a table. Out: nothing, or `SweepError`. The manifest names the newest version that
wrote to an OUT and is checked first; this check finds tables that were copied into OUT. It reads
the ends of about a hundred files at most, evenly spread, so that 10,000 files take no longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from frostline.errors import SweepError
from frostline.store.arrow import VERSION_KEY
from frostline.store.files import Files
from frostline.store.schema import SCHEMA_VERSION
from frostline.store.table_files import table_folder
from frostline.version import __version__

_LOOKED_AT = 64
_READERS = 16


def refuse_newer(files: Files, table: str, paths: Sequence[str]) -> None:
    """Check the schema versions that a table's files name.

    Args:
        files: OUT.
        table: the table's name, for the message.
        paths: of its files, as the file system knows them.

    Raises:
        SweepError: a file names a version that this program does not know.
    """
    looked_at = paths[:: max(1, len(paths) // _LOOKED_AT)]
    with ThreadPoolExecutor(_READERS) as pool:
        versions = list(pool.map(lambda path: _version(files, path), looked_at))
    newest = max(versions, default=0)
    if newest > SCHEMA_VERSION:
        name = looked_at[versions.index(newest)].rpartition("/")[2]
        raise SweepError(
            f"{files.shown}/{table_folder(table)}/{name} has schema version {newest}, and this is "
            f"Frostline {__version__}, which knows versions up to {SCHEMA_VERSION}: "
            "upgrade frostline"
        )


def _version(files: Files, path: str) -> int:
    """The version that a file names; 0 where it names none or is damaged (reading reports that)."""
    try:
        with files.filesystem.open_input_file(path) as source:
            said = (pq.read_metadata(source).metadata or {}).get(VERSION_KEY, b"")
    except (OSError, pa.ArrowException):
        return 0
    return int(said) if said.isdigit() else 0
