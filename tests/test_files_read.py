"""What facts of a model say they were made from: files of the user's, libraries by their version.

Each case runs in a process of its own: nothing takes an audit hook away again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import frostline
from frostline.facts.model_facts import MadeFrom
from frostline.facts.provenance import made_from, outdated
from frostline.study.study import parse_study

BUILDER = """
import json
from importlib import metadata
from pathlib import Path

import developed
import installed
import loose


def net():
    metadata.version("installed-demo")
    metadata.distribution("installed-demo").read_text("METADATA")
    (Path(installed.__file__).parent / "sizes.txt").read_text()
    for place in Path(__file__).with_name("data.txt").read_text().split():
        Path(place).read_text()
"""
PROGRAM = """
import json, sys
from pathlib import Path
from frostline.measure.inspect.files_read import Reads

reads = Reads()
reads.libraries_are_in()
import mine
mine.net()
files = sorted(map(str, reads.files(log=Path("log"))))
print(json.dumps([files, sorted(reads.libraries())]))
"""
STUDY = """
name = "demo"
[[model]]
name = "net"
builder = "mine:net"
[freeze]
policies = ["prefix:1"]
"""


def _installed(folder: Path, module: str, *, files: tuple[str, ...]) -> None:
    """What pip leaves in a folder: a `.dist-info` whose RECORD lists the files."""
    about = folder / f"{module}_demo-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}-demo\nVersion: 1.2\n")
    listed = [*files, f"{about.name}/METADATA", f"{about.name}/RECORD", "../../bin/tool"]
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in listed))


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """A builder that takes a library, a package in development, a loose module and data files."""
    names = ("study", "site", "cache", "source", "home", "elsewhere")
    found = {name: tmp_path / name for name in names}
    for folder in found.values():
        folder.mkdir()
    study, site = found["study"], found["site"]
    (study / "mine.py").write_text(BUILDER)
    data = [found["home"] / "in_home.txt", found["elsewhere"] / "vocabulary.txt"]
    for path in data:
        path.write_text("1 2 3")
    (study / "data.txt").write_text("\n".join(map(str, data)))
    # A library whose files are links into pip's cache, as some installers leave them.
    (site / "installed").mkdir()
    for name, text in (("__init__.py", ""), ("sizes.txt", "4")):
        (found["cache"] / name).write_text(text)
        (site / "installed" / name).symlink_to(found["cache"] / name)
    _installed(site, "installed", files=("installed/__init__.py", "installed/sizes.txt"))
    # A package in development: what pip installed is a pointer to the source.
    (found["source"] / "developed.py").write_text("")
    _installed(site, "developed", files=("developed.pth",))
    (site / "loose.py").write_text("")  # no distribution's
    return found


@pytest.fixture
def read(folders: dict[str, Path]) -> tuple[set[str], set[str]]:
    """Files, relative to the folders' parent, and libraries."""
    program = Path(frostline.__file__).parents[1]
    path = [folders["study"], folders["site"], folders["source"], program]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    files, libraries = json.loads(done.stdout)
    root = folders["study"].parent
    return {str(Path(path).relative_to(root)) for path in files}, set(libraries)


def test_a_library_is_named_and_its_files_are_not(read: tuple[set[str], set[str]]) -> None:
    files, libraries = read
    assert libraries == {"installed-demo"}
    assert files == {
        "study/mine.py", "study/data.txt", "source/developed.py", "site/loose.py",
        "home/in_home.txt", "elsewhere/vocabulary.txt",
    }  # fmt: skip


@pytest.fixture
def origin(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> MadeFrom:
    monkeypatch.setenv("HOME", str(folders["home"]))
    asked = parse_study(STUDY, path=folders["study"] / "study.toml", check_builders=False)
    files = [
        folders["study"] / "mine.py",
        folders["home"] / "in_home.txt",
        folders["elsewhere"] / "vocabulary.txt",
    ]
    return made_from(asked.model_specs()[0], asked.settings()[0], seed=0, files=files)


def _why(origin: MadeFrom, folders: dict[str, Path]) -> str:
    asked = parse_study(STUDY, path=folders["study"] / "study.toml", check_builders=False)
    return outdated(origin, asked.model_specs()[0], asked.settings()[0], seed=0)


def test_names_of_files_name_the_machine_only_where_they_must(
    origin: MadeFrom, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = str(folders["elsewhere"] / "vocabulary.txt")
    assert set(origin.files) == {"mine.py", "~/in_home.txt", elsewhere}
    assert _why(origin, folders) == ""
    other_home = folders["home"].rename(folders["home"].with_name("other"))
    monkeypatch.setenv("HOME", str(other_home))
    assert _why(origin, folders) == ""
    (other_home / "in_home.txt").write_text("4")
    assert _why(origin, folders) == "~/in_home.txt has changed"
    (folders["elsewhere"] / "vocabulary.txt").write_text("4")
    (other_home / "in_home.txt").write_text("1 2 3")
    assert _why(origin, folders) == f"{elsewhere} has changed"


def test_a_user_without_a_home_folder_is_no_trouble(
    origin: MadeFrom, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert _why(origin, folders) == "~/in_home.txt has changed"


def test_what_older_versions_wrote_is_compared_as_it_is(
    origin: MadeFrom, folders: dict[str, Path]
) -> None:
    older = replace(
        origin,
        files={
            "mine.py": origin.files["mine.py"],
            str(folders["home"] / "in_home.txt"): origin.files["~/in_home.txt"],
            str(folders["site"] / "installed_demo-1.2.dist-info" / "METADATA"): "0" * 64,
        },
    )
    assert _why(older, folders).endswith("installed_demo-1.2.dist-info/METADATA has changed")
