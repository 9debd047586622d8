"""What a sweep keeps of a model: its facts, and a trial's traced step.

In: a sweep. Out: `ModelFacts`, `StepGraph`. Refuses what was not kept, and a step of another model.

A large model's graph names hundreds of variables for each of thousands of ops, so they are looked
up by column, and equal sets of them are kept once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.errors import DamagedError, SweepError
from frostline.facts.model_facts import ModelFacts, facts_path, parse_facts
from frostline.store.sweep import Sweep
from frostline.store.validate import ADVICE, place

_COLUMNS = ("op_name", "op_type", "layer", "pass", "forward_flops", "repeats", "calls")
_TENSORS = ("inputs", "output_bytes", "temporary_bytes")


def load_facts(sweep: Sweep, model: str) -> ModelFacts:
    """Facts of a model of the sweep.

    Raises:
        SweepError: the sweep has none.
        DamagedError: they cannot be this model's.
    """
    text = sweep.out.read_text(facts_path(model))
    if text is None:
        raise SweepError(
            f"{sweep.out.files.shown} has no {facts_path(model)}; run the study on it again to "
            "write it"
        )
    shown = f"{sweep.out.files.shown}/{facts_path(model)}"
    advice = "delete it and run the study on it again, which inspects the model anew"
    try:
        facts = parse_facts(text)
    except ValueError as error:
        raise DamagedError(f"{shown} is damaged: {str(error).splitlines()[0]}; {advice}") from error
    if facts.name != model:
        raise DamagedError(f"{shown} is damaged: it describes `{facts.name}`; {advice}")
    return facts


def facts_if_known(sweep: Sweep, model: str) -> ModelFacts | None:
    """Facts of a model of the sweep; None where it could not be built, or they are damaged."""
    try:
        return load_facts(sweep, model)
    except SweepError:
        return None


def read_graph(
    sweep: Sweep,
    trial_id: str,
    facts: ModelFacts,
    *,
    frozen: Collection[str] = (),
    tensors: bool = False,
) -> StepGraph | None:
    """A trial's traced step; None where it could not be analysed, so that nothing was kept.

    `facts` are of its model, `frozen` the paths of the variables that the trial froze. With
    `tensors`, ops come with what they read and make, where the trial recorded that.

    Raises:
        SweepError: an op serves a variable that the model does not have.
        StorageError: a file cannot be read.
    """
    wanted = [*_COLUMNS, "needed_by", *(_TENSORS if tensors else ())]
    table = sweep.table("graph_ops", wanted, trials=[trial_id])
    if not table.num_rows:
        return None
    variables = tuple(variable.path for variable in facts.variables)
    served = table["needed_by"].combine_chunks()
    positions = pc.index_in(served.flatten(), value_set=pa.array(variables, pa.string()))
    if positions.null_count:
        unknown = served.flatten().filter(positions.is_null())[0].as_py()
        raise SweepError(
            f"the traced step of {trial_id} serves the variable {unknown!r}, which the model's "
            "facts do not know: the model was changed after this trial. Run the study on a new OUT"
        )
    ends = np.cumsum(pc.list_value_length(served))
    equal: dict[bytes, tuple[int, ...]] = {}
    needed_by = [
        equal.get(key := part.tobytes()) or equal.setdefault(key, tuple(part.tolist()))
        for part in np.split(positions.to_numpy(), ends[:-1])
    ]
    _refuse_later(table["repeats"].to_pylist(), place(sweep.out.files, "graph_ops", trial_id))
    if tensors:
        inputs = _inputs(table["inputs"])
        refuse_unknown_ops(inputs, place(sweep.out.files, "graph_ops", trial_id))
        temporary = table["temporary_bytes"].to_pylist()
        recorded = [inputs, _sizes(table["output_bytes"]), temporary]
    else:
        recorded = [[None] * table.num_rows] * 3
    columns = [*(table[name].to_pylist() for name in _COLUMNS), needed_by, *recorded]
    ops = [
        GraphOp(
            op_name=name, op_type=kind, layer=layer, pass_=pass_, needed_by=needed,
            forward_flops=flops, repeats=repeats, calls=calls, inputs=inputs,
            output_bytes=output_bytes, temporary_bytes=temporary_bytes,
        )
        for (
            name, kind, layer, pass_, flops, repeats, calls, needed, inputs, output_bytes,
            temporary_bytes,
        ) in zip(*columns, strict=True)
    ]  # fmt: skip
    return StepGraph(
        variables=variables,
        trained=tuple(path for path in variables if path not in frozen),
        ops=tuple(_sums_with_norms(ops, facts)),
    )


def refuse_unknown_ops(inputs: Sequence[tuple[tuple[int, int], ...] | None], where: str) -> None:
    """Raise where an op reads what no op of its table makes.

    Raises:
        DamagedError: names the file.
    """
    for number, read in enumerate(inputs):
        for op, output in read or ():
            if not (0 <= op < len(inputs) and output >= 0):
                raise DamagedError(
                    f"{where} is damaged: row {number} reads output {output} of op {op}, and there "
                    f"are {len(inputs)} ops; {ADVICE}"
                )


def _refuse_later(repeats: Sequence[int | None], where: str) -> None:
    for number, first in enumerate(repeats):
        if first is not None and not 0 <= first < number:
            raise DamagedError(
                f"{where} is damaged: row {number} repeats op {first}, which is none before it; "
                f"{ADVICE}"
            )


def _inputs(column: pa.ChunkedArray) -> list[tuple[tuple[int, int], ...] | None]:
    return [
        None if each is None else tuple((one["op"], one["output"]) for one in each)
        for each in column.to_pylist()
    ]


def _sizes(column: pa.ChunkedArray) -> list[tuple[int | None, ...] | None]:
    return [None if each is None else tuple(each) for each in column.to_pylist()]


def _sums_with_norms(ops: Iterable[GraphOp], facts: ModelFacts) -> Iterator[GraphOp]:
    """Credit sums of gradients that a normalisation makes to the normalisation.

    Until version 0.2, a sum went with the layer below that reads it, even where all summands come
    from one layer. Ops are in creation order, and the tape adds gradients up right after the last
    op of what it has just differentiated. So where that op is a normalisation's, the sum is.
    """
    norms = {layer.name for layer in facts.layers if layer.is_norm}
    last: str | None = None
    for op in ops:
        if op.op_type == "AddN" and op.needed_by and last in norms and op.layer != last:
            yield replace(op, layer=last, pass_="activation_gradient")
            continue
        if op.needed_by and op.layer is not None:
            last = op.layer
        yield op
