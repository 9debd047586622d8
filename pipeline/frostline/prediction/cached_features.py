"""What training on stored outputs of the frozen prefix would give, in place of computing them.

In: a group with its cost model, traced steps of its anchors, and a configuration. Out:
the step without the prefix's forward pass, bytes an example, the bandwidth that reading them needs,
and after how many epochs storing them has paid. Never advised where something random, or something
that keeps a state, runs in the prefix: its outputs differ from epoch to epoch. What a `data`
callable of the user's changes from epoch to epoch cannot be seen.

The prefix are the layers that no gradient reaches (mode `pruned`), and what lies behind them before
any other layer with weights. Its forward pass falls away, which is a sum of known prices:

    cached step  = predicted step - forward prices of the pruned layers
    filling pass = steps of an epoch x these forward prices, + writing
    epochs until it pays = filling pass / what an epoch saves

Compiling is left out: the same ops are compiled, in two parts. Reading and writing take no time
where no bandwidth is given (the store fits in memory); a step waits for what it reads.

Stored are the tensors that forward ops behind the prefix read from it. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from frostline.analyse.groups import GroupKey
from frostline.attribute.step_graph import GraphOp, StepGraph, is_random
from frostline.attribute.walk import downstream, upstream
from frostline.errors import UsageError
from frostline.listing import listed
from frostline.policies import layer_modes
from frostline.prediction.fitted_groups import PredictedGroup

_STATE_OPS = ("Assign", "ResourceScatter")
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Where a frozen prefix ends in the traced step.

    Attributes:
        bytes_per_example: of the tensors that are read across it; None where one's size is open.
        open_sized: names of ops that make such tensors.
        changing: names of ops in the prefix whose outputs differ from step to step.
    """

    bytes_per_example: int | None
    open_sized: tuple[str, ...]
    changing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFeatures:
    """Training on stored outputs of a configuration's frozen prefix.

    Attributes:
        key: model and setting.
        device_kind: what the sweep measured them on; None where it is not known.
        title: all of that in words; the device only where there are several kinds.
        policy: the configuration.
        step_ns: its predicted step.
        cached_step_ns: the same without the prefix's forward pass, waiting for what it reads; None
            where it is not known how long that takes.
        forward_ns: that forward pass.
        speedup: nothing frozen over the cached step; None likewise.
        bytes_per_example: what is stored for one example; None where its size is not known.
        stored_bytes: for all examples of the run; None likewise, and without a run.
        bytes_per_second: what has to be read while training, so that steps do not wait; None
            likewise.
        pays_after_epochs: epochs after which storing has cost less than not storing; None where
            reading is so slow that an epoch saves nothing, or takes a time that is not known.
        why_not: why it is not advised; None where it may be.
    """

    key: GroupKey
    device_kind: str | None
    title: str
    policy: str
    step_ns: int
    cached_step_ns: int | None
    forward_ns: int
    speedup: float | None
    bytes_per_example: int | None
    stored_bytes: int | None
    bytes_per_second: float | None
    pays_after_epochs: float | None
    why_not: str | None

    def document(self) -> dict[str, object]:
        """The values for JSON."""
        values = asdict(self)
        key = values.pop("key")
        del values["title"]
        return {**key, **key.pop("setting"), **values}


