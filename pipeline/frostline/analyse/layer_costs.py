"""What each layer costs in the baseline, and what freezing it can save.

In: rows of `layers` and `trials` of a group's controls. Out: one `LayerCost` per layer, in order of
first use, as shares of a baseline's op time. Time that belongs to no layer comes last: what a pass
takes beyond its layers, so that of a single control each pass adds up to its time in the trial's
row; medians over several controls need not add up. What was not observed is None. Controls without
a profile are skipped. Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from frostline.store.trial_row import TrialRow

LAYER_PASSES = ("forward", "activation_gradient", "weight_gradient", "optimizer")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """One layer of the baseline.

    Attributes:
        layer: its name; empty for the time that belongs to no layer.
        index: order of first use; -1 for a layer without weights, and for the time that belongs to
            no layer.
        kind: Keras class; empty for the time that belongs to no layer.
        params: parameters trainable in the baseline.
        forward_flops: of a forward pass over one batch; None where no count is registered.
        shares: by pass, share of the baseline's op time, median over the controls; None where the
            time is not known by layer.
        ns: by pass, nanoseconds per step, median over the controls. It scatters more than the
            shares do where controls were profiled at different speeds.
    """

    layer: str
    index: int
    kind: str
    params: int
    forward_flops: int | None
    shares: Mapping[str, float | None]
    ns: Mapping[str, float | None]

    @property
    def share(self) -> float:
        """Share of the baseline's op time in all passes together."""
        return sum(value or 0.0 for value in self.shares.values())


def layer_costs(
    controls: Iterable[TrialRow],
    layers: Iterable[Mapping[str, object]],
    weightless: Iterable[Mapping[str, object]] = (),
) -> tuple[LayerCost, ...]:
    """The layers of a baseline with their costs.

    Args:
        controls: rows of a group's baselines, of one device kind.
        layers: rows of `layers` of these trials, in any order.
        weightless: `trial_id`, `layer`, `pass` and `ns` of the ops of layers that own no weights.

    Returns:
        Empty when `layers` is; shares are None without a profile.
    """
    profiled = {row.trial_id: row for row in controls if row.passes_ns}
    by_layer: dict[str, list[Mapping[str, object]]] = {}
    for layer in layers:
        by_layer.setdefault(str(layer["layer"]), []).append(layer)
    found = [_layer(name, rows, profiled) for name, rows in by_layer.items()]
    found.sort(key=lambda cost: cost.index)
    found += _without_weights(weightless, profiled)
    if found and profiled:
        found.append(_outside(found, list(profiled.values())))
    return tuple(found)


def _layer(
    name: str, rows: Sequence[Mapping[str, object]], profiled: Mapping[str, TrialRow]
) -> LayerCost:
    first = rows[0]
    shares: dict[str, float | None] = {}
    times: dict[str, float | None] = {}
    for each in LAYER_PASSES:
        known = [
            (float(time), _total(profiled[str(row["trial_id"])]))
            for row in rows
            if str(row["trial_id"]) in profiled and isinstance(time := row[f"{each}_ns"], int)
        ]
        shares[each], times[each] = _medians(known)
    flops, index, params = first["forward_flops"], first["index"], first["params"]
    return LayerCost(
        layer=name,
        index=index if isinstance(index, int) else 0,
        kind=str(first["kind"]),
        params=params if isinstance(params, int) else 0,
        forward_flops=flops if isinstance(flops, int) else None,
        shares=shares,
        ns=times,
    )


def _without_weights(
    rows: Iterable[Mapping[str, object]], profiled: Mapping[str, TrialRow]
) -> list[LayerCost]:
    """Additions, activations, pooling: layers that the table `layers` lacks, dearest first."""
    times: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        trial, time = str(row["trial_id"]), row["ns"]
        if trial in profiled and isinstance(time, int | float):
            by_pass = times.setdefault(str(row["layer"]), {})
            by_pass.setdefault(str(row["pass"]), {})[trial] = float(time)
    found = []
    for name, by_pass in times.items():
        shares: dict[str, float | None] = {}
        ns: dict[str, float | None] = {}
        for each in LAYER_PASSES:
            seen = [
                (time, _total(profiled[trial])) for trial, time in by_pass.get(each, {}).items()
            ]
            shares[each], ns[each] = _medians(seen)
        found.append(
            LayerCost(
                layer=name, index=-1, kind="no weights", params=0, forward_flops=None,
                shares=shares, ns=ns,
            )
        )  # fmt: skip
    return sorted(found, key=lambda cost: -cost.share)


def _outside(layers: Sequence[LayerCost], profiled: Sequence[TrialRow]) -> LayerCost:
    """Time of the passes outside of layers: the loss, metrics, updates of all layers at once."""
    shares: dict[str, float | None] = {}
    times: dict[str, float | None] = {}
    for each in LAYER_PASSES:
        seen = [
            (float(time), _total(row))
            for row in profiled
            if (time := getattr(row, f"{each}_ns")) is not None
        ]
        whole, whole_ns = _medians(seen)
        shares[each] = _rest(whole, [layer.shares[each] for layer in layers])
        times[each] = _rest(whole_ns, [layer.ns[each] for layer in layers])
    return LayerCost(
        layer="", index=-1, kind="", params=0, forward_flops=None, shares=shares, ns=times
    )


def _medians(seen: Sequence[tuple[float, int]]) -> tuple[float | None, float | None]:
    """Median share and median time, of pairs of a time and its trial's op time; None without."""
    if not seen:
        return None, None
    share = statistics.median(time / total for time, total in seen)
    return share, statistics.median(time for time, _ in seen)


def _rest(whole: float | None, parts: Sequence[float | None]) -> float | None:
    """What a pass has beyond its layers; None where the pass was not observed."""
    return None if whole is None else max(0.0, whole - sum(part or 0.0 for part in parts))


def _total(row: TrialRow) -> int:
    return sum((row.passes_ns or {}).values()) or 1
