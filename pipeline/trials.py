"""Trials: a freeze configuration of one model under one training setting.

In: a validated study and the facts of its models. Out: the ordered list of trials, controls and
anchors included, each configuration once. Pure: nothing here builds a model or reads a clock.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.configurations import Configuration, configurations_of, refuse_misfits
from pipeline.errors import StudyError
from pipeline.model_facts import ModelFacts
from pipeline.policies import frozen_layers

if TYPE_CHECKING:
    from pipeline.study import Study

_CONTROLS = 3
_SLUG_LENGTH = 40

Jit = Literal["auto", "true", "false"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One point of the study's training axes.

    Attributes:
        batch_size: examples per step.
        optimizer: Keras identifier (`adam`), or None for the compiled model's own.
        precision: Keras dtype policy (`float32`, `mixed_float16`, `mixed_bfloat16`).
        jit_compile: `true`, `false`, or `auto` = what Keras itself would do.
        strategy: `single` or `mirrored`.
    """

    batch_size: int
    optimizer: str | None
    precision: str
    jit_compile: Jit
    strategy: Literal["single", "mirrored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """How to obtain a model: everything of a study's `[[model]]` entry.

    Attributes:
        name: the model's name in the study.
        builder: `module:callable`.
        kwargs_json: the builder's keyword arguments as canonical JSON (hashable, exact).
        loss: Keras identifier, or None for the default of the design.
        metrics: Keras identifiers.
        data: `module:callable` giving the dataset, or None for synthetic batches.
        search_path: folders put first on the module path (the study file's folder).
    """

    name: str
    builder: str
    kwargs_json: str
    loss: str | None
    metrics: tuple[str, ...]
    data: str | None
    search_path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSpec:
    """How a trial is measured (`[measure]`), see Method 1-5 of the guide.

    Attributes:
        target_ci: half-width of the speedup's 95% interval at which to stop.
        min_pairs, max_pairs: bounds on the number of pairs.
        profile_steps: steps in the profiled window; 0 profiles nothing.
        keep_traces: which traces stay on disk.
        seed: the study's seed.
        gradient_norms: whether the first control records gradient norms, after all else.
    """

    target_ci: float
    min_pairs: int
    max_pairs: int
    profile_steps: int
    keep_traces: Literal["all", "anchors", "none"]
    seed: int
    gradient_norms: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One freeze configuration of one model under one setting, ready to run.

    Attributes:
        trial_id: readable slug and a hash of all that affects the result; a file name.
        study: the study's name.
        model: how to obtain the model.
        setting: the training setting.
        policy: the expanded policy that first gave this configuration (`prefix:8`).
        aliases: other expanded policies of the study that give the same configuration.
        frozen_layers: layers with nothing left to train, in layer order.
        frozen_variables: paths of the frozen variables, in layer order.
        frozen_params, total_params: elements frozen / trainable in the baseline.
        earliest_trainable_layer: index of the first layer that still trains.
        is_control: True for the independently built copies of the baseline.
        replicate: 0, 1, 2 among controls; 0 otherwise.
        anchor: `trainable`, `pruned`, `pass_through` or `extra:<n>`; None for other trials.
    """

    trial_id: str
    study: str
    model: ModelSpec
    setting: Setting
    policy: str
    aliases: tuple[str, ...]
    frozen_layers: tuple[str, ...]
    frozen_variables: tuple[str, ...]
    frozen_params: int
    total_params: int
    earliest_trainable_layer: int
    is_control: bool
    replicate: int
    anchor: str | None

    @property
    def frozen_fraction(self) -> float:
        """Frozen parameters / parameters trainable in the baseline."""
        return self.frozen_params / self.total_params if self.total_params else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The trials of one model under one setting, which share a baseline.

    Attributes:
        model, setting: what they share.
        trials: in run order: control 0, the anchors, half of the others, control 1, the other
            half, control 2.
    """

    model: ModelSpec
    setting: Setting
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """What a study comes to.

    Attributes:
        trials: every trial once, group after group.
        groups: the same trials by model and setting.
        notices: what was left out and why, in words.
    """

    trials: tuple[Trial, ...]
    groups: tuple[Group, ...]
    notices: tuple[str, ...]


def plan_trials(study: Study, facts: Mapping[str, ModelFacts]) -> TrialPlan:
    """Return the trials of a study.

    Two policies with the same configuration are one trial, named after the one that stands first
    in the study; the other is an alias. The anchors are part of every plan unless the study leaves
    them out; `Trial.anchor` follows the configuration either way. Control 0 is also the anchor
    `trainable`.

    Args:
        study: the study.
        facts: facts of every model of the study, by the model's name in the study.

    Raises:
        PolicyError: a policy freezes everything, or fits none of the models.
        StudyError: no policy gives anything to run.
    """
    notices: list[str] = []
    refuse_misfits(study, facts)
    asked = False
    groups: list[Group] = []
    for model in study.model_specs():
        known = facts[model.name]
        if not known.layers:
            notices.append(
                f"model `{model.name}`: skipped, nothing in it trains; "
                "freezing is measured against a model that trains."
            )
            continue
        configurations, listed = configurations_of(study, known, notices)
        asked = asked or listed
        groups += [
            Group(
                model=model,
                setting=setting,
                trials=_in_run_order(study, model, setting, known, configurations),
            )
            for setting in study.settings()
        ]
    if not groups or not asked:
        raise StudyError(
            "Nothing is left to run: no policy of the study freezes anything in any of its models."
            + "".join(f"\n  {notice}" for notice in notices)
            + "\nList policies that match, or `anchors`, under [freeze]."
        )
    return TrialPlan(
        trials=tuple(trial for group in groups for trial in group.trials),
        groups=tuple(groups),
        notices=tuple(notices),
    )


def _in_run_order(
    study: Study,
    model: ModelSpec,
    setting: Setting,
    facts: ModelFacts,
    configurations: Sequence[Configuration],
) -> tuple[Trial, ...]:
    def trial(configuration: Configuration, replicate: int | None = None) -> Trial:
        return _trial(study, model, setting, facts, configuration, replicate)

    baseline = [
        Configuration(
            frozen=frozenset(), policy="none", anchor="trainable" if replicate == 0 else None
        )
        for replicate in range(_CONTROLS)
    ]
    first, middle, last = (trial(control, number) for number, control in enumerate(baseline))
    # Anchors stand next to each other, so that what drifts drifts little between them.
    order = [one for one in configurations if one.anchor]
    at = max(len(order), (len(configurations) + 1) // 2)
    order += [one for one in configurations if not one.anchor]
    trials = [trial(one) for one in order]
    return (first, *trials[:at], middle, *trials[at:], last)


def _trial(
    study: Study,
    model: ModelSpec,
    setting: Setting,
    facts: ModelFacts,
    configuration: Configuration,
    replicate: int | None,
) -> Trial:
    frozen = configuration.frozen
    layers = frozen_layers(facts, frozen)
    return Trial(
        trial_id=_trial_id(study, model, setting, facts, frozen, len(layers), replicate),
        study=study.name,
        model=model,
        setting=setting,
        policy=configuration.policy,
        aliases=tuple(configuration.aliases),
        frozen_layers=layers,
        frozen_variables=tuple(
            variable.path for variable in facts.variables if variable.path in frozen
        ),
        frozen_params=sum(
            variable.params for variable in facts.variables if variable.path in frozen
        ),
        total_params=facts.total_params,
        earliest_trainable_layer=_earliest(facts, frozenset(layers)),
        is_control=replicate is not None,
        replicate=replicate or 0,
        anchor=configuration.anchor,
    )


def _earliest(facts: ModelFacts, frozen: frozenset[str]) -> int:
    training = facts.by_name.keys() - frozen
    return min(facts.by_name[name].index for name in training)


def _trial_id(
    study: Study,
    model: ModelSpec,
    setting: Setting,
    facts: ModelFacts,
    frozen: frozenset[str],
    frozen_count: int,
    replicate: int | None,
) -> str:
    """Slug and hash of what affects the result; neither the policy's nor the study's name does.

    The shapes of the baseline's variables are part of it, so that a builder whose code changed
    does not pass for the one that was measured.
    """
    spec = asdict(model)
    del spec["search_path"]
    measure = asdict(study.measure_spec())
    del measure["keep_traces"]
    if not (measure["gradient_norms"] and replicate == 0):
        del measure["gradient_norms"]  # what only the first control records measures no other anew
    affecting = {
        "model": spec,
        "setting": asdict(setting),
        "measure": measure,
        "resources": {
            "gpus_per_trial": study.resources.gpus_per_trial,
            "cpus_per_trial": study.resources.cpus_per_trial,
            "device": study.resources.device,
        },
        "variables": sorted([variable.path, *variable.shape] for variable in facts.variables),
        "frozen": sorted(frozen),
        "is_control": replicate is not None,
        "replicate": replicate or 0,
    }
    canonical = json.dumps(affecting, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
    slug = re.sub(r"[^a-z0-9]+", "-", model.name.lower()).strip("-")[:_SLUG_LENGTH].strip("-")
    return f"{slug or 'model'}-{frozen_count}of{len(facts.layers)}-{digest}"
