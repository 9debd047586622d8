"""Resuming a sweep: what is left to do on an output directory, the plan minus the commits.

In: the study, OUT with its manifest, and what is committed there. Out: `Remaining`, and notices for
the user: models that are inspected again and why, trials that the study no longer contains,
versions that have changed. A model is inspected only when its facts from an earlier run are missing
or no longer hold.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from frostline.errors import StudyError
from frostline.facts.model_facts import ModelFacts, facts_path, parse_facts
from frostline.facts.provenance import outdated
from frostline.listing import listed
from frostline.measure.inspect_client import refuse_impossible_variants
from frostline.measure.messages import Failed
from frostline.noise import control_noise
from frostline.plan.trials import TrialPlan, plan_trials
from frostline.results.outcome import LEASE_LOST, Beside
from frostline.schedule.listener import SweepListener
from frostline.schedule.slow_anchors import Group, group_of
from frostline.store.manifest import Manifest, RunRecord
from frostline.store.outdir import OutDir
from frostline.study.study import Study
from frostline.trial import Trial
from frostline.variant import variant_key

Inspect = Callable[[Study, Path], Mapping[str, ModelFacts | Failed]]
_LISTED = 8
_MEASURING = ("frostline", "tensorflow", "keras", "python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """One committed trial, as far as planning and the noise floor are concerned."""

    trial_id: str
    model: str
    policy: str
    status: str
    error_type: str | None
    variant: str | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    baseline_step_ns: int | None = None
    device_kind: str | None = None

    @property
    def model_key(self) -> str:
        """The name of its model, or of its model's variant, as a study's models are called."""
        return variant_key(self.model, self.variant)


def committed_trials(out: OutDir) -> tuple[Committed, ...]:
    """Every committed trial of an OUT, in the order of the ids.

    Raises:
        StorageError: OUT cannot be read.
    """
    _, rows = out.trials()
    columns = [column.name for column in fields(Committed)]
    found = (Committed(**row) for row in rows.select(columns).to_pylist())
    return tuple(sorted(found, key=lambda each: each.trial_id))


def known_facts(out: OutDir, study: Study) -> tuple[dict[str, ModelFacts], tuple[str, ...]]:
    """Facts that still hold, by model, and why others do not.

    A model that never had facts, because it is new or could not be built, is in neither.

    Raises:
        StorageError: OUT cannot be read.
    """
    known: dict[str, ModelFacts] = {}
    notices = []
    setting = study.settings()[0]
    for model in study.model_specs():
        text = out.read_text(facts_path(model.name))
        if text is None:
            continue
        try:
            facts = parse_facts(text)
        except ValueError:
            why = f"{facts_path(model.name)} is damaged"
        else:
            why = outdated(facts.made_from, model, setting, seed=study.seed)
            if not why:
                known[model.name] = facts
                continue
        notices.append(f"model `{model.name}` is inspected again: {why}")
    return known, tuple(notices)


def finished(trials: Sequence[Trial], committed: Iterable[Committed]) -> frozenset[str]:
    """Ids of the planned trials that need not run again: all but those that lost their lease."""
    committed = tuple(committed)
    there = {each.trial_id for each in committed} - lost(committed)
    return frozenset(trial.trial_id for trial in trials if trial.trial_id in there)


def lost(committed: Iterable[Committed]) -> frozenset[str]:
    """Ids of the trials of which no more is committed than that they lost their lease."""
    return frozenset(each.trial_id for each in committed if each.error_type == LEASE_LOST)


def known_noise(trials: Iterable[Trial], committed: Iterable[Committed]) -> dict[Group, float]:
    """The noise floor of each model and setting over the controls that are committed."""
    measured = {each.trial_id: each for each in committed if each.speedup is not None}
    floors: dict[Group, float] = {}
    for trial in trials:
        found = measured.get(trial.trial_id)
        if trial.is_control and found is not None and found.speedup is not None:
            noise = control_noise(found.speedup, found.speedup_low, found.speedup_high)
            key = group_of(trial)
            floors[key] = max(floors.get(key, 0.0), noise)
    return floors


def known_baselines(
    trials: Iterable[Trial], committed: Iterable[Committed]
) -> dict[Group, dict[str, Beside]]:
    """The baselines that committed trials were measured beside."""
    known = {
        each.trial_id: Beside(step_ns=each.baseline_step_ns, device_kind=each.device_kind)
        for each in committed
        if each.baseline_step_ns is not None
    }
    found: dict[Group, dict[str, Beside]] = {}
    for trial in trials:
        if trial.trial_id in known:
            found.setdefault(group_of(trial), {})[trial.trial_id] = known[trial.trial_id]
    return found


def forgotten(
    trials: Iterable[Trial],
    committed: Iterable[Committed],
    *,
    unbuilt: Collection[str] = (),
    withdrawn: Collection[str] = (),
) -> str:
    """Which committed trials the study no longer asks for, in words; empty when there are none.

    Args:
        trials: everything that is asked for now.
        committed: what is there.
        unbuilt: models and variants whose trials are not known, because they could not be built
            this time; without a plain model its variants are not known either.
        withdrawn: ids of rows that this run removes: their models could not be built, and now can.
    """
    asked = {trial.trial_id for trial in trials} | set(withdrawn)
    left = [
        each
        for each in committed
        if each.trial_id not in asked
        and each.model not in unbuilt
        and each.model_key not in unbuilt
    ]
    if not left:
        return ""
    several = len({each.model_key for each in left}) > 1
    counted = Counter(
        f"{each.model_key} {each.policy}" if several else each.policy for each in left
    )
    words = [
        name if count == 1 else f"{name} ({count}x)" for name, count in sorted(counted.items())
    ]
    return (
        f"{len(left)} committed trials are no longer asked for and stay in the tables: "
        f"{listed(words, _LISTED, 'policies')}"
    )


def other_versions(manifest: Manifest, versions: Mapping[str, str], program: str) -> str:
    """What measured here before and is another version now, in words; empty when nothing is.

    Args:
        manifest: as the earlier runs left it.
        versions: of the run that begins.
        program: digest of its source.
    """
    changed = []
    for name in _MEASURING:
        now = versions.get(name)
        before = {_version(run, name) for run in manifest.runs} - {None, now}
        if before:
            changed.append(f"{name} {', '.join(sorted(map(str, before)))} (now {now})")
    sources = {run.program for run in manifest.runs if run.program is not None}
    if not changed and sources - {program}:
        changed.append("frostline with other source files")
    if not changed:
        return ""
    return (
        f"earlier runs here measured with {'; '.join(changed)}: the manifest lists what each run "
        "used, and frostline_version, tensorflow_version and keras_version in `trials` what each "
        "trial did; to measure everything with one version, choose another --out"
    )


def _version(run: RunRecord, name: str) -> str | None:
    if name == "frostline":
        return run.frostline_version
    return run.versions.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What is left of a study on an OUT.

    Attributes:
        facts: by model.
        unbuilt: why the other models could not be built.
        plan: trials of the models whose facts are known.
        done: ids of those that need not run again.
        planned: trials of the plan, with those that stand for models that could not be built.
        inspected: whether models had to be inspected.
        inspect_s: seconds spent on that.
    """

    facts: Mapping[str, ModelFacts]
    unbuilt: Mapping[str, Failed]
    plan: TrialPlan
    done: frozenset[str]
    planned: int
    inspected: bool
    inspect_s: float

    @property
    def trials_left(self) -> int:
        """How many trials of the plan are to run."""
        return len(self.plan.trials) - len(self.done)

    @property
    def nothing(self) -> bool:
        """Whether nothing is left to do, and nothing new is known."""
        return not self.trials_left and not self.unbuilt and not self.inspected


