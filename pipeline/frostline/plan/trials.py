"""Trials: a freeze configuration of one model under one training setting.

In: a validated study and the facts of its models. Out: the ordered list of trials, controls and
anchors included, each configuration once. Pure: nothing here builds a model or reads a clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from frostline.digest import DIGITS, digest_of
from frostline.errors import StudyError
from frostline.facts.model_facts import ModelFacts
from frostline.plan.configurations import Configuration, configurations_of
from frostline.policies import earliest_trainable, frozen_layers, refuse_misfits
from frostline.study.study import Study
from frostline.trial import FORMER_STOPPING, ModelSpec, Setting, Trial

_CONTROLS = 3
_SLUG_LENGTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialGroup:
    """The trials of one model under one setting, which share a baseline.

    Attributes:
        model, setting: what they share.
        trials: in run order: the first control, the anchors, half of the others, the second
            control, the other half, the third control. Variants come last among the others.
    """

    model: ModelSpec
    setting: Setting
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """The trials of a study.

    Attributes:
        trials: every trial once, group after group.
        groups: the same trials by model and setting.
        notices: what was left out and why, in words.
    """

    trials: tuple[Trial, ...]
    groups: tuple[TrialGroup, ...]
    notices: tuple[str, ...]


def plan_trials(study: Study, facts: Mapping[str, ModelFacts]) -> TrialPlan:
    """Return the trials of a study; the facts of its models go by their names in the study.

    Models without facts, which could not be built, are left out, and so are the variants of such
    models. A policy that fits none of the others is then skipped with a notice: it may be meant for
    those.
    Variants are measured against the baseline of the plain model, and each has anchors of its own.
    Two policies with the same configuration are one trial, named after the policy that the study
    lists first; the other policy is an alias. The anchors are part of every plan unless the study
    leaves them out; `Trial.anchor` follows the configuration either way. The first control is also
    the anchor `trainable`.

    Raises:
        PolicyError: a policy freezes everything, or all facts are known and it fits none of them.
        StudyError: no policy gives anything to run.
    """
    notices: list[str] = []
    built = {
        spec.name for spec in study.model_specs() if {spec.name, spec.plain_name} <= facts.keys()
    }
    if not built:
        return TrialPlan(trials=(), groups=(), notices=())
    if all(model.name in built for model in study.models):
        _refuse_misfits(study, facts)
    else:
        study = replace(study, models=tuple(each for each in study.models if each.name in built))
    asked = False
    groups: list[TrialGroup] = []
    for model, variants in _with_variants(study, facts):
        known = facts[model.name]
        notices += [f"model `{model.name}`: {warning}." for warning in known.facts_warnings]
        if not known.layers:
            notices.append(
                f"model `{model.name}`: skipped, nothing in it trains; "
                "freezing is measured against a model that trains."
            )
            continue
        configurations, listed = configurations_of(study, known, notices)
        asked = asked or listed or bool(variants)
        of_variants = [
            (variant, facts[variant.name], _of_variant(study, facts[variant.name], notices))
            for variant in variants
        ]
        groups += [
            TrialGroup(
                model=as_found(model, asked_setting, setting, known),
                setting=setting,
                trials=_in_run_order(
                    partial(_trial, study, model, asked_setting, setting, known),
                    configurations,
                    [
                        partial(_trial, study, variant, asked_setting, setting, of_variant)(one)
                        for variant, of_variant, listed in of_variants
                        for one in listed
                    ],
                ),
            )
            for setting, asked_setting in settings_of(study, known, notices).items()
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


def _refuse_misfits(study: Study, facts: Mapping[str, ModelFacts]) -> None:
    """Raise where what the study freezes fits none of its models."""
    listed = {
        "freeze.policies": study.freeze.policies,
        "freeze.schedule": tuple(policy for _, policy in study.freeze.schedule),
    }
    for where, policies in listed.items():
        refuse_misfits(
            policies,
            (facts[model.name] for model in study.models),
            granularity=study.freeze.granularity,
            seed=study.seed,
            where=where,
        )


def _with_variants(
    study: Study, facts: Mapping[str, ModelFacts]
) -> Iterator[tuple[ModelSpec, list[ModelSpec]]]:
    """Each plain model with those of its variants whose facts are known and that train."""
    specs = study.model_specs()
    for model in specs:
        if model.variant is None:
            yield (
                model,
                [
                    each
                    for each in specs
                    if each.variant and each.plain_name == model.name and each.name in facts
                ],
            )


def _of_variant(study: Study, facts: ModelFacts, notices: list[str]) -> list[Configuration]:
    """A variant's configurations: everything it trains, its anchors, and what policies freeze."""
    if not facts.layers:
        notices.append(f"variant `{facts.name}`: skipped, nothing in it trains.")
        return []
    notices += [f"variant `{facts.name}`: {warning}." for warning in facts.facts_warnings]
    found, _ = configurations_of(study, facts, notices)
    whole = Configuration(frozen=frozenset(), policy="none", anchor="trainable")
    return sorted([whole, *found], key=lambda one: one.anchor is None)


