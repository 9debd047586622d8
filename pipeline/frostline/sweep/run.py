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

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from os import PathLike
from pathlib import Path

from frostline.facts.model_facts import ModelFacts, dump_facts, facts_path
from frostline.facts.provenance import program
from frostline.machine import Machine, this_machine
from frostline.measure.inspect_client import inspect_models
from frostline.measure.messages import Failed
from frostline.plan.labels import labels_of
from frostline.results.rows import planned_columns
from frostline.schedule.available_gpus import available_gpus
from frostline.schedule.chunks import chunks_of
from frostline.schedule.driver import Driver
from frostline.schedule.interrupts import interruptible
from frostline.schedule.lease_spec import LeaseSpec, limits_of
from frostline.schedule.listener import SilentListener, SweepListener
from frostline.schedule.room import refuse_too_large
from frostline.schedule.spooled import store_kept_elsewhere, store_kept_here
from frostline.scratch import scratch_folder
from frostline.store.address import Address
from frostline.store.hold import Hold
from frostline.store.manifest import Manifest
from frostline.store.outdir import STUDY, OutDir
from frostline.study.study import Study, load_study
from frostline.sweep.resolution import GpusThere, notices_of, refuse_other_machine, resolved
from frostline.sweep.result import SweepResult, result_of
from frostline.sweep.resume import (
    Committed,
    Inspect,
    Remaining,
    committed_trials,
    forgotten,
    known_baselines,
    known_noise,
    lost,
    other_versions,
    remaining,
)
from frostline.sweep.run_record import begin, is_as_it_was, versions
from frostline.sweep.unbuilt import settle_unbuilt, unbuilt_trials
from frostline.sweep.workers import MakeExecutor, Workers, on_ray
from frostline.tensorboard.experiment import write_experiment
from frostline.trial import Trial


def run_sweep(
    study: Study | str | PathLike[str],
    out: str | PathLike[str] | Address,
    *,
    address: str | None = None,
    listener: SweepListener | None = None,
    make_executor: MakeExecutor | None = None,
    inspect: Inspect | None = None,
    process_module: str = "frostline.measure.process",
    part_of_study: bool = False,
    gpus_there: GpusThere | None = None,
) -> SweepResult:
    """Run a study, or what is left of it; where nothing is, OUT stays as it is.

    Args:
        study: what to run, or the path of its file.
        out: folder or URI for the results; one of the same study is resumed.
        address: of a Ray cluster; None: an embedded Ray on this machine.
        listener: told of the progress.
        make_executor: makes the executor that runs leases; default: Ray.
        inspect: finds out the facts of models; default: builds them in a child process. Also takes
            a folder for logs, `inspect-<model>.log`.
        process_module: module of the measuring process; tests pass one with the same protocol.
        part_of_study: the study is only a part of the one in OUT, so that no notice is due about
            trials outside this part.
        gpus_there: says how many GPUs there are, where the study leaves it to that; default: those
            of this machine, or of the cluster.

    Raises:
        SweepError: OUT is another study's, or another run holds it, or has taken it over, or it was
            begun on the other kind of machine.
        StudyError: nothing is left to run.
        UsageError: a trial needs more than any machine here has.
        SweepStoppedError: results can no longer be stored, or Ray cannot start or is gone.
        KeyboardInterrupt: SIGINT or SIGTERM; leases are gone, and running again resumes. A second
            signal waits for nobody, a third ends the process (`schedule.interrupts`).
    """
    study = study if isinstance(study, Study) else load_study(study)
    began = time.monotonic()
    heard = listener or SilentListener()
    with interruptible() as take_signals:
        opened = OutDir.open(out, create=True)
        with opened.lock() as hold, scratch_folder(prefix="frostline-run-") as logs:
            there = cache(gpus_there or partial(available_gpus, address))
            here = this_machine() if address is None and make_executor is None else None
            run = _Run(study, opened, heard, hold=hold, logs=logs, gpus_there=there, here=here)
            run.refuse_foreign()
            run.tidy_up()
            earlier = run.committed()
            with Workers(run.study, make_executor or on_ray(address, heard)) as workers:
                todo = run.remaining(earlier, inspect or inspect_study, will_run=workers.start)
                if not part_of_study:
                    _tell(heard, run.forgotten(todo, earlier))
                if run.is_done(todo):
                    heard.on_planned({}, len(todo.done))
                    statuses = {each.trial_id: each.status for each in earlier}
                    return result_of(todo, statuses, began, workers, idle=True)
                manifest = run.begin(todo, earlier, of_part=part_of_study)
                seconds = run.run_trials(todo, earlier, workers, take_signals, process_module)
            hold.check()
            commits = run.predict(manifest)
            opened.end_run(manifest)
    return result_of(todo, commits, began, workers, seconds=seconds)


