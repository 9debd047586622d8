"""Names of runs in TensorBoard, by policy first, and a folder in which they have these names.

In: rows of `trials` and `OUT/tensorboard`, whose folders are named by `trial_id`. Out: a folder of
links for the server to read. The lists of TIME SERIES and PROFILE are sorted by name, so a name
begins with what tells trials apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from frostline.store.trial_row import TrialRow
from frostline.words import policy_words

_POLICY = 60
_UNSAFE = re.compile(r"[^\w.,+@#=-]+")


def run_name(row: TrialRow) -> str:
    """What a trial is called in TensorBoard: `prefix-8 · convnet-8of13-5901d50b1b`."""
    policy = _UNSAFE.sub("-", policy_words(row)).strip("-")[:_POLICY]
    return f"{policy} · {row.trial_id}"


def link_runs(log_dir: Path, place: Path, rows: Iterable[TrialRow]) -> None:
    """Add what is missing in a folder of links: each trial's files, and the sweep's own.

    Folders are real and files are links, since TensorBoard looks for profiles without following
    links to folders, and keeps what it derives from a profile beside it.
    """
    for row in rows:
        run = place / run_name(row)
        if not run.exists():  # a committed trial gets no more files
            _link_files(log_dir / row.trial_id, run)
    for path in log_dir.iterdir():
        if path.is_file():
            _link(path, place / path.name)


def _link_files(folder: Path, place: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _link(path, place / path.relative_to(folder))


def _link(path: Path, link: Path) -> None:
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.absolute())
