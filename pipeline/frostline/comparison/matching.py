"""Which models and settings of two sweeps belong together, and what tells them apart.

In: the groups of both sweeps, and what their studies and facts say of each model. Out: pairs of
groups, those that stand on one side only, and in words what makes the two of a pair different work.
A pair has the same model and variant by name, and the same setting and kind of device where both
have it. What is left is paired where a model has one group left on either side. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from frostline.analyse import TrialGroup
from frostline.facts.model_facts import ModelFacts
from frostline.trial import ModelSpec
from frostline.words import axes_apart, counted, or_not_known


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """What a sweep knows of a model beside its trials; None where it is not known."""

    spec: ModelSpec | None
    facts: ModelFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The groups of both sweeps: those that belong together, and the others."""

    pairs: tuple[tuple[TrialGroup, TrialGroup], ...]
    only_a: tuple[TrialGroup, ...]
    only_b: tuple[TrialGroup, ...]


def pair_groups(a: Sequence[TrialGroup], b: Sequence[TrialGroup]) -> Paired:
    """Find what belongs together, the closest first; pairs are in the order of A."""
    partner: dict[int, TrialGroup] = {}
    rest_a, rest_b = list(a), list(b)
    for alike in _WAYS:
        for one, other in _unique(rest_a, rest_b, alike):
            partner[id(one)] = other
        rest_a = [each for each in rest_a if id(each) not in partner]
        taken = {id(each) for each in partner.values()}
        rest_b = [each for each in rest_b if id(each) not in taken]
    return Paired(
        pairs=tuple((each, partner[id(each)]) for each in a if id(each) in partner),
        only_a=tuple(rest_a),
        only_b=tuple(rest_b),
    )


_WAYS: tuple[Callable[[TrialGroup], Hashable], ...] = (
    lambda group: (group.key, group.device_kind),
    lambda group: group.key,
    lambda group: group.key.model_key,
)


def _unique(
    a: Sequence[TrialGroup],
    b: Sequence[TrialGroup],
    alike: Callable[[TrialGroup], Hashable],
) -> Iterator[tuple[TrialGroup, TrialGroup]]:
    """Groups that are alike, where there is one of them on each side."""
    by_kind: dict[Hashable, tuple[list[TrialGroup], list[TrialGroup]]] = defaultdict(
        lambda: ([], [])
    )
    for group in a:
        by_kind[alike(group)][0].append(group)
    for group in b:
        by_kind[alike(group)][1].append(group)
    for mine, theirs in by_kind.values():
        if len(mine) == len(theirs) == 1:
            yield mine[0], theirs[0]


def differences(
    a: TrialGroup, b: TrialGroup, model_a: KnownModel, model_b: KnownModel
) -> tuple[str, ...]:
    """What makes the two groups different work, in words; empty where they are the same."""
    found = [
        f"{axis} {one} (A), {other} (B)"
        for axis, one, other in axes_apart(a.key.setting, b.key.setting)
    ]
    if model_a.spec is not None and model_b.spec is not None:
        found += _of_entries(model_a.spec, model_b.spec)
    if model_a.facts is not None and model_b.facts is not None:
        found += _of_variables(model_a.facts, model_b.facts)
    return tuple(found)


def notes(
    a: TrialGroup, b: TrialGroup, model_a: KnownModel, model_b: KnownModel
) -> tuple[str, ...]:
    """What differs between the two groups and leaves the work the same, in words."""
    found = []
    if a.device_kind != b.device_kind:
        found.append(f"device {or_not_known(a.device_kind)} (A), {or_not_known(b.device_kind)} (B)")
    one, other = _xla(a), _xla(b)
    if one != other:
        found.append(f"XLA {one} (A), {other} (B)")
    specs = model_a.spec, model_b.spec
    if specs[0] is not None and specs[1] is not None and specs[0].builder != specs[1].builder:
        found.append(f"builder {specs[0].builder} (A), {specs[1].builder} (B)")
    return tuple(found)


def _of_entries(a: ModelSpec, b: ModelSpec) -> Iterator[str]:
    pairs = (
        ("kwargs", a.kwargs_json, b.kwargs_json),
        ("loss", a.loss, b.loss),
        ("metrics", ", ".join(a.metrics) or "none", ", ".join(b.metrics) or "none"),
        ("data", a.data or "synthetic", b.data or "synthetic"),
        ("variant", _varied(a), _varied(b)),
    )
    for name, one, other in pairs:
        if one != other:
            yield f"{name} {one or 'default'} (A), {other or 'default'} (B)"


def _varied(spec: ModelSpec) -> str | None:
    """How a variant differs from the plain model; None for the plain model."""
    if spec.variant is None:
        return None
    variant, said = spec.variant, []
    if variant.lora is not None:
        alpha = "" if variant.lora.alpha is None else f" and alpha {variant.lora.alpha:g}"
        said.append(f"LoRA of rank {variant.lora.rank}{alpha}{_on(variant.lora.layers)}")
    if variant.quantize is not None:
        said.append(f"quantised to {variant.quantize}")
    if variant.remat is not None:
        said.append(f"remat {variant.remat.mode}{_on(variant.remat.layers)}")
    return ", ".join(said)


def _on(layers: tuple[str, ...]) -> str:
    return f" on {', '.join(layers)}" if layers else ""


def _of_variables(a: ModelFacts, b: ModelFacts) -> Iterator[str]:
    one, other = ({each.path: each.shape for each in facts.variables} for facts in (a, b))
    if one.keys() != other.keys():
        lacking = sorted(one.keys() ^ other.keys())
        side = "A" if lacking[0] in one else "B"
        yield (
            f"{counted(len(lacking), 'variable')} in one model only: {lacking[0]} ({side})"
            + (" and others" if len(lacking) > 1 else "")
        )
    changed = [path for path in one.keys() & other.keys() if one[path] != other[path]]
    if changed:
        path = min(changed)
        yield (
            f"shapes of {counted(len(changed), 'variable')}: {path} {list(one[path])} (A), "
            f"{list(other[path])} (B)"
        )


def _xla(group: TrialGroup) -> str:
    known = {row.jit_resolved for row in group.rows} - {None}
    return {1: "on" if True in known else "off", 2: "in some trials"}.get(len(known), "not known")
