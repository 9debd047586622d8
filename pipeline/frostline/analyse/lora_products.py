"""How the gradients of low-rank products are computed in a trial: at full size, or low-rank.

In: a sweep and the row of a variant. Out: `LoraProducts`. A Dense layer that merges A·B into its
kernel computes the gradient of the whole kernel first, which both A and B need; the low-rank way
(x·A)·B has no product that both need. So the traced step's `needed_by` tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc

from frostline.store.sweep import Sweep
from frostline.store.trial_row import TrialRow
from frostline.variant import is_lora

_PRODUCTS = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraProducts:
    """The weight gradients of the layers that carry low-rank products, per profiled step.

    Attributes:
        layers: the layers of which some low-rank variable trains.
        full_size: those of them in which a matrix product of the traced step serves A and B alike.
        full_size_ns: what these products take; None where none of them left an event.
        weight_gradient_ns: what all weight gradients of `layers` take; None likewise.
    """

    layers: tuple[str, ...]
    full_size: tuple[str, ...]
    full_size_ns: int | None
    weight_gradient_ns: int | None


def lora_products(sweep: Sweep, row: TrialRow) -> LoraProducts | None:
    """Read a trial's low-rank products; None where it trains none, or kept no graph and trace."""
    if row.variant is None or row.passes_ns is None:
        return None
    trials = [row.trial_id]
    columns = ["op_name", "op_type", "layer", "pass", "needed_by"]
    graph = sweep.table("graph_ops", columns, trials=trials)
    both: set[str] = set()
    layers: dict[str, None] = {}
    full: dict[str, None] = {}
    for op in graph.filter(pc.field("pass") == "weight_gradient").to_pylist():
        needing = [path for path in op["needed_by"] or () if is_lora(path)]
        if needing and op["layer"] is not None:
            layers.setdefault(op["layer"])
        if len(needing) > 1 and op["op_type"] in _PRODUCTS:
            both.add(op["op_name"])
            if op["layer"] is not None:
                full.setdefault(op["layer"])
    if not layers:
        return None
    columns = ["layer", "pass", "graph_op", "ns_per_step"]
    costs = [
        cost
        for cost in sweep.table("op_costs", columns, trials=trials).to_pylist()
        if cost["pass"] == "weight_gradient" and cost["layer"] in layers
    ]
    products = [cost["ns_per_step"] for cost in costs if cost["graph_op"] in both]
    return LoraProducts(
        layers=tuple(layers),
        full_size=tuple(full),
        full_size_ns=sum(products) if products else None,
        weight_gradient_ns=sum(cost["ns_per_step"] for cost in costs) if costs else None,
    )
