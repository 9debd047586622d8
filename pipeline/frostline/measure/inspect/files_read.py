"""Which files and libraries are read while a model is built, as the interpreter sees them.

In: a process in which a builder is about to run. Out: `Reads`: the source files of imported modules
outside of libraries, the files that Python code opened, and the libraries that were imported in
addition to TensorFlow. So a helper module, an import inside a function and a JSON file beside the
builder all count. Files that native code opens do not (weights in HDF5, which give no shapes). What
pip installed is named by its version, wherever it lies; a package in development (`pip install -e`)
has no version that tells its state, so its files count.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from frostline.launch import PACKAGE

_LIBRARY_FOLDERS = ("site-packages", "dist-packages")
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/run/", "/usr/lib/", "/usr/share/")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Reads:
    """Watches this process from now on; an audit hook cannot be removed.

    Models that are inspected one after the other in a process share what they read, because a
    module is loaded only once.
    """

    def __init__(self) -> None:
        """Begin to watch; before TensorFlow is imported, since Keras reads a configuration file."""
        paths = sysconfig.get_paths()
        self._opened: set[str] = set()
        self._own = f"{PACKAGE}{os.sep}"
        self._standard = tuple(
            f"{os.path.realpath(paths[name])}{os.sep}" for name in ("stdlib", "platstdlib")
        )
        self._given: frozenset[str] = frozenset()
        sys.addaudithook(self._hear)

    def libraries_are_in(self) -> None:
        """Take what has been imported so far as the program's own; only the first call counts."""
        self._given = self._given or frozenset(sys.modules)

    def files(self, *, log: Path) -> set[Path]:
        """Files that were read, absolute; without those of libraries, system and this program.

        The process's own output `log` is no input either.
        """
        opened = {path for path in self._opened if Path(path).is_file()}
        read = {path for path in opened.union(self._module_files()) if self._counts(path)}
        # What pip installed may be a link into its cache: both names have to count.
        files = {os.path.realpath(path) for path in read} - {os.path.realpath(log)}
        return {Path(path) for path in files if self._counts(path)}

    def libraries(self) -> set[str]:
        """Distributions of libraries that were imported since `libraries_are_in`."""
        new = {name.partition(".")[0] for name in sys.modules.keys() - self._given}
        known = new - sys.stdlib_module_names - {"frostline", "__main__"}
        if not known:
            return set()
        by_module = metadata.packages_distributions()
        return {found for name in known for found in by_module.get(name, ())}

    def _hear(self, event: str, details: tuple[object, ...]) -> None:
        if event != "open":
            return
        path, mode, flags = details
        if not isinstance(path, str | bytes | os.PathLike):  # a descriptor was opened before
            return
        name = os.fsdecode(path)
        if isinstance(mode, str):
            writes = any(letter in mode for letter in "wax+")
        else:
            writes = isinstance(flags, int) and bool(flags & _WRITES)
        if not writes and not name.endswith(".pyc"):
            self._opened.add(str(Path(name).absolute()))

    def _module_files(self) -> Iterator[str]:
        for name in sys.modules.keys() - self._given:
            path = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(path, str):
                yield str(Path(path).absolute())

    def _counts(self, path: str) -> bool:
        if path.startswith((self._own, *self._standard, *_SYSTEM)):
            return False
        if any(f"/{folder}/" in path for folder in _LIBRARY_FOLDERS):
            return False
        return not any(
            path.startswith(f"{folder}{os.sep}")
            and path[len(folder) + 1 :].partition(os.sep)[0] in names
            for folder, names in _installed().items()
        )


@cache
def _installed() -> Mapping[str, Collection[str]]:
    """What pip put into each folder of the module path: the names of files and folders there."""
    found: dict[str, set[str]] = defaultdict(set)
    for distribution in metadata.distributions():
        listed = (distribution.read_text("RECORD") or "").splitlines()
        names = {line.strip('"').partition(",")[0].partition("/")[0] for line in listed}
        folder = Path(str(distribution.locate_file(""))).absolute()
        for path in {folder, folder.resolve()}:
            found[str(path)] |= names
    return found
