"""Small models of every usual style under settings that meet in pairs, each in a short sweep."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_executor import LocalExecutor
from matrix import STYLES, Cell, Setting, cells, covering, pairs, study

from frostline.store.sweep import open_sweep
from frostline.sweep.run import run_sweep

# Minutes alone; its sweeps also wait for cores that those of other tests hold.
pytestmark = [pytest.mark.tf, pytest.mark.timeout(3000)]
AXES = ("precision", "jit", "strategy")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    """Every cell of the short matrix."""
    done: list[Cell] = []
    for at, (setting, families) in enumerate(pairs()):
        out = str(tmp_path_factory.mktemp("matrix") / str(at))
        short = study(families, [setting], target_ci=0.5, max_pairs=10)
        run_sweep(short, out, make_executor=LocalExecutor)
        done += cells(open_sweep(Path(out)))
    return done


def _pairs_of(settings: list[Setting]) -> set[tuple[str, str]]:
    met = set()
    for setting in settings:
        values = [f"{axis} {getattr(setting, axis)}" for axis in AXES]
        met |= {(a, b) for a in values for b in values if a < b}
    return met


def test_every_two_values_of_the_settings_meet() -> None:
    assert len(_pairs_of([setting for setting, _ in pairs()])) == 3 * 2 + 3 * 2 + 2 * 2


@pytest.mark.parametrize("index", range(4))
def test_each_real_family_meets_every_value(index: int) -> None:
    for axis, values in zip(AXES, (3, 2, 2), strict=True):
        assert len({getattr(each, axis) for each in covering(index)}) == values


def test_no_cell_fails(found: list[Cell]) -> None:
    assert {cell.model for cell in found} == set(STYLES)
    assert all(cell.trials >= 6 for cell in found)
    assert [cell for cell in found if cell.problems] == []


def test_every_cell_is_predicted(found: list[Cell]) -> None:
    assert [cell.model for cell in found if not cell.held_out] == []
