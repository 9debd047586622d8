"""Small models, trials and leases for the tests of scheduling; a listener that remembers."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from frostline.facts.model_facts import LayerFacts, ModelFacts, VariableFacts
from frostline.measure.messages import Reply
from frostline.results.outcome import TrialOutcome
from frostline.schedule.lease_spec import LeaseSpec, Limits, Resources
from frostline.store.address import Address
from frostline.trial import MeasureSpec, ModelSpec, Setting, Trial

HERE = Path(__file__).parent
FAKE = "fake_measure"
MODEL = ModelSpec(
    name="net", builder="models:net", kwargs_json="{}", loss=None, metrics=(), data=None
)
SETTING = Setting(
    batch_size=8, optimizer="adam", precision="float32", jit_compile="auto", strategy="single"
)
MEASURE = MeasureSpec(
    target_ci=0.02, min_pairs=10, max_pairs=60, profile_steps=5, keep_traces="all", seed=0
)
FAST = Limits(trial_timeout_s=20.0, max_attempts=3, backoff_s=0.01, cores_wait_s=20.0)


def facts(layers: Sequence[str] = ("net/a", "net/b")) -> ModelFacts:
    """A chain of dense layers."""
    return ModelFacts(
        name="net",
        layers=tuple(
            LayerFacts(
                name=name,
                index=index,
                kind="Dense",
                block=name,
                is_norm=False,
                variables=(
                    VariableFacts(
                        path=f"{name}/kernel",
                        layer=name,
                        name="kernel",
                        shape=(10, 10),
                        params=100,
                        is_bias=False,
                    ),
                ),
                upstream=tuple(layers[:index]),
                forward_flops=1000,
                uses=1,
            )
            for index, name in enumerate(layers)
        ),
        untrainable_params=0,
        batch_size=8,
        build_s=0.1,
        trace_s=0.1,
    )


def with_variables(known: ModelFacts, layer: str, paths: Sequence[str]) -> ModelFacts:
    """The facts with other variables of one layer."""
    (example,) = known.by_name[layer].variables
    variables = tuple(
        replace(example, path=path, name=path.removeprefix(f"{layer}/")) for path in paths
    )
    layers = (
        replace(each, variables=variables) if each.name == layer else each for each in known.layers
    )
    return replace(known, layers=tuple(layers))


def trial(policy: str, **changes: object) -> Trial:
    """A trial that freezes the first layer, or nothing when it is a control."""
    control = bool(changes.get("is_control"))
    values: dict[str, object] = {
        "trial_id": policy.replace(":", "-").replace("#", "-"),
        "study": "demo",
        "model": MODEL,
        "setting": SETTING,
        "policy": policy,
        "aliases": (),
        "frozen_layers": () if control else ("net/a",),
        "frozen_variables": () if control else ("net/a/kernel",),
        "frozen_params": 0 if control else 100,
        "total_params": 200,
        "earliest_trainable_layer": 0 if control else 1,
        "is_control": False,
        "replicate": 0,
        "anchor": None,
    }
    return Trial(**(values | changes))  # type: ignore[arg-type]


def lease(out: Path | Address, policies: Sequence[str], **changes: object) -> LeaseSpec:
    """A lease over the trials of these policies, on one core, with the fake process."""
    values: dict[str, object] = {
        "out": Address.parse(out),
        "trials": tuple(trial(policy) for policy in policies),
        "facts": facts(),
        "measure": MEASURE,
        "resources": Resources(gpus=0, cpus=1),
        "limits": FAST,
        "process_module": FAKE,
    }
    return LeaseSpec(**(values | changes))  # type: ignore[arg-type]


def watched(waiting: Generator[str | None, None, Reply], stages: list[str]) -> Reply:
    """The reply of a measuring process; the stages on the way to it go into `stages`."""
    while True:
        try:
            stage = next(waiting)
        except StopIteration as end:
            return end.value
        if stage is not None:
            stages.append(stage)


@dataclass
class Fake:
    """The folder that tells the fake process what to do and remembers what it was asked."""

    folder: Path

    def behave(self, behaviours: Mapping[str, Sequence[str]]) -> None:
        """Say what to do from now on; attempts count from here, and earlier requests are gone."""
        (self.folder / "requests.log").unlink(missing_ok=True)
        (self.folder / "behaviours.json").write_text(json.dumps(behaviours))

    def requests(self, op: str) -> list[tuple[int, str]]:
        """Process id and policy of each request, in order."""
        log = self.folder / "requests.log"
        lines = (
            [line.split(" ", 2) for line in log.read_text().splitlines()] if log.exists() else []
        )
        return [(int(pid), policy) for pid, said, policy in lines if said == op]

    def runs(self) -> list[str]:
        """Policies in the order in which they were started."""
        return [policy for _, policy in self.requests("run")]


def install_fake(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Make leases of this process and its children find the fake measuring process."""
    folder.mkdir()
    fake = Fake(folder)
    fake.behave({})
    monkeypatch.setenv("FROSTLINE_FAKE", str(folder))
    # For this process, for processes that it spawns, and for Ray's workers.
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{HERE.parent / 'pipeline'}:{HERE.parent}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return fake


def listening(processes: Iterable[psutil.Process]) -> set[str]:
    """Addresses that processes listen on; one that has just ended listens on none."""
    found: set[str] = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            found |= {
                connection.laddr.ip
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
    return found


@dataclass
class Heard:
    """A listener that remembers."""

    notices: list[str] = field(default_factory=list)
    stages: list[tuple[str, str]] = field(default_factory=list)
    outcomes: list[TrialOutcome] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    finished: int = -1

    def on_notice(self, text: str) -> None:
        self.notices.append(text)

    def on_planned(self, labels: dict[str, str], finished: int) -> None:
        self.labels, self.finished = labels, finished

    def on_stage(self, trial_id: str, stage: str) -> None:
        self.stages.append((trial_id, stage))

    def on_outcome(self, outcome: TrialOutcome) -> None:
        self.outcomes.append(outcome)

    def by_id(self) -> dict[str, TrialOutcome]:
        first = [outcome for outcome in self.outcomes if not outcome.again]
        found = {outcome.trial_id: outcome for outcome in first}
        assert len(found) == len(first), "a trial had two outcomes"
        return found
