"""An arm with all that it takes: the model built, fed, and given its variables; nothing frozen yet.

In: a model's entry in the study, a setting and a strategy. Out: `FedArm`. The one way from an entry
to an arm, so that a baseline, a trial, a step that is traced again and one that runs alone are
steps of the same model on the same batches. Refuses (TrialError) what `build` and `feed` refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import tensorflow as tf

from frostline.measure.arm import Arm
from frostline.measure.batches import Feed, feed
from frostline.measure.build import build
from frostline.measure.learning_rate import slow_down
from frostline.measure.precision import refuse_other_precision
from frostline.trial import ModelSpec, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class FedArm:
    """An arm whose layers can be named and frozen.

    Attributes:
        arm: its model has its variables; no step has run.
        feed: what was found out about its batches, which go to the arm alone; `known` for the next
            arm of the same model.
        warnings: of building, feeding and making a variant.
    """

    arm: Arm
    feed: Feed
    warnings: tuple[str, ...]


def fed_arm(
    spec: ModelSpec,
    setting: Setting,
    strategy: tf.distribute.Strategy,
    *,
    seed: int,
    known: Feed | None = None,
    counted: bool = True,
    slowed: bool = False,
) -> FedArm:
    """Build a model and feed it; call it outside of any strategy's scope.

    Args:
        spec: the model's entry in the study.
        setting: to build it under.
        strategy: where it is built and its batches go.
        seed: of initial weights and synthetic batches.
        known: an earlier feed of the same, as `feed` takes it.
        counted: whether to find out a dataset's cycle, as `feed` takes it.
        slowed: lower the learning rate, since synthetic batches made the model diverge.

    Raises:
        TrialError: it cannot be built, fed, or made the variant.
    """
    model, warnings = build(spec, setting, seed=seed, strategy=strategy)
    called_under = spec.called_under or setting.precision
    refuse_other_precision(model, called_under=called_under, wanted=setting.precision)
    if slowed and (slower := slow_down(model)) is not None:
        warnings = (*warnings, slower)
    with strategy.scope():
        found = feed(model, spec, setting, strategy, seed=seed, known=known, counted=counted)
        arm = Arm(model, found.batches, strategy, cycle=found.cycle, variant=spec.variant)
        left_whole = arm.state.build_variables()
    return FedArm(
        arm=arm,
        feed=replace(found, batches=iter(())),
        warnings=(*warnings, *found.warnings, *left_whole),
    )