def inspect_study(study: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
    """Facts of every model of a study, each built once in a child process."""
    return inspect_models(
        study.model_specs(),
        study.settings()[0],
        seed=study.seed,
        deadline_s=study.resources.trial_timeout_s,
        log_folder=logs,
    )


class _Run:
    """The steps of a run on an output directory whose lock is held, in their order."""

    def __init__(
        self,
        study: Study,
        out: OutDir,
        heard: SweepListener,
        *,
        hold: Hold,
        logs: Path,
        gpus_there: GpusThere,
        here: Machine | None,
    ) -> None:
        self._out = out
        self._hold = hold
        self._heard = heard
        self._logs = logs
        self._before = out.manifest()
        renamed = self._before is not None and self._before.begun_as_pipeline
        named = replace(study, former_names=True) if renamed else study
        kept = None if self._before is None else out.read_text(STUDY)
        self._resolution = resolved(named, self._before, kept, gpus_there)
        self._gpus_there = gpus_there
        self._here = here
        self._limits = limits_of(study)

    @property
    def study(self) -> Study:
        """The study with what this OUT has decided."""
        return self._resolution.study

    def refuse_foreign(self) -> None:
        """Raise where OUT is not this study's to write to, before anything slow is started."""
        self._out.refuse_foreign(self._before, self.study.name)

    def tidy_up(self) -> None:
        """Put in order what killed runs have left."""
        self._out.remove_staging()
        store_kept_here(self._out, self._heard)

    def committed(self) -> tuple[Committed, ...]:
        """What earlier runs have finished."""
        return committed_trials(self._out) if self._before is not None else ()

    def remaining(
        self, earlier: tuple[Committed, ...], inspect: Inspect, *, will_run: Callable[[], object]
    ) -> Remaining:
        """The plan minus the commits; builds the models whose facts are not known."""
        return remaining(
            self.study,
            self._out,
            earlier,
            inspect=inspect,
            listener=self._heard,
            logs=self._logs,
            will_run=will_run,
        )

    def forgotten(self, todo: Remaining, earlier: tuple[Committed, ...]) -> str:
        """Which committed trials the study no longer asks for, in words."""
        withdrawn = [
            trial.trial_id
            for model in self.study.model_specs()
            if model.name not in todo.unbuilt
            for trial in unbuilt_trials(self.study, model)
        ]
        return forgotten(todo.plan.trials, earlier, unbuilt=todo.unbuilt, withdrawn=withdrawn)

    def is_done(self, todo: Remaining) -> bool:
        """Whether OUT is already what this run would make of it."""
        return self._before is not None and todo.nothing and is_as_it_was(self._before, self.study)

    def begin(self, todo: Remaining, earlier: tuple[Committed, ...], *, of_part: bool) -> Manifest:
        """Enter the run into the manifest, and write what is known before anything is measured.

        Raises:
            SweepError: trials are left, and this is the other kind of machine.
            UsageError: a model that is left does not fit into the memory of its device.
        """
        if todo.trials_left:
            if self._here is not None:
                gpus = self.study.gpus
                refuse_too_large(todo.plan, todo.facts, self._here, gpus=gpus)
            refuse_other_machine(self._resolution, self._out.files.shown, self._gpus_there)
            for text in notices_of(self._resolution, self._gpus_there):
                self._heard.on_notice(text)
        if self._before is not None and earlier and todo.trials_left:
            _tell(self._heard, other_versions(self._before, versions(), program()))
        found = self._resolution.gpus_found
        manifest = begin(self._out, self.study, todo.planned, gpus_found=found, of_part=of_part)
        for name, known in todo.facts.items():
            self._out.write_text(facts_path(name), dump_facts(known))
        settle_unbuilt(self._out, self.study, todo.unbuilt, self._logs)
        planned = map(planned_columns, todo.plan.trials)
        write_experiment(self._out, self.study.name, planned)
        self._heard.on_planned(labels_of(todo.plan, todo.done), len(todo.done))
        return manifest

    def run_trials(
        self,
        todo: Remaining,
        earlier: tuple[Committed, ...],
        workers: Workers,
        take_signals: Callable[[], None],
        process_module: str,
    ) -> Mapping[str, float]:
        """Run the trials that are left; seconds by phase, as `SweepResult.seconds`."""
        if not todo.trials_left:
            return {}
        executor = workers.start()
        slots = executor.slots  # waits until it has started
        take_signals()

        def spec_of(trials: tuple[Trial, ...]) -> LeaseSpec:
            return LeaseSpec(
                out=self._out.at_nodes,
                trials=trials,
                facts=todo.facts[trials[0].model.plain_name],
                variants={
                    name: todo.facts[name]
                    for name in {trial.model.name for trial in trials if trial.variant}
                },
                measure=self.study.measure_spec(),
                resources=workers.resources,
                limits=self._limits,
                process_module=process_module,
            )

        driver = Driver(
            executor=executor,
            store=self._out,
            spec_of=spec_of,
            limits=self._limits,
            listener=self._heard,
            still_ours=self._hold.check,
            noise=known_noise(todo.plan.trials, earlier),
            beside=known_baselines(todo.plan.trials, earlier),
            lost_before=lost(earlier),
        )
        done = store_kept_elsewhere(executor, self._out, todo.plan.trials, todo.done, self._heard)
        most = self._limits.trials_per_process
        driver.run(chunks_of(todo.plan.groups, done=done, slots=slots, most=most))
        return dict(driver.seconds)

    def predict(self, manifest: Manifest) -> Mapping[str, str]:
        """Write what every predictor says of every measured trial, now that nothing measures.

        Returns:
            Status by committed trial.
        """
        from frostline.prediction import write_predictions
        from frostline.store.sweep import Sweep

        sweep = Sweep(self._out, manifest)
        _, notices = write_predictions(sweep)
        if self.study.measure.profile_steps:  # without profiles no predictions are expected
            for text in notices:
                self._heard.on_notice(text)
        return sweep.commits


def _tell(listener: SweepListener, text: str) -> None:
    if text:
        listener.on_notice(text)
