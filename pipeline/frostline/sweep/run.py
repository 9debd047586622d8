"""A whole sweep: a study in, a filled output directory out.

In: a validated study and where results go. Out: counts and times; everything else is in OUT. The
driver's process imports neither TensorFlow nor anything that analyses: models are inspected in a
child, while Ray starts, and measured in others.

Resuming is running again: the plan minus the commits. A failed trial is a commit too, since another
attempt would fail the same way; one that only lost its lease is tried again, and so is a model that
could not be built. What is known of models from before is used again where it still holds, and Ray
is not started before there is something to run; where nothing is, nothing in OUT changes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from frostline.facts.model_facts import ModelFacts, dump_facts, facts_path
from frostline.facts.provenance import program
from frostline.measure.inspect_client import inspect_models
from frostline.measure.messages import Failed
from frostline.plan.labels import labels_of
from frostline.results.rows import planned_columns
from frostline.schedule.chunks import chunks_of
from frostline.schedule.driver import Driver, Executor
from frostline.schedule.interrupts import interruptible
from frostline.schedule.listener import SilentListener, SweepListener
from frostline.schedule.spec import LeaseSpec, Limits, Resources
from frostline.schedule.spooled import store_kept_elsewhere, store_kept_here
from frostline.store.address import Address
from frostline.store.manifest import Manifest
from frostline.store.outdir import OutDir
from frostline.study.study import Study
from frostline.sweep.earlier import committed_trials, forgotten, other_versions
from frostline.sweep.remaining import Inspect, Remaining, remaining
from frostline.sweep.run_record import begin, is_as_it_was, versions
from frostline.sweep.unbuilt import settle_unbuilt
from frostline.tensorboard.experiment import write_experiment
from frostline.trial import Trial


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
        idle: nothing was left to do, and OUT is as the last run left it.
    """

    planned: int
    finished_before: int
    ok: int
    failed: int
    wall_s: float
    ray_start_s: float
    inspect_s: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    idle: bool = False

    @property
    def exit_code(self) -> int:
        """0 when every trial is ok, else 1."""
        return 0 if self.ok == self.planned else 1


MakeExecutor = Callable[[Resources], AbstractContextManager[Executor]]


