"""The executor of a run, started once it is known that something will run.

Starting Ray takes seconds: it begins in the background, while models are inspected, and not at all
where nothing is left to run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from frostline.machine import this_machine
from frostline.schedule.driver import Executor
from frostline.schedule.lease_spec import Resources, resources_of
from frostline.schedule.listener import SweepListener
from frostline.schedule.room import slots_on
from frostline.study.study import Study

MakeExecutor = Callable[[Resources], AbstractContextManager[Executor]]


class Workers:
    """The executor of a run; a context manager that ends it.

    Attributes:
        resources: what each lease holds.
    """

    def __init__(self, study: Study, make: MakeExecutor) -> None:
        self.resources = resources_of(study)
        self._make = make
        self._held = ExitStack()
        self._executor: Executor | None = None

    def start(self) -> Executor:
        """Start it, in the background where it takes long; it ends with the block."""
        if self._executor is None:
            self._executor = self._held.enter_context(self._make(self.resources))
        return self._executor

    @property
    def start_s(self) -> float:
        """Seconds that starting took; 0 where nothing was started."""
        return 0.0 if self._executor is None else self._executor.start_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.__exit__(kind, error, trace)  # the executor ends sooner where somebody waits


def on_ray(address: str | None, listener: SweepListener) -> MakeExecutor:
    """Leases as Ray tasks, on the cluster at an address or on an embedded Ray.

    What this machine has no room for is refused before Ray is started (`UsageError`).
    """

    def make(resources: Resources) -> AbstractContextManager[Executor]:
        if address is None:
            slots_on(this_machine(), resources)
        from frostline.schedule.ray.executor import RayExecutor  # other executors need no Ray

        return RayExecutor(resources, address=address, notice=listener.on_notice)

    return make
