"""The tables of a study file, each key with its type, range and default.

In: the output of the TOML parser. Out: frozen pydantic models. Refuses unknown keys, values out of
range and policies that cannot be parsed. Rules that concern several keys at once are in
`frostline.study.check`.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StringConstraints,
    model_validator,
)

from frostline.billing.run import MOST_EPOCHS, MOST_EXAMPLES, MOST_PRICE, MOST_WATTS, Run
from frostline.errors import PolicyError
from frostline.optimizers import spelled, taken_apart
from frostline.policies import Granularity, Policy, parse
from frostline.published import Published
from frostline.trial import AUTO, Gpus, Jit, ModelSpec, Strategy
from frostline.variant import Lora, Quantize, Remat, RematMode, Variant, variant_key

MIN_PAIRS = 3
"""The fewest pairs whose interval says something: from the least to the largest of 3 covers 75%."""


def _jit(value: object) -> Jit:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value == "auto":
        return "auto"
    raise ValueError('must be true, false (both without quotes) or "auto"')


def _gpus(value: object) -> Gpus:
    if value == AUTO:
        return AUTO
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_GPUS:
        return value
    raise ValueError(f'must be a whole number from 0 to {_MOST_GPUS}, or "{AUTO}"')


def _policy(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        _parsed(value)
        return value.strip()
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        _parsed(value)
        return tuple(name.strip() for name in value)
    raise ValueError("must be a policy in quotes, or a list of names of layers or variables")


def _parsed(policy: Policy) -> None:
    try:
        parse(policy)
    except PolicyError as error:  # pydantic collects value errors only
        raise ValueError(str(error)) from None


def _optimizer(value: object) -> str:
    if isinstance(value, str):
        return spelled(*taken_apart(value))
    if not isinstance(value, dict):  # pydantic collects value errors only
        raise ValueError(  # noqa: TRY004
            'must be an optimizer\'s name in quotes, or a table: { name = "adamw", clipnorm = 1.0 }'
        )
    name = value.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ValueError('needs the optimizer\'s name: { name = "adamw", ... }')
    arguments = {key: given for key, given in value.items() if key != "name"}
    for key, given in arguments.items():
        if not isinstance(given, bool | int | float | str) or given in (math.inf, -math.inf):
            raise ValueError(f"`{key}` must be a finite number, true, false or text")
    text = spelled(name.strip(), arguments)
    taken_apart(text)
    return text


def _json(kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(kwargs, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"must hold strings, finite numbers, booleans, lists and tables only ({error})"
        ) from None
    return kwargs


def _ascending(
    schedule: tuple[tuple[int, str | tuple[str, ...]], ...],
) -> tuple[tuple[int, str | tuple[str, ...]], ...]:
    epochs = [epoch for epoch, _ in schedule]
    if epochs and (epochs[0] != 1 or sorted(set(epochs)) != epochs):
        raise ValueError(
            'has the epochs in ascending order, counted from 1: [[1, "none"], [4, "prefix:8"]]'
        )
    return schedule


def _plain(name: str) -> str:
    if not re.fullmatch(r"\w[\w .+-]*", name):  # it becomes part of file names
        raise ValueError("use letters, digits, spaces and `_.+-` only, a letter or digit first")
    if len(name.encode()) > _MOST_NAME_BYTES:
        raise ValueError(f"use {_MOST_NAME_BYTES} bytes at most; a letter may take up to four")
    return name


_MOST_NAME_BYTES = 200  # a file's name may have 255
_MOST_GPUS = 64
_MOST_RANK = 65_536
Text = Annotated[str, StringConstraints(strict=True, min_length=1, strip_whitespace=True)]
Whole = Annotated[int, Field(strict=True)]
_Policy = Annotated[str | tuple[str, ...], PlainValidator(_policy)]
_Optimizer = Annotated[str, PlainValidator(_optimizer)]
_Stage = tuple[Annotated[Whole, Field(ge=1, le=MOST_EPOCHS)], _Policy]
_Jit = Annotated[Jit, BeforeValidator(_jit)]
_Axis = Field(min_length=1)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoraTable(_Table):
    """`lora` of a variant: Keras's `enable_lora`. Without `layers`, on all that can carry it."""

    rank: Annotated[Whole, Field(ge=1, le=_MOST_RANK)]
    alpha: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None
    layers: tuple[Text, ...] = ()


class RematTable(_Table):
    """`remat` of a variant: the model is built inside `keras.RematScope`."""

    mode: RematMode
    layers: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _layers_go_with_their_mode(self) -> Self:
        if bool(self.layers) != (self.mode == "list_of_layers"):
            raise ValueError(
                'list `layers`, by their Keras names, with mode = "list_of_layers", and with no '
                "other mode"
            )
        return self


class VariantTable(_Table):
    """`[[model.variant]]`: the model with LoRA, quantised, or recomputing activations."""

    name: Annotated[Text, StringConstraints(max_length=100), AfterValidator(_plain)]
    lora: LoraTable | None = None
    quantize: Quantize | None = None
    remat: RematTable | None = None

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if self.lora is None and self.quantize is None and self.remat is None:
            raise ValueError(
                "says nothing that differs from the plain model; give `lora`, `quantize` or `remat`"
            )
        return self

    def spec(self) -> Variant:
        """Return the entry as planning and measuring take it."""
        return Variant(
            name=self.name,
            lora=None if self.lora is None else Lora(**self.lora.model_dump()),
            quantize=self.quantize,
            remat=None if self.remat is None else Remat(**self.remat.model_dump()),
        )


