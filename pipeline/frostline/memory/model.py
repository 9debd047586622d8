"""The peak of any freeze configuration, from the baseline's step and the anchors' measured peaks.

In: the baseline's traced step with its tensors, under XLA also its compiled program, and the
anchors: what each froze, what its model holds, its measured peak. Out: `PeakPrediction`. Refuses
(UsageError) a step without tensors, and configurations that the step cannot run.

    peak = weights + optimizer slots + batch + what is alive of the step + workspace + slack

*What is alive* is a walk over the step as the configuration prunes it (`liveness`), under XLA over
the baseline's program (`program`), in graph mode over the traced ops; there a normalisation that is
frozen computes what it computes in an anchor in which it is frozen (`frozen_norms`). *Workspace* is
what the op at the peak works in, and what the anchors' peaks have beyond all that: a straight line
between neighbouring anchors in what is alive, constant beyond the outermost. Where no anchor has a
measured peak it is 0 and the prediction is of tensors alone. *Slack* is what the device's allocator
gives beyond what is asked for, by such a line through what the anchors' profiles show. *Slots* are
a straight line in the trained parameters, through the anchors that train most and least, whose
slots are known exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.attribute.walk import members, union
from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.memory.frozen_norms import is_frozen, left_out
from frostline.memory.least import ALWAYS, Least, When
from frostline.memory.lines import Line, Workspace, lower_hull
from frostline.memory.liveness import TEMPORARY, MemoryOp, Peak, moments, peak
from frostline.memory.peak_prediction import HeldTensor, Holder, PeakPrediction
from frostline.memory.program import ProgramStep, kept_steps, needs_of, without_unread_buffers
from frostline.memory.running import Running
from frostline.policies import why_not

_FEW = 64
"""Tensors of so many bytes are left out: most ops of a step make a single number."""
_MOST_KNOWN = 512
"""Configurations whose walks are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorMemory:
    """What is known of the memory of one anchor.

    Attributes:
        frozen_variables: their paths.
        weights_bytes, optimizer_slots_bytes: what its model holds.
        input_bytes: one batch; None where its size is open.
        peak_bytes: the measured peak; None where the device has no account of it.
        slack_bytes: the part of it that the allocator gave beyond what tensors asked for; 0 where
            it is not known, so that it counts as workspace.
        graph: its own traced step, the baseline's with tensors; None where it is not known.
    """

    frozen_variables: frozenset[str]
    weights_bytes: int
    optimizer_slots_bytes: int
    input_bytes: int | None
    peak_bytes: int | None
    graph: StepGraph | None
    slack_bytes: int = 0


