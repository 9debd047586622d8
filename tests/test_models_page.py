"""The page on models that were tried says what was recorded, and what is off is measured again."""

from __future__ import annotations

import json
from dataclasses import replace

import matrix_record
import models_page
import pytest
from matrix import SETTINGS, Cell, Setting

from frostline.costmodel.held_out import HeldOut

PLAIN = {
    "model": "net", "builder": "families:net", "setting": "float32, jit false, single",
    "trials": 7, "problems": [], "attributed": 0.99, "control_off": 0.0, "noise_floor": 0.03,
    "held_out": 1, "mean_error": 0.01, "largest_error": 0.01, "machine": "2 cores",
    "version": "0.2.0", "date": "2026-01-02",
}  # fmt: skip


def test_the_page_is_up_to_date() -> None:
    assert models_page.PAGE.read_text(encoding="utf-8") == models_page.page(), (
        "run: python docs/models_page.py"
    )


def test_no_recorded_cell_failed() -> None:
    cells = json.loads(models_page.RECORD.read_text(encoding="utf-8"))["cells"]
    assert {(cell["model"], cell["setting"]) for cell in cells if cell["problems"]} == set()


def test_errors_weigh_each_configuration_alike(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And cells whose noise hides the error are told apart."""
    cells = [
        PLAIN,
        PLAIN
        | {
            "setting": "float32, jit true, single",
            "noise_floor": 0.2,
            "held_out": 3,
            "mean_error": 0.05,
        },
        PLAIN
        | {
            "setting": "float32, jit true, mirrored",
            "noise_floor": None,
            "held_out": 0,
            "mean_error": None,
        },
        PLAIN
        | {
            "setting": "mixed_float16, jit false, single",
            "problems": ["none: failed"],
            "attributed": None,
        },
    ]
    record = tmp_path / "matrix.json"
    record.write_text(json.dumps({"quiet": 0.04, "cells": cells, "again": []}))
    monkeypatch.setattr(models_page, "RECORD", record)
    row = next(line for line in models_page.page().splitlines() if line.startswith("| net "))
    assert row == "| net | `families` | 4 | 1 | 28 | 99.0% | 3.4% | 3.0% | 1.0% (2) |"
    silent = [PLAIN | {"noise_floor": 0.0}]
    record.write_text(json.dumps({"quiet": 0.04, "cells": silent, "again": []}))
    assert "| 0.0% | 1.0% (1) |" in models_page.page(), "no noise at all is quiet"
    record.write_text(json.dumps({"quiet": 0.04, "cells": cells, "again": []}))
    assert "4 cells of 1 model, 28 trials, 1 cell failed" in models_page.page()
    settings = [line for line in models_page.page().splitlines() if line.startswith("| `")]
    assert settings == [
        "| `single` | no XLA | `float32` | 1 | 0 | 7 | 99.0% | 1.0% | 3.0% | 1.0% (1) |",
        "| `single` | no XLA | `mixed_float16` | 1 | 1 | 7 | - | 1.0% | 3.0% | 1.0% (1) |",
        "| `single` | `XLA` | `float32` | 1 | 0 | 7 | 99.0% | 5.0% | 20.0% | - |",
        "| `mirrored` | `XLA` | `float32` | 1 | 0 | 7 | 99.0% | - | - | - |",
    ]


def test_a_cell_that_was_measured_again_stands_beside_its_short_sweep(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = PLAIN | {
        "held_out": 14,
        "mean_error": 0.021,
        "largest_error": 0.064,
        "noise_floor": 0.018,
    }
    record = tmp_path / "matrix.json"
    record.write_text(
        json.dumps({"quiet": 0.04, "cells": [PLAIN | {"mean_error": 0.08}], "again": [again]})
    )
    monkeypatch.setattr(models_page, "RECORD", record)
    line = "| net | `single` | no XLA | `float32` | 14 | 1.8% | 8.0% | 2.1% | 6.4% |"
    assert line in models_page.page().splitlines()


def test_what_is_off_on_a_quiet_machine_is_measured_again() -> None:
    """A good cell of such a model is not, nor one whose noise hides the error."""
    cells = [
        PLAIN | {"setting": "a", "mean_error": 0.05, "held_out": 2},
        PLAIN | {"setting": "b", "mean_error": 0.02},
        PLAIN | {"setting": "c", "mean_error": 0.09, "noise_floor": 0.05},
        PLAIN | {"setting": "d", "mean_error": None, "held_out": 0},
        PLAIN | {"model": "good", "setting": "a", "mean_error": 0.05},
        PLAIN | {"model": "good", "setting": "b", "mean_error": 0.0, "held_out": 2},
    ]
    assert matrix_record.worse_than_good(cells) == {"net": ["a"]}


def test_a_record_keeps_what_it_is_not_told_of(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "matrix.json"
    monkeypatch.setattr(matrix_record, "RECORD", record)
    cell = Cell(
        model="net",
        setting="float32, jit true, single",
        trials=7,
        problems=(),
        attributed=0.99,
        control=0.0,
        floor=0.02,
        held_out=(HeldOut(measured=2.0, low=1.9, high=2.1, predicted=2.2),),
    )
    matrix_record.write("families:net", [cell], "again")
    matrix_record.write("families:net", [replace(cell, model="other")], "cells")
    matrix_record.write("families:net", [replace(cell, trials=8)], "again")
    parts = matrix_record.read()
    assert [(each["model"], each["trials"]) for each in parts["again"]] == [("net", 8)]
    assert [(each["model"], each["trials"]) for each in parts["cells"]] == [("other", 7)]
    assert parts["again"][0]["mean_error"] == pytest.approx(0.1)


def test_a_setting_is_read_as_it_is_written() -> None:
    assert [Setting.read(str(each)) for each in SETTINGS] == list(SETTINGS)
