"""Every Python example of the README, the guide and the package runs, on a sweep of known costs."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from local_executor import LocalExecutor
from predict_kit import profiled, world, world_facts
from schedule_kit import FAKE, install_fake

import frostline
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Failed
from frostline.recommendation.verify import verify
from frostline.study.study import Study

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def examples() -> Iterator[object]:
    """Every block of Python, named by its page and line."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            yield pytest.param(textwrap.dedent(block[2]), id=f"{page.name}:{line}")
    lines = (inspect.getdoc(frostline) or "").splitlines()
    code = "\n".join(line[4:] for line in lines if line.startswith("    "))
    yield pytest.param(code, id="frostline/__init__.py")


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the ready-made studies and a sweep in `demo-out`; what measures is a fake."""
    install_fake(tmp_path / "fake", monkeypatch)
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    (tmp_path / "models.py").write_text("def net():\n    return None\n")
    world(tmp_path / "demo-out", "prefix:*", "suffix:*", tamper=lambda _trial, rows: profiled(rows))

    for other in ("before-out", "after-out"):
        (tmp_path / other).symlink_to(tmp_path / "demo-out")

    def run(study: Study | str, out: str) -> frostline.SweepResult:
        asked = study if isinstance(study, Study) else frostline.load_study(study)
        assert (asked.name, out) == ("demo", "demo-out")
        return frostline.SweepResult(
            planned=15, finished_before=15, ok=15, failed=0, wall_s=2.0, ray_start_s=0.0,
            inspect_s=0.0,
        )  # fmt: skip

    def inspected(asked: Study, _logs: Path) -> Mapping[str, ModelFacts | Failed]:
        return {model.name: world_facts() for model in asked.models}

    measured = partial(verify, make_executor=LocalExecutor, inspect=inspected, process_module=FAKE)
    monkeypatch.setattr("frostline.sweep.run.run_sweep", run)
    monkeypatch.setattr("frostline.recommendation.verify.verify", measured)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", list(examples()))
def test_an_example_runs_as_it_stands(code: str, demo: Path):
    assert re.search(r"^(import frostline|from frostline import .*)$", code, re.MULTILINE)
    exec(compile(code, "example", "exec"), {})


def test_the_pages_send_nobody_to_deeper_modules():
    for page in PAGES:
        if page.name == "architecture.md":  # it is about the modules
            continue
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(import|from) frostline\.", text), page.name


def test_every_offered_function_is_in_the_guide():
    guide = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for name in set(frostline.__all__) - {"__version__"}:
        assert re.search(rf"`{name}\b", guide), name
