"""What a container or a service may use of its machine, by the control groups it runs in.

Linux tells a process in a container the host's memory and cores; what it may use of them stands in
the files of its control group (version 2: `memory.max`, `cpu.max`; version 1:
`memory.limit_in_bytes`, `cpu.cfs_quota_us`; documented in the kernel's admin guide, cgroup-v2 and
cgroup-v1). The limits of all groups above hold too. A file that is absent or unreadable limits
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes of main memory that this process may use at most; None where no group limits it."""
    limits = [
        int(text)
        for folder in _folders(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _text(folder / name)).isdecimal()
    ]
    return min(limits, default=None)


def core_limit(root: Path = ROOT) -> int | None:
    """Cores' worth of time that this process may use, rounded down, at least 1; None: unlimited."""
    limits = []
    for folder in _folders(root, "cpu"):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if not period:
            quota = _text(folder / "cpu.cfs_quota_us")
            period = _text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            limits.append(max(1, int(quota) // int(period)))
    return min(limits, default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of all above it, in both versions.

    In a container the group is often named as the host names it, and mounted at the top.
    """
    mounted = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            top = mounted
        elif controller in controllers.split(","):
            top = mounted / controller
        else:
            continue
        here = top / path.lstrip("/")
        yield here
        while here != top:
            here = here.parent
            yield here


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
