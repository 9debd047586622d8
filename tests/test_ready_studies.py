"""The ready studies, found in a checkout and where a wheel was installed."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from frostline import ready_studies
from frostline.cli import main
from frostline.errors import UsageError
from frostline.ready_studies import ready_study

STUDIES = Path(__file__).parent.parent / "studies"


def test_in_a_checkout_they_are_the_folder() -> None:
    found = ready_studies.ready_studies()
    assert set(found.values()) == set(STUDIES.glob("*.toml"))
    assert found["demo"] == STUDIES / "demo.toml"


class Installed(SimpleNamespace):
    """A file as the metadata of an installed package lists it."""

    def as_posix(self) -> str:
        return f"../../../{self.where}/{self.name}"

    def locate(self) -> Path:
        return Path("/venv") / self.where / self.name


def test_from_a_wheel_they_are_among_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_studies, "_CHECKOUT", Path("/nowhere"))
    shared = "share/frostline/studies"
    files = [Installed(where=shared, name="demo.toml"), Installed(where="x", name="y.toml")]
    monkeypatch.setattr(metadata, "files", lambda name: files)
    assert ready_studies.ready_studies() == {"demo": Path("/venv") / shared / "demo.toml"}
    monkeypatch.setattr(metadata, "files", lambda name: None)
    with pytest.raises(UsageError, match="were not installed"):
        ready_study("demo")


def test_another_name_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--study", "dmeo"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "there is no ready study `dmeo`; there are: demo, functional" in said


def test_the_demo_is_a_sweep_of_its_study(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("frostline.cli.demo.sweep", lambda *given: asked.append(given))
    assert main(["demo"]) == 0
    assert main(["demo", "--study", "sequential", "--out", "here"]) == 0
    assert asked == [
        (STUDIES / "demo.toml", "demo-out", None, False),
        (STUDIES / "sequential.toml", "here", None, False),
    ]