class ModelTable(_Table):
    """`[[model]]`: how to obtain a model."""

    name: Annotated[Text, StringConstraints(max_length=100), AfterValidator(_plain)]
    builder: Text
    kwargs: Annotated[dict[str, Any], AfterValidator(_json)] = Field(default_factory=dict)
    loss: Text | None = None
    metrics: tuple[Text, ...] = ()
    data: Text | None = None
    variant: tuple[VariantTable, ...] = ()

    def spec(self, search_path: tuple[str, ...]) -> ModelSpec:
        """Return the entry as planning and measuring take it."""
        return ModelSpec(
            name=self.name,
            builder=self.builder,
            kwargs_json=json.dumps(self.kwargs, sort_keys=True, separators=(",", ":")),
            loss=self.loss,
            metrics=self.metrics,
            data=self.data,
            search_path=search_path,
        )

    def with_variants(self) -> tuple[ModelTable, ...]:
        """Return the plain model's entry, and one for each of its variants."""
        return (
            self,
            *(
                ModelVariant.model_construct(
                    None,
                    **{
                        **dict(self),
                        "name": variant_key(self.name, variant.name),
                        "variant": (),
                        "plain": self,
                        "chosen": variant,
                    },
                )
                for variant in self.variant
            ),
        )


class ModelVariant(ModelTable):
    """A variant of a model as an entry of its own; never part of a file.

    Attributes:
        plain: the model's entry.
        chosen: the variant.
    """

    plain: ModelTable
    chosen: VariantTable

    def spec(self, search_path: tuple[str, ...]) -> ModelSpec:
        """Return the entry as planning and measuring take it."""
        return self.plain.spec(search_path).varied(self.chosen.spec())


class TrainTable(_Table):
    """`[train]`: each list is an axis. Without `optimizer`, the compiled model's own is used."""

    batch_size: Annotated[tuple[Annotated[Whole, Field(ge=1, le=10**9)], ...], _Axis] = (32,)
    optimizer: Annotated[tuple[_Optimizer, ...], _Axis] | None = None
    precision: Annotated[
        tuple[Literal["float32", "mixed_float16", "mixed_bfloat16"], ...], _Axis
    ] = ("float32",)
    jit_compile: Annotated[tuple[_Jit, ...], _Axis] = ("auto",)
    strategy: Annotated[tuple[Strategy, ...], _Axis] = ("single",)


class FreezeTable(_Table):
    """`[freeze]`: what to freeze."""

    policies: Annotated[tuple[_Policy, ...], Field(min_length=1)]
    granularity: Granularity = "layer"
    anchors: StrictBool = True
    schedule: Annotated[tuple[_Stage, ...], AfterValidator(_ascending)] = ()


class MeasureTable(_Table):
    """`[measure]`: how long and how exactly to measure."""

    target_ci: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.02
    min_pairs: Annotated[Whole, Field(ge=MIN_PAIRS, le=10_000)] = 10
    max_pairs: Annotated[Whole, Field(ge=MIN_PAIRS, le=10_000)] = 60
    profile_steps: Annotated[Whole, Field(ge=0, le=1_000)] = 5
    keep_traces: Literal["all", "anchors", "none"] = "all"
    gradient_norms: StrictBool = False


class ResourcesTable(_Table):
    """`[resources]`: what one trial holds, and how often and how long it may run."""

    gpus_per_trial: Annotated[Gpus, PlainValidator(_gpus)] = AUTO
    cpus_per_trial: Annotated[Whole, Field(ge=1, le=1_024)] = 2
    max_attempts: Annotated[Whole, Field(ge=1, le=100)] = 3
    trial_timeout_s: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = 1800.0
    device: Text | None = None


class RunTable(_Table):
    """`[run]`: the training run whose hours, energy and money are told. It changes no trial."""

    examples: Annotated[Whole, Field(ge=1, le=MOST_EXAMPLES)] | None = None
    epochs: Annotated[Whole, Field(ge=1, le=MOST_EPOCHS)] | None = None
    price_per_hour: Annotated[float, Field(strict=True, gt=0, le=MOST_PRICE)] | None = None
    watts: Annotated[float, Field(strict=True, gt=0, le=MOST_WATTS)] | None = None

    def spec(self) -> Run:
        """Return the table as bills take it."""
        return Run(**self.model_dump())


class PublishedTable(_Table):
    """`[[published]]`: a published speedup, shown beside the measured one. It changes no trial."""

    policy: Text
    speedup: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
    source: Text
    differs: Text
    model: Text | None = None
    variant: Text | None = None
    strategy: Strategy | None = None

    def spec(self) -> Published:
        """Return the entry as analysis takes it."""
        return Published(**self.model_dump())


class StudyFile(_Table):
    """The whole file, table by table."""

    name: Annotated[Text, StringConstraints(max_length=200)]
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0
    model: Annotated[tuple[ModelTable, ...], Field(min_length=1)]
    train: TrainTable = TrainTable()
    freeze: FreezeTable
    measure: MeasureTable = MeasureTable()
    resources: ResourcesTable = ResourcesTable()
    run: RunTable = RunTable()
    published: tuple[PublishedTable, ...] = ()