def run_sweep(
    study: Study,
    out_uri: str | os.PathLike[str] | Address,
    *,
    address: str | None = None,
    listener: SweepListener | None = None,
    make_executor: MakeExecutor | None = None,
    inspect: Inspect | None = None,
    process_module: str = "frostline.measure.process",
    part_of_study: bool = False,
) -> SweepResult:
    """Run a study, or what is left of it; where nothing is, OUT stays as it is.

    Args:
        study: what to run.
        out_uri: folder or URI for the results; one of the same study is resumed.
        address: of a Ray cluster; None: an embedded Ray on this machine.
        listener: hears what happens.
        make_executor: something other than Ray to run leases on.
        inspect: something other than building the models to know their facts; also takes a folder
            for logs, `inspect-<model>.log`.
        process_module: the measuring process; tests put a speaker of the same protocol here.
        part_of_study: the study is only a part of what OUT was asked for, so that trials it does
            not ask for are nothing to speak of.

    Raises:
        SweepError: OUT is another study's, or another run holds it.
        StudyError: nothing is left to run.
        UsageError: a trial needs more than any machine here has.
        SweepStoppedError: results can no longer be stored.
        KeyboardInterrupt: SIGINT or SIGTERM; leases are gone, and running again resumes.
    """
    began = time.monotonic()
    heard = listener or SilentListener()
    with interruptible() as take_signals:
        out = OutDir.open(out_uri, create=True)
        with out.lock():
            before = out.manifest()
            if before is not None and before.study != study.name:
                begin(out, study, None)  # refuses, before anything slow is started
            if before is not None and before.begun_as_pipeline:
                study = replace(study, former_names=True)
            out.remove_staging()
            store_kept_here(out, heard)
            earlier = committed_trials(out) if before is not None else ()
            with ExitStack() as held:
                logs = Path(held.enter_context(TemporaryDirectory()))
                workers = _Workers(study, make_executor or _ray(address, heard), held)
                todo = remaining(
                    study,
                    out,
                    earlier,
                    inspect=inspect or inspect_study,
                    listener=heard,
                    logs=logs,
                    will_run=workers.start,  # in the background
                )
                if not part_of_study:
                    _tell(heard, forgotten(todo.plan.trials, earlier, unbuilt=todo.unbuilt))
                if before is not None and todo.nothing and is_as_it_was(before, study):
                    heard.on_planned({}, len(todo.done))
                    statuses = {each.trial_id: each.status for each in earlier}
                    return _result(todo, statuses, began, workers, idle=True)
                if before is not None and earlier and todo.trials:
                    _tell(heard, other_versions(before, versions(), program()))
                manifest = begin(out, study, todo.planned)
                for name, known in todo.facts.items():
                    out.write_text(facts_path(name), dump_facts(known))
                settle_unbuilt(out, study, todo.unbuilt, logs)
                write_experiment(out, study.name, map(planned_columns, todo.plan.trials))
                heard.on_planned(labels_of(todo.plan, todo.done), len(todo.done))
                seconds: Mapping[str, float] = {}
                if todo.trials:
                    executor = workers.start()
                    slots = executor.slots  # waits until it has started
                    take_signals()
                    driver = Driver(
                        executor=executor,
                        store=out,
                        spec_of=_spec_maker(
                            study, out, todo.facts, workers.resources, process_module
                        ),
                        limits=_limits(study),
                        listener=heard,
                    )
                    done = store_kept_elsewhere(executor, out, todo.plan.trials, todo.done, heard)
                    most = _limits(study).trials_per_process
                    driver.run(chunks_of(todo.plan.groups, done=done, slots=slots, most=most))
                    seconds = dict(driver.seconds)
            commits = _predict(out, manifest, study, heard)
            out.end_run(manifest)
    return _result(todo, commits, began, workers, seconds=seconds)


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
            out=out.at_nodes,
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
        from frostline.schedule.ray.executor import RayExecutor  # other executors need no Ray

        return RayExecutor(resources, address=address, notice=listener.on_notice)

    return make


def _tell(listener: SweepListener, text: str) -> None:
    if text:
        listener.on_notice(text)


class _Workers:
    """The executor of a run, which is started once it is known that something will run."""

    def __init__(self, study: Study, make: MakeExecutor, held: ExitStack) -> None:
        self.resources = Resources(
            gpus=study.resources.gpus_per_trial,
            cpus=study.resources.cpus_per_trial,
            device=study.resources.device,
        )
        self._make = make
        self._held = held
        self._executor: Executor | None = None
        self._start_s = 0.0

    def start(self) -> Executor:
        """Start it, in the background where it takes long; it ends with the run."""
        if self._executor is None:
            self._executor = self._held.enter_context(self._make(self.resources))
        return self._executor

    @property
    def start_s(self) -> float:
        """Seconds that starting took; 0 where nothing was started."""
        return 0.0 if self._executor is None else self._executor.start_s


def _result(
    todo: Remaining,
    commits: Mapping[str, str],
    began: float,
    workers: _Workers,
    *,
    seconds: Mapping[str, float] | None = None,
    idle: bool = False,
) -> SweepResult:
    ok = sum(commits.get(trial.trial_id) == "ok" for trial in todo.plan.trials)
    return SweepResult(
        planned=todo.planned,
        finished_before=len(todo.done),
        ok=ok,
        failed=todo.planned - ok,
        wall_s=time.monotonic() - began,
        ray_start_s=workers.start_s,
        inspect_s=todo.inspect_s,
        seconds=seconds or {},
        idle=idle,
    )


def _predict(
    out: OutDir, manifest: Manifest, study: Study, listener: SweepListener
) -> Mapping[str, str]:
    """Write what every predictor says of every measured trial, now that nothing measures.

    Returns:
        Status by committed trial.
    """
    from frostline.prediction import write_predictions
    from frostline.store.sweep import Sweep

    sweep = Sweep(out, manifest)
    _, notices = write_predictions(sweep)
    if study.measure.profile_steps:  # without profiles nobody expects any
        for text in notices:
            listener.on_notice(text)
    return sweep.commits
