"""Modules that docstrings and pages name exist, and so do the links between pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "pipeline" / "frostline"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
DOTTED = re.compile(r"`frostline((?:\.\w+)+)[`(]")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def named(text: str) -> Iterator[str]:
    return (found.removeprefix(".") for found in DOTTED.findall(text))


def exists(dotted: str) -> bool:
    """Whether a module of the package has this path, or one that binds the last parts of it."""
    *above, last = dotted.split(".")
    place = SOURCE.joinpath(*above)
    if (place / last).is_dir() or (place / f"{last}.py").is_file():
        return True
    module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if module.is_file():
        return bool(re.search(rf"\b{last}\b", module.read_text(encoding="utf-8")))
    return bool(above) and exists(".".join(above))


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.stem)
def test_modules_that_a_file_names_exist(path: Path):
    text = path.read_text(encoding="utf-8")
    assert [name for name in named(text) if not exists(name)] == []


@pytest.mark.parametrize(
    "package", sorted(SOURCE.rglob("__init__.py")), ids=lambda p: p.parent.name
)
def test_the_list_of_a_package_names_its_modules(package: Path):
    """A line such as `lease    a chunk of trials` begins with a module or folder beside it."""
    doc = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
    listed = re.findall(r"^ *(\w+(?:, \w+)*) {2,}\S", doc, re.MULTILINE)
    for name in (name for names in listed for name in names.split(", ")):
        beside = package.parent / name
        assert beside.is_dir() or beside.with_suffix(".py").is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_and_links_exists(page: Path):
    text = page.read_text(encoding="utf-8")
    assert [name for name in named(text) if not exists(name)] == []
    for target in LINK.findall(text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target
