"""What is left to do of a study on an output directory: the plan minus the commits.

In: the study, OUT and what is committed there. Out: `Remaining`. Models are inspected only where
what is known of them from before does not hold any more; whoever listens is told which and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Failed
from frostline.plan.trials import TrialPlan, plan_trials
from frostline.schedule.listener import SweepListener
from frostline.store.outdir import OutDir
from frostline.study.study import Study
from frostline.sweep.earlier import Committed, finished, known_facts

Inspect = Callable[[Study, Path], Mapping[str, ModelFacts | Failed]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What a study comes to on an OUT.

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
    def trials(self) -> int:
        """Trials to run."""
        return len(self.plan.trials) - len(self.done)

    @property
    def nothing(self) -> bool:
        """Whether nothing is left to do, and nothing new is known."""
        return not self.trials and not self.unbuilt and not self.inspected


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
    """Plan a study, and see what of it is there.

    Args:
        study: what is asked for.
        out: where.
        earlier: what is committed there.
        inspect: asked for the facts of models of which none are known.
        listener: told what the user should know.
        logs: a folder for what builders print.
        will_run: called before a slow inspection after which something will have to run.

    Raises:
        StudyError: nothing is left to run.
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
    for name, reply in (inspect(replace(study, models=unknown), logs) if unknown else {}).items():
        if isinstance(reply, Failed):
            unbuilt[name] = reply
            listener.on_notice(
                f"model `{name}` is left out, it failed in {reply.stage}: {reply.message}"
            )
        else:
            facts[name] = reply
    inspect_s = time.monotonic() - began
    plan = _planned(study, facts)
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


def _planned(study: Study, facts: Mapping[str, ModelFacts]) -> TrialPlan:
    """The plan of the models whose facts are known."""
    if not facts:
        return TrialPlan(trials=(), groups=(), notices=())
    known = tuple(model for model in study.models if model.name in facts)
    return plan_trials(replace(study, models=known), facts)
