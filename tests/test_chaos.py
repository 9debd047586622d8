"""The short chaos test: one seed of `make chaos`, with trials that measure nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import disturbed_sweep, plan_of


@pytest.mark.cluster
def test_a_disturbed_sweep_has_every_trial_exactly_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a cluster that loses everything once THEN the tables are as if nothing had happened."""
    for name in ("FROSTLINE_CHAOS", "FROSTLINE_FAKE", "PYTHONPATH"):  # the scene sets them
        monkeypatch.setenv(name, "")
    outcome = disturbed_sweep(7, tmp_path, plan=plan_of(7), fake=True)
    assert outcome.wrong == (), outcome.line


def test_a_plan_depends_on_its_seed_alone() -> None:
    assert plan_of(3) == plan_of(3)
    assert plan_of(3) != plan_of(4)
