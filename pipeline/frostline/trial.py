"""The values that every room shares: a model, a training setting, how to measure, and a trial."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from typing import Final, Literal

from frostline.variant import Variant, variant_key

Keep = Literal["all", "anchors", "none"]
Jit = Literal["auto", "true", "false"]
Strategy = Literal["single", "mirrored"]
Gpus = int | Literal["auto"]
AUTO: Final = "auto"

StoppingRule = Literal["half_width", "relative_half_width", "exact_relative_half_width"]
"""Which interval a speedup has and what of it is compared with `target_ci`: the half-width of the
bootstrap interval as it is, the same as a share of the speedup, or the half-width of the exact
interval as a share of the speedup."""

STOPPING: Final = "exact_relative_half_width"
"""The rule of an OUT that begins now."""

BOOTSTRAPPED: Final = "relative_half_width"
"""The rule of an OUT that was begun before intervals were exact."""

FORMER_STOPPING: Final = "half_width"
"""The rule of an OUT whose manifest names none: it was begun before there was another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One point of the study's training axes.

    Attributes:
        batch_size: examples per step.
        optimizer: Keras identifier (`adam`), also with arguments (`adamw(weight_decay=0.01)`), or
            None for the compiled model's own.
        precision: Keras dtype policy (`float32`, `mixed_float16`, `mixed_bfloat16`).
        jit_compile: `true`, `false`, or `auto` = what Keras itself would do.
        strategy: `single` or `mirrored`.
    """

    batch_size: int
    optimizer: str | None
    precision: str
    jit_compile: Jit
    strategy: Strategy

    def words(self, axes: Collection[str] | None = None) -> str:
        """The setting in words: `batch size 16, adam, float32, jit_compile auto`.

        The compiled model's own optimizer and the strategy `single` go without saying.

        Args:
            axes: only these; None: all.
        """
        said = {
            "batch_size": f"batch size {self.batch_size}",
            "optimizer": self.optimizer,
            "precision": self.precision,
            "jit_compile": f"jit_compile {self.jit_compile}",
            "strategy": None if self.strategy == "single" else self.strategy,
        }
        told = AXES if axes is None else axes
        return ", ".join(word for axis, word in said.items() if word and axis in told)


AXES = tuple(axis.name for axis in fields(Setting))
"""What a training setting consists of; also columns of `trials`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """How to obtain a model: everything of a study's `[[model]]` entry.

    Attributes:
        name: the model's name in the study; a variant's is `model@variant`.
        builder: `module:callable`.
        kwargs_json: the builder's keyword arguments as canonical JSON (hashable, exact).
        loss: Keras identifier, or None for the default (docs/studies.md).
        metrics: Keras identifiers.
        data: `module:callable` giving the dataset, or None for synthetic batches.
        search_path: folders put first on the module path (the study file's folder).
        known_as: the builder's former name, where trials were measured under it.
        called_under: the dtype policy that stands when the builder is called, where it sets
            another one itself; None: that of the setting.
        inputs_alone: synthetic batches have no targets, because the model's own `train_step` takes
            none.
        variant: how it differs from the plain model; None for the plain model.
    """

    name: str
    builder: str
    kwargs_json: str
    loss: str | None
    metrics: tuple[str, ...]
    data: str | None
    search_path: tuple[str, ...] = ()
    known_as: str | None = None
    called_under: str | None = None
    inputs_alone: bool = False
    variant: Variant | None = None

    @property
    def identity(self) -> dict[str, object]:
        """What identifies the model in digests; where its files lie is not part of it."""
        said = asdict(self)
        del said["search_path"], said["known_as"], said["called_under"], said["inputs_alone"]
        if self.variant is None:
            del said["variant"]  # plain models are known by what identified them before variants
        return {**said, "builder": self.known_as or self.builder}

    @property
    def plain_name(self) -> str:
        """The name of the plain model: what `name` is without the variant."""
        if self.variant is None:
            return self.name
        return self.name.removesuffix(variant_key("", self.variant.name))

    @property
    def plain(self) -> ModelSpec:
        """The plain model, whose baseline this one is measured against."""
        return replace(self, name=self.plain_name, variant=None)

    def varied(self, variant: Variant) -> ModelSpec:
        """A variant of this plain model."""
        return replace(self, name=variant_key(self.name, variant.name), variant=variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSpec:
    """How a trial is measured (`[measure]`), see docs/method.md, Measuring a speedup.

    Attributes:
        target_ci: half-width of the speedup's 95% interval at which to stop (see `stopping`).
        min_pairs, max_pairs: bounds on the number of pairs.
        profile_steps: steps in the profiled window; 0 profiles nothing.
        keep_traces: which traces stay on disk.
        seed: the study's seed.
        gradient_norms: whether the first control records gradient norms, after all else.
        stopping: which interval, and what of it is compared with `target_ci`.
    """

    target_ci: float
    min_pairs: int
    max_pairs: int
    profile_steps: int
    keep_traces: Keep
    seed: int
    gradient_norms: bool = False
    stopping: StoppingRule = STOPPING


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
    def variant(self) -> str | None:
        """The variant's name; None for the plain model."""
        return None if self.model.variant is None else self.model.variant.name

    @property
    def is_anchor(self) -> bool:
        """Whether predictions are made from it; every control has the configuration of one."""
        return self.is_control or self.anchor is not None

    @property
    def frozen_fraction(self) -> float:
        """Frozen parameters / parameters trainable in the baseline."""
        return self.frozen_params / self.total_params if self.total_params else 0.0


def keeps_trace(keep: Keep, trial: Trial) -> bool:
    """Whether the trace of a trial stays on disk, where a study says which do."""
    return keep == "all" or (keep == "anchors" and trial.anchor is not None)
