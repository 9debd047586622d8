"""A whole sweep: a study in, a filled output directory out.

In: a validated study and where results go. Out: counts and times; everything else is in OUT. The
driver's process imports neither TensorFlow nor anything that analyses: models are inspected in a
child, while Ray starts, and measured in others.

Resuming is running again: the plan minus the commits. A failed trial is a commit too, since another
attempt would fail the same way; one that only lost its lease is tried again, and so is a model that
could not be built.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from pydantic import JsonValue

import pipeline
from pipeline.measure.inspect_client import inspect_models
from pipeline.measure.messages import Failed
from pipeline.model_facts import ModelFacts, dump_facts, facts_path
from pipeline.schedule.chunks import chunks_of
from pipeline.schedule.driver import LEASE_LOST, Driver, Executor
from pipeline.schedule.interrupts import interruptible
from pipeline.schedule.labels import labels_of
from pipeline.schedule.listener import SilentListener, SweepListener
from pipeline.schedule.spec import LeaseSpec, Limits, Resources
from pipeline.schedule.unbuilt import settle_unbuilt
from pipeline.store.manifest import Manifest
from pipeline.store.outdir import OutDir
from pipeline.store.read import committed, read_all
from pipeline.study import Study
from pipeline.tensorboard.experiment import write_experiment
from pipeline.trials import Trial, TrialPlan, plan_trials

_VERSIONS = (
    "tensorflow", "keras", "ray", "tensorboard-plugin-profile", "numpy", "pyarrow",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What a sweep came to.

    Attributes:
        planned: trials of the plan, with those of models that could not be built.
        finished_before: of them, committed when the run began.
        ok, failed: of them, at its end.
        wall_s: the whole run.
        ray_start_s: starting or joining Ray, which overlaps with the inspection.
        inspect_s: inspecting the models.
        seconds: wall time by phase, summed over trials (`TrialOutcome.seconds`), and over openings
            of baselines (`open_import`, `open_build`, ..., and `open_open`: all of an opening).
    """

    planned: int
    finished_before: int
    ok: int
    failed: int
    wall_s: float
    ray_start_s: float
    inspect_s: float
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when every trial is ok, else 1."""
        return 0 if self.ok == self.planned else 1


MakeExecutor = Callable[[Resources], AbstractContextManager[Executor]]
Inspect = Callable[[Study, Path], Mapping[str, ModelFacts | Failed]]


def run_sweep(
    study: Study,
    out_uri: str,
    *,
    address: str | None = None,
    listener: SweepListener | None = None,
    make_executor: MakeExecutor | None = None,
    inspect: Inspect | None = None,
    process_module: str = "pipeline.measure.process",
) -> SweepResult:
    """Run a study, or what is left of it.

    Args:
        study: what to run.
        out_uri: folder or URI for the results; one of the same study is resumed.
        address: of a Ray cluster; None: an embedded Ray on this machine.
        listener: hears what happens.
        make_executor: something other than Ray to run leases on.
        inspect: something other than building the models to know their facts; also takes a folder
            for logs, `inspect-<model>.log`.
        process_module: the measuring process; tests put a speaker of the same protocol here.

    Raises:
        SweepError: OUT is another study's, or another run holds it.
        StudyError: nothing is left to run.
        UsageError: a trial needs more than any machine here has.
        SweepStoppedError: results can no longer be stored.
        KeyboardInterrupt: SIGINT or SIGTERM; leases are gone, and running again resumes.
    """
    began = time.monotonic()
    heard = listener or SilentListener()
    resources = Resources(
        gpus=study.resources.gpus_per_trial,
        cpus=study.resources.cpus_per_trial,
        device=study.resources.device,
    )
    make_executor = make_executor or _ray(address, heard)
    with interruptible() as take_signals:
        out = OutDir.open(out_uri, create=True)
        with out.lock():
            manifest = out.manifest()
            if manifest is not None and manifest.study != study.name:
                _begin(out, study, None)  # refuses, before anything slow is started
            out.remove_staging()
            with make_executor(resources) as executor, TemporaryDirectory() as logs:
                inspecting = time.monotonic()
                facts, unbuilt = _inspected(study, inspect or inspect_study, heard, Path(logs))
                inspect_s = time.monotonic() - inspecting
                plan = _planned(study, facts)
                for text in plan.notices:
                    heard.on_notice(text)
                planned = len(plan.trials) + len(unbuilt) * len(study.settings())
                manifest = _begin(out, study, planned)
                for name, known in facts.items():
                    out.write_text(facts_path(name), dump_facts(known))
                settle_unbuilt(out, study, unbuilt, Path(logs))
                write_experiment(out, study.name, plan.trials)
                done = _done(out, plan)
                heard.on_planned(labels_of(plan, done), len(done))
                driver = Driver(
                    executor=executor,
                    store=out,
                    spec_of=_spec_maker(study, out, facts, resources, process_module),
                    limits=_limits(study),
                    listener=heard,
                )
                if len(done) < len(plan.trials):
                    slots = executor.slots  # waits until it has started
                    take_signals()
                    driver.run(chunks_of(plan.groups, done=done, slots=slots))
                ray_start_s = executor.start_s
            _predict(out, manifest, study, heard)
            commits = out.commits()
    ok = sum(commits.get(trial.trial_id) == "ok" for trial in plan.trials)
    return SweepResult(
        planned=planned,
        finished_before=len(done),
        ok=ok,
        failed=planned - ok,
        wall_s=time.monotonic() - began,
        ray_start_s=ray_start_s,
        inspect_s=inspect_s,
        seconds=dict(driver.seconds),
    )


def inspect_study(study: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
    """Facts of every model of a study, each built once in a child process."""
    return inspect_models(
        study.model_specs(),
        study.settings()[0],
        seed=study.seed,
        deadline_s=study.resources.trial_timeout_s,
        log_folder=logs,
    )


def _limits(study: Study) -> Limits:
    return Limits(
        trial_timeout_s=study.resources.trial_timeout_s,
        max_attempts=study.resources.max_attempts,
    )


def _spec_maker(
    study: Study,
    out: OutDir,
    facts: Mapping[str, ModelFacts],
    resources: Resources,
    process_module: str,
) -> Callable[[tuple[Trial, ...]], LeaseSpec]:
    def spec(trials: tuple[Trial, ...]) -> LeaseSpec:
        return LeaseSpec(
            out_uri=str(out.local_path or out.uri),
            trials=trials,
            facts=facts[trials[0].model.name],
            measure=study.measure_spec(),
            resources=resources,
            limits=_limits(study),
            process_module=process_module,
        )

    return spec


def _ray(address: str | None, listener: SweepListener) -> MakeExecutor:
    def make(resources: Resources) -> AbstractContextManager[Executor]:
        from pipeline.schedule.ray_executor import RayExecutor  # other executors need no Ray

        return RayExecutor(resources, address=address, notice=listener.on_notice)

    return make


def _inspected(
    study: Study, inspect: Inspect, listener: SweepListener, logs: Path
) -> tuple[dict[str, ModelFacts], dict[str, Failed]]:
    facts: dict[str, ModelFacts] = {}
    failed: dict[str, Failed] = {}
    for name, reply in inspect(study, logs).items():
        if isinstance(reply, Failed):
            failed[name] = reply
            listener.on_notice(
                f"model `{name}` is left out, it failed in {reply.stage}: {reply.message}"
            )
        else:
            facts[name] = reply
    return facts, failed


def _planned(study: Study, facts: Mapping[str, ModelFacts]) -> TrialPlan:
    """The plan of the models whose facts are known."""
    if not facts:
        return TrialPlan(trials=(), groups=(), notices=())
    known = tuple(model for model in study.models if model.name in facts)
    return plan_trials(replace(study, models=known), facts)


def _begin(out: OutDir, study: Study, planned: int | None) -> Manifest:
    """Enter this run into the manifest; refuses an OUT that is not this study's."""
    versions = {"frostline": pipeline.__version__, "python": platform.python_version()}
    for name in _VERSIONS:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    machine: dict[str, JsonValue] = {
        "host": platform.node(),
        "system": platform.platform(),
        "cpu_count": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }
    return out.begin_run(
        study.text, study.digest, study.name, versions, machine=machine, trials_planned=planned
    )


def _predict(out: OutDir, manifest: Manifest, study: Study, listener: SweepListener) -> None:
    """Write what every predictor says of every measured trial, now that nothing measures."""
    from pipeline.predict import write_predictions
    from pipeline.sweep_view import Sweep

    _, notices = write_predictions(Sweep(out, manifest))
    if study.measure.profile_steps:  # without profiles nobody expects any
        for text in notices:
            listener.on_notice(text)


def _done(out: OutDir, plan: TrialPlan) -> frozenset[str]:
    """Ids of the plan's trials that need not run again."""
    commits = out.commits()
    failed = {trial_id: status for trial_id, status in commits.items() if status != "ok"}
    rows = read_all(
        out.files, "trials", committed(out.files, "trials", failed), ["trial_id", "error_type"]
    )
    lost = {row["trial_id"] for row in rows.to_pylist() if row["error_type"] == LEASE_LOST}
    return frozenset(
        trial.trial_id
        for trial in plan.trials
        if trial.trial_id in commits and trial.trial_id not in lost
    )
