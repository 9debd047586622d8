"""The page on models that were tried says what was recorded."""

from __future__ import annotations

import json

import models_page
import pytest


def test_the_page_is_up_to_date() -> None:
    assert models_page.PAGE.read_text(encoding="utf-8") == models_page.page(), (
        "run: python docs/models_page.py"
    )


def test_no_recorded_cell_failed() -> None:
    cells = json.loads(models_page.RECORD.read_text(encoding="utf-8"))["cells"]
    assert {(cell["model"], cell["setting"]) for cell in cells if cell["problems"]} == set()


def test_errors_weigh_each_configuration_alike(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And cells whose noise hides the error are told apart."""
    plain = {
        "model": "net", "builder": "families:net", "setting": "float32, jit false, single",
        "trials": 7, "problems": [], "attributed": 0.99, "control_off": 0.0, "noise_floor": 0.03,
        "held_out": 1, "mean_error": 0.01, "largest_error": 0.01, "machine": "2 cores",
        "version": "0.2.0", "date": "2026-01-02",
    }  # fmt: skip
    cells = [
        plain,
        plain
        | {
            "setting": "float32, jit true, single",
            "noise_floor": 0.2,
            "held_out": 3,
            "mean_error": 0.05,
        },
        plain
        | {
            "setting": "float32, jit true, mirrored",
            "noise_floor": None,
            "held_out": 0,
            "mean_error": None,
        },
        plain
        | {
            "setting": "mixed_float16, jit false, single",
            "problems": ["none: failed"],
            "attributed": None,
        },
    ]
    record = tmp_path / "matrix.json"
    record.write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(models_page, "RECORD", record)
    row = next(line for line in models_page.page().splitlines() if line.startswith("| net "))
    assert row == "| net | `families` | 4 | 1 | 28 | 99.0% | 3.4% | 3.0% | 1.0% (2) |"
    record.write_text(json.dumps({"cells": [plain | {"noise_floor": 0.0}]}))
    assert "| 0.0% | 1.0% (1) |" in models_page.page(), "no noise at all is quiet"
    record.write_text(json.dumps({"cells": cells}))
    assert "4 cells of 1 model, 28 trials, 1 cell failed" in models_page.page()
    settings = [line for line in models_page.page().splitlines() if line.startswith("| `")]
    assert settings == [
        "| `single` | no XLA | `float32` | 1 | 0 | 7 | 99.0% | 1.0% | 3.0% | 1.0% (1) |",
        "| `single` | no XLA | `mixed_float16` | 1 | 1 | 7 | - | 1.0% | 3.0% | 1.0% (1) |",
        "| `single` | `XLA` | `float32` | 1 | 0 | 7 | 99.0% | 5.0% | 20.0% | - |",
        "| `mirrored` | `XLA` | `float32` | 1 | 0 | 7 | 99.0% | - | - | - |",
    ]