class MemoryModel:
    """Predicts the peak of configurations of one model under one setting.

    Args:
        facts: the model.
        anchors: measured anchors; the one that freezes nothing must be among them, with its graph.
        program: the baseline's XLA program, its instructions with names of ops of that graph; None
            in graph mode.

    Attributes:
        is_calibrated: whether an anchor has a measured peak.

    Raises:
        UsageError: the baseline is missing, or its tensors were not recorded.
    """

    def __init__(
        self,
        facts: ModelFacts,
        anchors: Sequence[AnchorMemory],
        *,
        program: Sequence[ProgramStep] | None = None,
    ) -> None:
        base = next((each for each in anchors if not each.frozen_variables), None)
        if base is None or base.graph is None or not base.graph.has_tensors:
            raise UsageError(
                "the tensors of the baseline's step were not recorded; "
                "`frostline reattribute OUT --retrace` traces it again and fills them in"
            )
        self._facts = facts
        self._base = base
        self._graph = base.graph
        self._program = program
        self._running = Running(self._graph)
        steps: Sequence[MemoryOp] = self._graph.ops if program is None else program
        self._order = list(_that_count(steps))
        self._known: dict[frozenset[str], tuple[Sequence[GraphOp], Peak]] = {}
        self._paths = frozenset(variable.path for variable in facts.variables)
        self._params = {variable.path: variable.params for variable in facts.variables}
        self._left_out = left_out(
            facts,
            self._graph,
            [
                (each.frozen_variables, each.graph)
                for each in anchors
                if each.graph is not None and each.frozen_variables
            ],
        )
        self._slots = Line.through(
            (self._trained(each.frozen_variables), each.optimizer_slots_bytes) for each in anchors
        )
        measured = [
            (
                self._alive(each.frozen_variables)[1].n_bytes,
                max(0, each.peak_bytes - self._held(each.frozen_variables)),
                each.slack_bytes,
            )
            for each in anchors
            if each.peak_bytes is not None
        ]
        self._workspace = Workspace([(alive, peak - slack) for alive, peak, slack in measured])
        self._with_slack = Workspace([(alive, peak) for alive, peak, _ in measured])
        self.is_calibrated = any(each.peak_bytes is not None for each in anchors)

    def predict(self, frozen_variables: Collection[str]) -> PeakPrediction:
        """The peak of a configuration; variables go by their paths.

        Raises:
            UsageError: the step cannot run so.
        """
        frozen = frozenset(frozen_variables)
        if reason := why_not(self._facts, frozen):
            raise UsageError(reason)
        named, found = self._alive(frozen)
        tensors = tuple(
            HeldTensor(
                layer=named[each.op].layer,
                holder="workspace" if each.output == TEMPORARY else _holder(named[each.op]),
                op=named[each.op].op_name,
                n_bytes=each.n_bytes,
            )
            for each in found.tensors
        )
        by_holder: Counter[Holder] = Counter()
        for each in tensors:
            by_holder[each.holder] += each.n_bytes
        at = None if found.op is None else named[found.op]
        return PeakPrediction(
            weights=self._base.weights_bytes,
            optimizer_slots=self._slots.at(self._trained(frozen)),
            batch=self._base.input_bytes or 0,
            activations=by_holder["activations"],
            gradients=by_holder["gradients"],
            workspace=by_holder["workspace"] + self._workspace.at(found.n_bytes),
            slack=self._with_slack.at(found.n_bytes) - self._workspace.at(found.n_bytes),
            tensors=tensors,
            layer=None if at is None else at.layer,
            pass_=None if at is None else at.pass_,
            unknown=found.unknown + (self._base.input_bytes is None),
        )

    def peak_bytes(self, frozen: frozenset[str]) -> int:
        """The total of `predict` alone; also where everything is frozen, which no step runs."""
        alive = self._alive(frozen)[1].n_bytes
        return self._held(frozen) + alive + self._with_slack.at(alive)

    def least_at(self, op: int, trains: int) -> dict[When, int]:
        """Bytes that are alive at least while an op runs, see `frostline.memory.least`.

        The bits of `trains` are the positions of the layers in the model's facts.
        """
        return self._least.at(op, trains)

    def sets_of_layers(self, share: float) -> set[int]:
        """Masks of sets of layers that decide about tensors of at least this share of the peak."""
        return self._least.masks(round(share * self._alive(frozenset())[1].n_bytes))

    def moments_above(self, frozen: frozenset[str], limit_bytes: int) -> list[int]:
        """Ops at which a configuration needs more than that, local maxima, most first.

        Positions as `least_at` takes them.
        """
        steps, runs = self._pruned(frozen)
        held = self._held(frozen)
        found = moments(steps, runs, self._order)
        alive = [0, *(each for _, each in found), 0]
        high = [
            (here, op)
            for (op, here), before, after in zip(found, alive, alive[2:], strict=False)
            if here >= before
            and here >= after
            and held + here + self._with_slack.at(here) > limit_bytes
        ]
        return [op for _, op in sorted(high, reverse=True)]

    @property
    def held_line(self) -> tuple[float, float]:
        """What a model holds, in bytes: a constant, and so much for each trained parameter."""
        (x0, y0), (x1, y1) = self._slots.low, self._slots.high
        slope = (y1 - y0) / (x1 - x0) if x1 != x0 else 0.0
        constant = y1 - slope * x1
        return self._base.weights_bytes + (self._base.input_bytes or 0) + constant, slope

    def bounds(self) -> list[tuple[float, float]]:
        """Lines below what the step needs beyond what is held, as slope and constant.

        Each is a function of the bytes that are alive; together they are the lower convex hull of
        alive + workspace + slack, between nothing and what is alive where everything trains.
        """
        most = self._alive(frozenset())[1].n_bytes
        return lower_hull([(each, each + self._with_slack.at(each)) for each in
                            sorted({0, most, *self._with_slack.corners(most)})])  # fmt: skip

    @cached_property
    def _least(self) -> Least:
        owner = {
            variable.path: position
            for position, layer in enumerate(self._facts.layers)
            for variable in layer.variables
        }
        layers = [1 << owner[path] for path in self._graph.variables]
        ops = self._graph.ops
        needs = [
            each if not each else union(layers[bit] for bit in members(each))
            for each in self._running.needs()
        ]
        if self._program is not None:
            always = self._always
            named = {op.op_name: each for op, each in zip(ops, needs, strict=True)}
            kept_when = needs_of(self._program, named, always)
            return Least(self._program, list(map(_when, kept_when)), self._order)
        position = {layer.name: number for number, layer in enumerate(self._facts.layers)}
        conditions = [_when(each) for each in needs]
        for layer, numbers in self._left_out.items():
            for number in numbers:
                known = conditions[number]
                if known is not None:  # these run only while their layer trains, too
                    conditions[number] = known | {1 << position[layer]}
        return Least(ops, conditions, self._order)

    @cached_property
    def _always(self) -> frozenset[str]:
        """Names of the ops that run whatever trains."""
        return frozenset(
            op.op_name for op in self._graph.ops if op.pass_ in ("forward", "input", "other")
        )

    def parameters_alone(self, frozen_variables: Collection[str]) -> int:
        """Bytes of weights, slots and gradients, in four bytes a parameter; a naive prediction."""
        trained = self._trained(frozenset(frozen_variables))
        return self._base.weights_bytes + self._slots.at(trained) + 4 * trained

    def _held(self, frozen: frozenset[str]) -> int:
        slots = self._slots.at(self._trained(frozen))
        return self._base.weights_bytes + slots + (self._base.input_bytes or 0)

    def _trained(self, frozen: frozenset[str]) -> int:
        return sum(params for path, params in self._params.items() if path not in frozen)

    def _alive(self, frozen: frozenset[str]) -> tuple[Sequence[GraphOp], Peak]:
        """What is alive of the step at the peak, and the ops by which its positions go."""
        if frozen not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[frozen] = self._walked(frozen)
        return self._known[frozen]

    def _walked(self, frozen: frozenset[str]) -> tuple[Sequence[GraphOp], Peak]:
        steps, runs = self._pruned(frozen)
        return self._named, peak(steps, runs, self._order)

    @cached_property
    def _named(self) -> Sequence[GraphOp]:
        """What is walked over, as ops with a name, a layer and a pass."""
        if self._program is None:
            return self._graph.ops
        return _named(self._program, self._graph.ops, self._always)

    def _pruned(self, frozen: frozenset[str]) -> tuple[Sequence[MemoryOp], list[bool]]:
        """The ops to be walked over, and which of them run."""
        ops = self._graph.ops
        runs = self._running.flags(self._paths - frozen)
        if self._program is None:
            for layer, numbers in self._left_out.items():
                if is_frozen(self._facts.by_name[layer], frozen):
                    for number in numbers:
                        runs[number] = False
            return ops, runs
        by_name = {op.op_name: flag for op, flag in zip(ops, runs, strict=True)}
        kept = kept_steps(self._program, by_name, self._always)
        return without_unread_buffers(self._program, kept), kept