def settings_of(study: Study, facts: ModelFacts, notices: list[str]) -> dict[Setting, Setting]:
    """The settings that a model runs under, each with the setting of the study that asks for it.

    A dtype policy that the builder sets stands, whatever the study says, and so do the optimizers
    that a training step of the model's own applies.
    """
    kept: dict[str, Any] = {}
    if (own := facts.own_precision) is not None:
        kept["precision"] = own
        notices.append(
            f"model `{facts.name}`: its builder sets the dtype policy {own}, which is kept; "
            f"`precision` in the results says {own}."
        )
    if facts.own_optimizers and any(each.optimizer for each in study.settings()):
        kept["optimizer"] = None
        notices.append(
            f"model `{facts.name}`: its training step applies optimizers of its own, so "
            "`optimizer` of the study is left out, and null in the results."
        )
    found: dict[Setting, Setting] = {}
    for setting in study.settings():
        found.setdefault(replace(setting, **kept), setting)
    return found


def as_found(model: ModelSpec, asked: Setting, setting: Setting, facts: ModelFacts) -> ModelSpec:
    """The model's entry with what its inspection found out about building and feeding it."""
    same = asked.precision == setting.precision
    return replace(
        model,
        called_under=None if same else asked.precision,
        inputs_alone=facts.inputs_alone,
    )


def as_measured(study: Study, model: ModelSpec, setting: Setting, facts: ModelFacts) -> ModelSpec:
    """The model's entry as a trial under one of the study's settings had it."""
    asked = settings_of(study, facts, []).get(setting, setting)
    return as_found(model, asked, setting, facts)


def _in_run_order(
    trial: Callable[..., Trial],
    configurations: Sequence[Configuration],
    of_variants: Sequence[Trial],
) -> tuple[Trial, ...]:
    """Controls, configurations of the plain model, which `trial` makes trials of, and variants."""
    baseline = [
        Configuration(
            frozen=frozenset(), policy="none", anchor="trainable" if replicate == 0 else None
        )
        for replicate in range(_CONTROLS)
    ]
    first, middle, last = (trial(control, number) for number, control in enumerate(baseline))
    # Anchors run one after the other, so that the machine drifts little between them.
    order = [one for one in configurations if one.anchor]
    at = max(len(order), (len(configurations) + len(of_variants) + 1) // 2)
    order += [one for one in configurations if not one.anchor]
    trials = [*(trial(one) for one in order), *of_variants]
    return (first, *trials[:at], middle, *trials[at:], last)


def _trial(
    study: Study,
    model: ModelSpec,
    asked: Setting,
    setting: Setting,
    facts: ModelFacts,
    configuration: Configuration,
    replicate: int | None = None,
) -> Trial:
    frozen = configuration.frozen
    layers = frozen_layers(facts, frozen)
    variables = [variable for variable in facts.variables if variable.path in frozen]
    return Trial(
        trial_id=_trial_id(study, model, asked, facts, frozen, len(layers), replicate),
        study=study.name,
        model=as_found(model, asked, setting, facts),
        setting=setting,
        policy=configuration.policy,
        aliases=tuple(configuration.aliases),
        frozen_layers=layers,
        frozen_variables=tuple(variable.path for variable in variables),
        frozen_params=sum(variable.params for variable in variables),
        total_params=facts.total_params,
        earliest_trainable_layer=earliest_trainable(facts, layers),
        is_control=replicate is not None,
        replicate=replicate or 0,
        anchor=configuration.anchor,
    )


def _trial_id(
    study: Study,
    model: ModelSpec,
    setting: Setting,
    facts: ModelFacts,
    frozen: frozenset[str],
    frozen_count: int,
    replicate: int | None,
) -> str:
    """Slug and hash of what affects the result; the names of policy and study do not.

    The stopping rule of today is hashed with its name, and the former one without, so that trials
    keep the ids under which they were measured.

    The shapes of the baseline's variables are part of it, so that a trial of a builder whose code
    changed gets another id than the trial that was measured.
    """
    measure = asdict(study.measure_spec())
    del measure["keep_traces"]
    if not (measure["gradient_norms"] and replicate == 0):
        del measure["gradient_norms"]  # what only the first control records measures no other anew
    if measure["stopping"] == FORMER_STOPPING:
        del measure["stopping"]
    affecting = {
        "model": model.identity,
        "setting": asdict(setting),
        "measure": measure,
        "resources": {
            "gpus_per_trial": study.gpus,
            "cpus_per_trial": study.resources.cpus_per_trial,
            "device": study.resources.device,
        },
        "variables": sorted([variable.path, *variable.shape] for variable in facts.variables),
        "frozen": sorted(frozen),
        "is_control": replicate is not None,
        "replicate": replicate or 0,
    }
    slug = re.sub(r"[^a-z0-9]+", "-", model.name.lower()).strip("-")[:_SLUG_LENGTH].strip("-")
    return f"{slug or 'model'}-{frozen_count}of{len(facts.layers)}-{digest_of(affecting)[:DIGITS]}"
