"""The ready studies: in a checkout the folder `studies`, else files that came with the package."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from frostline.errors import UsageError

_CHECKOUT = Path(__file__).parents[2] / "studies"
_INSTALLED = "share/frostline/studies/"


def ready_studies() -> dict[str, Path]:
    """The ready studies by name, ascending.

    Raises:
        UsageError: they were not installed.
    """
    found = {path.stem: path for path in _CHECKOUT.glob("*.toml")}
    if not found:
        try:
            files = metadata.files("frostline") or []
        except metadata.PackageNotFoundError:
            files = []
        found = {
            Path(file.name).stem: Path(str(file.locate())).resolve()
            for file in files
            if _INSTALLED in file.as_posix() and file.name.endswith(".toml")
        }
    if not found:
        raise UsageError(
            "the ready studies were not installed; install frostline from its wheel or a checkout"
        )
    return dict(sorted(found.items()))


def ready_study(name: str) -> Path:
    """The file of a ready study.

    Raises:
        UsageError: there is none of that name.
    """
    found = ready_studies()
    if name not in found:
        raise UsageError(f"there is no ready study `{name}`; there are: {', '.join(found)}")
    return found[name]