def cached_features(
    group: PredictedGroup,
    graph: StepGraph,
    *,
    policy: str,
    frozen: Collection[str],
    baseline_step_ns: float,
    batch_size: float,
    examples: int | None,
    bandwidth: float | None = None,
) -> CachedFeatures:
    """What storing the outputs of a configuration's frozen prefix gives.

    Args:
        group: the cost model and the model's facts.
        graph: a traced step in which the prefix is frozen, with its tensors.
        policy: the configuration's name.
        frozen: paths of its frozen variables.
        baseline_step_ns: median of the measured baselines.
        batch_size: examples a step.
        examples: of an epoch; None: nothing is said of the store's size.
        bandwidth: bytes a second that the store is read and written with; None: without a wait.

    Raises:
        UsageError: no layer of it is without a gradient, the step's tensors were not recorded, or
            an anchor that is needed was not measured.
    """
    pruned = frozenset(
        name for name, mode in layer_modes(group.facts, frozen).items() if mode == "pruned"
    )
    if not pruned:
        raise UsageError(
            f"`{policy}`: a gradient reaches every layer, so there is no frozen prefix whose "
            "outputs could be stored"
        )
    boundary = boundary_of(
        graph, pruned, group.facts.by_name.keys() - pruned, batch_size=batch_size
    )
    prices = group.model.prices(frozen)
    forward = sum(row.forward for row in prices if row.layer in pruned)
    relative = sum(row.total for row in prices) / group.model.baseline
    scale = baseline_step_ns / group.model.baseline
    each = boundary.bytes_per_example
    moved_bytes = None if each is None else each * batch_size
    moved_ns = _moved_ns(moved_bytes, bandwidth)
    cached = relative * baseline_step_ns - forward * scale
    waiting = None if moved_ns is None else max(cached, moved_ns)
    pays = None
    if waiting is not None and moved_ns is not None and waiting < relative * baseline_step_ns:
        saved = relative * baseline_step_ns - waiting
        pays = float((forward * scale + moved_ns) / saved)
    return CachedFeatures(
        key=group.key,
        device_kind=group.device_kind,
        title=group.title,
        policy=policy,
        step_ns=round(relative * baseline_step_ns),
        cached_step_ns=None if waiting is None else round(waiting),
        forward_ns=round(forward * scale),
        speedup=None if waiting is None else float(baseline_step_ns / waiting),
        bytes_per_example=each,
        stored_bytes=None if examples is None or each is None else examples * each,
        bytes_per_second=None if moved_bytes is None else float(moved_bytes / (cached / 1e9)),
        pays_after_epochs=pays,
        why_not=_why_not(boundary),
    )


def _moved_ns(moved_bytes: float | None, bandwidth: float | None) -> float | None:
    """How long a step's stored outputs take to be read; None where their size is not known."""
    if bandwidth is None:
        return 0.0
    return None if moved_bytes is None else moved_bytes / bandwidth * 1e9


def boundary_of(
    graph: StepGraph, pruned: Collection[str], others: Collection[str], *, batch_size: float
) -> Boundary:
    """Where a prefix of pruned layers ends, and what in it changes from step to step.

    Everything behind a pruned layer that no other layer with weights lies before is part of the
    prefix: activations, poolings, additions.

    Args:
        graph: a traced step in which these layers are frozen.
        pruned: layers of the prefix.
        others: all other layers with weights.
        batch_size: examples a step.

    Raises:
        UsageError: the tensors of the step were not recorded.
    """
    if not graph.has_tensors:
        raise UsageError(
            "the traced step was kept without its tensors, so nothing says how large the stored "
            "outputs are; `frostline reattribute OUT --retrace` records them"
        )
    forward = [op.pass_ == "forward" for op in graph.ops]
    sources = [
        tuple(source for source, _ in op.inputs or () if forward[source]) if here else ()
        for op, here in zip(graph.ops, forward, strict=True)
    ]

    def behind(layers: Collection[str]) -> set[int]:
        own = [at for at, op in enumerate(graph.ops) if forward[at] and op.layer in layers]
        return downstream(sources, own)

    after = behind(others)
    within = behind(pruned) - after
    crossing = {
        (source, output)
        for position in after
        for source, output in graph.ops[position].inputs or ()
        if source in within
    }
    sizes = {made: _bytes(graph.ops[made[0]], made[1]) for made in sorted(crossing)}
    known = [n_bytes for n_bytes in sizes.values() if n_bytes is not None]
    open_sized = [graph.ops[made[0]].op_name for made, n_bytes in sizes.items() if n_bytes is None]
    before = upstream(sources, {source for source, _ in crossing})
    changing = tuple(
        op.op_name
        for position, op in enumerate(graph.ops)
        if (position in before and is_random(op.op_type))
        or (position in within and any(part in op.op_type for part in _STATE_OPS))
    )
    return Boundary(
        bytes_per_example=None if open_sized else round(sum(known) / batch_size),
        open_sized=tuple(dict.fromkeys(open_sized)),
        changing=changing,
    )


def _bytes(op: GraphOp, output: int) -> int | None:
    sizes = op.output_bytes or ()
    return sizes[output] if output < len(sizes) else None


def _why_not(boundary: Boundary) -> str | None:
    reasons = []
    if boundary.changing:
        reasons.append(
            "its outputs differ from epoch to epoch, because the prefix runs "
            f"{listed(boundary.changing, _NAMED)} (dropout, augmentation, or a state of its own)"
        )
    if boundary.open_sized:
        reasons.append(
            f"the size of what {listed(boundary.open_sized, _NAMED)} makes is not known before a "
            "step runs"
        )
    return "; ".join(reasons) or None