def remaining(
    study: Study,
    out: OutDir,
    earlier: tuple[Committed, ...],
    *,
    inspect: Inspect,
    listener: SweepListener,
    logs: Path,
    will_run: Callable[[], object],
) -> Remaining:
    """Plan a study, and find out which of its trials are committed.

    Args:
        study: what to run.
        out: where the results are.
        earlier: what is committed there.
        inspect: finds out the facts of the models whose facts are not known.
        listener: told what the user should know.
        logs: a folder for what builders print.
        will_run: called before a slow inspection after which something will have to run.

    Raises:
        StudyError: nothing is left to run, or every model asks for what cannot work.
        StorageError: OUT cannot be read.
    """
    facts, notices = known_facts(out, study)
    for text in notices:
        listener.on_notice(text)
    unknown = tuple(model for model in study.models if model.name not in facts)
    if unknown and not earlier:
        will_run()
    began = time.monotonic()
    unbuilt: dict[str, Failed] = {}
    found = inspect(replace(study, models=unknown), logs) if unknown else {}
    refuse_impossible_variants(found)
    for name, reply in found.items():
        if isinstance(reply, Failed):
            unbuilt[name] = reply
        else:
            facts[name] = reply
    if not facts and not earlier and all(failed.is_refusal for failed in unbuilt.values()):
        refused = (f"\n  model `{name}`: {failed.message}" for name, failed in unbuilt.items())
        raise StudyError(f"nothing of the study can run:{''.join(refused)}")
    for name, failed in unbuilt.items():
        why = "" if failed.is_refusal else f"it failed in {failed.stage}: "
        listener.on_notice(f"model `{name}` is left out, {why}{failed.message}")
    inspect_s = time.monotonic() - began
    plan = plan_trials(study, facts)
    for text in plan.notices:
        listener.on_notice(text)
    return Remaining(
        facts=facts,
        unbuilt=unbuilt,
        plan=plan,
        done=finished(plan.trials, earlier),
        planned=len(plan.trials) + len(unbuilt) * len(study.settings()),
        inspected=bool(unknown),
        inspect_s=inspect_s,
    )