def _that_count(ops: Sequence[MemoryOp]) -> Iterator[int]:
    """Ops that read or make a tensor of more than a few numbers or work in one, in their order."""
    large = [
        {output for output, size in enumerate(op.output_bytes or ()) if size is None or size > _FEW}
        for op in ops
    ]
    for number, op in enumerate(ops):
        reads = (output in large[made] for made, output in op.inputs or ())
        if large[number] or (op.temporary_bytes or 0) > _FEW or any(reads):
            yield number


def _when(mask: int | None) -> When | None:
    return None if mask is None else frozenset({mask}) if mask else ALWAYS


def _holder(op: GraphOp) -> Holder:
    return "activations" if op.pass_ in ("forward", "input") else "gradients"


def _named(
    program: Sequence[ProgramStep], ops: Sequence[GraphOp], always: Collection[str]
) -> list[GraphOp]:
    """Each instruction as an op of the layer and pass of the first op that it is there for."""
    known = {op.op_name: op for op in ops}
    found = []
    for step in program:
        named = [known[name] for name in step.graph_ops if name in known]
        chosen = next((op for op in named if op.op_name not in always), None)
        chosen = chosen or (named[0] if named else None)
        found.append(
            GraphOp(
                op_name=step.name,
                op_type=step.op_type,
                layer=None if chosen is None else chosen.layer,
                pass_="other" if chosen is None else chosen.pass_,
            )
        )
    return found
