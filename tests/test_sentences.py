"""Every sentence of an answer and of an explanation holds in the tables, over drawn sweeps.

`make sentences` holds ten thousand sweeps against their tables; here are some of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sentences import faults

from frostline.analyse import groups

SEEDS = range(36)


@pytest.mark.parametrize("seeds", [SEEDS[:18], SEEDS[18:]], ids=["first", "second"])
def test_no_sentence_is_wrong(seeds: range, tmp_path: Path) -> None:
    assert [fault for seed in seeds for fault in faults(seed, tmp_path / str(seed))] == []


def test_a_wrong_sentence_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "UNUSABLE", 9.0)  # too noisy to read, and nobody says so
    found = [fault for seed in range(12) for fault in faults(seed, tmp_path / str(seed))]
    assert any("too noisy to read, and that is not said first" in fault for fault in found)
