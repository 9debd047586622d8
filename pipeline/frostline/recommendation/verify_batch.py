"""Runs a recommendation at the largest batch that is said to fit, alone and for a few steps.

In: OUT, and a recommendation within a memory. Out: `VerifiedBatch`, the peak that was measured.
No baseline stands beside it, which would not fit with that batch: nothing is compared, no speedup
comes of it, and OUT stays as it is. Runs on this machine, in a process of its own. Refuses a batch
that this machine has no memory for, and foreign builders as `verify` does.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Literal

from frostline.analyse.groups import GroupKey
from frostline.analyse.stored_model import load_facts
from frostline.device_id import gpu_count, is_cpu
from frostline.errors import UsageError
from frostline.gpus import first_gpus
from frostline.machine import this_machine
from frostline.measure.client import DeadlineExceeded, MeasureProcess, ProcessDied
from frostline.measure.messages import OUT_OF_MEMORY, Failed, RanAlone, Reply, RunAlone
from frostline.plan.trials import as_measured
from frostline.policies.units import paths_of
from frostline.recommendation.recommendation import Recommendation
from frostline.recommendation.verify import VerifyError
from frostline.results.memory_columns import peak_columns
from frostline.results.rows import held_columns
from frostline.scratch import scratch_folder
from frostline.store.sweep import Sweep, as_sweep
from frostline.sweep.study_to_run import study_to_run
from frostline.trace.converter import TraceConverter
from frostline.words import counted, size

BatchOutcome = Literal["fits", "too large", "out of memory"]

_PROFILE_STEPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBatch:
    """What became of the largest batch.

    Attributes:
        batch_size: examples.
        memory_bytes: what it has to fit into.
        predicted_peak_bytes: before it ran.
        peak_bytes: as it ran; None where memory ran out first.
        source: where that is from, as `trials.peak_memory_source`; None where it is None.
        outcome: whether the peak keeps to `memory_bytes`.
    """

    batch_size: int
    memory_bytes: int
    predicted_peak_bytes: int
    peak_bytes: int | None
    source: str | None
    outcome: BatchOutcome

    @property
    def error(self) -> float | None:
        """Predicted / measured peak - 1; None where none was measured."""
        return None if self.peak_bytes is None else self.predicted_peak_bytes / self.peak_bytes - 1


def verify_batch(
    sweep: Sweep | str | PathLike[str],
    found: Recommendation,
    *,
    study: str | PathLike[str] | None = None,
    trust_study: bool = False,
    process_module: str = "frostline.measure.process",
) -> VerifiedBatch:
    """Run the pick of a recommendation at its largest batch.

    Args:
        sweep: what it was made from, or its path.
        found: a recommendation that was asked for within a memory.
        study: as in `frostline.recommendation.verify.verify`.
        trust_study: as there.
        process_module: module of the measuring process; tests pass one with the same protocol.

    Raises:
        UsageError: no batch is said to fit, or none that can be run here; the study cannot be run
            from here.
        VerifyError: it failed for another reason than memory.
    """
    sweep = as_sweep(sweep)
    examples, peak_bytes = found.largest_batch, found.largest_batch_peak
    if examples is None or peak_bytes is None or found.memory_bytes is None:
        raise UsageError(f"{found.title}: no largest batch to run: nothing predicts its memory")
    if examples == 0:
        raise UsageError(f"{found.title}: not one example fits, so there is nothing to run")
    run = study_to_run(sweep, None if study is None else Path(study), trusted=trust_study)
    here = this_machine()
    gpus = _gpus(sweep, found)
    if gpus > here.gpus:
        raise UsageError(
            f"{found.title}: the sweep's trials held {counted(gpus, 'GPU')}, and this machine "
            f"has {here.gpus}: run the largest batch where there are enough"
        )
    if not gpus and peak_bytes > here.memory_bytes:
        raise UsageError(
            f"{found.title}: {examples} examples are predicted to need {size(peak_bytes)}, and "
            f"this machine has {size(here.memory_bytes)}: pass a smaller --memory"
        )
    spec = next((each for each in run.model_specs() if each.name == found.key.model_key), None)
    if spec is None:
        raise UsageError(f"the study has no model `{found.key.model_key}` any more")
    facts = load_facts(sweep, found.key.model_key)
    setting = found.key.setting
    frozen = found.pick.frozen_layers
    with scratch_folder(prefix="frostline-alone-") as scratch:
        request = RunAlone(
            model=as_measured(run, spec, setting, facts),
            setting=replace(setting, batch_size=examples),
            seed=run.seed,
            frozen_variables=paths_of(facts, frozen),
            frozen_layers=frozen,
            profile_steps=_PROFILE_STEPS,
            scratch=str(scratch),
            log_path=str(scratch / "log"),
        )
        process = MeasureProcess(
            cores=(),
            gpu_ids=first_gpus(gpus),
            log_path=scratch / "log",
            module=process_module,
        )
        deadline_s = run.resources.trial_timeout_s
        with closing(process):
            reply = _reply(process, request, deadline_s)
        return _verified(reply, examples, found.memory_bytes, peak_bytes, scratch, deadline_s)


def _gpus(sweep: Sweep, found: Recommendation) -> int:
    """How many GPUs each trial held that the recommendation rests on."""
    rows = (
        row
        for row in sweep.trial_rows()
        if GroupKey.of(row) == found.key and row.device_kind == found.device_kind
    )
    device_id = next((row.device_id for row in rows if row.device_id is not None), None)
    return 0 if device_id is None or is_cpu(device_id) else gpu_count(device_id)


def _reply(process: MeasureProcess, request: RunAlone, deadline_s: float) -> Reply:
    try:
        return process.reply_to(request, deadline_s=deadline_s)
    except (DeadlineExceeded, ProcessDied) as error:
        raise VerifyError(
            f"a batch of {request.setting.batch_size} examples could not be run: {error}"
        ) from error


def _verified(
    reply: Reply,
    examples: int,
    memory_bytes: int,
    predicted_bytes: int,
    scratch: Path,
    deadline_s: float,
) -> VerifiedBatch:
    found = VerifiedBatch(
        batch_size=examples,
        memory_bytes=memory_bytes,
        predicted_peak_bytes=predicted_bytes,
        peak_bytes=None,
        source=None,
        outcome="out of memory",
    )
    if isinstance(reply, Failed) and reply.kind == OUT_OF_MEMORY:
        return found
    failed = f"a batch of {examples} examples could not be run"
    if isinstance(reply, Failed):
        raise VerifyError(f"{failed} ({reply.stage}): {reply.message}")
    if not isinstance(reply, RanAlone):
        raise VerifyError(f"{failed}: the measuring process answered {reply.op!r}")
    allocation = None
    if reply.trace_file is not None:
        with TraceConverter(scratch=scratch) as converter:
            trace = converter.convert(Path(reply.trace_file), deadline_s=deadline_s)
        allocation = trace.allocation
    peak = peak_columns(reply.peak_memory_bytes, held_columns(reply.held), allocation)
    if peak.peak_memory_bytes is None:
        why = reply.error or "its profile shows no memory"
        raise VerifyError(f"a batch of {examples} examples ran, and its memory is not known: {why}")
    return replace(
        found,
        peak_bytes=peak.peak_memory_bytes,
        source=peak.peak_memory_source,
        outcome="fits" if peak.peak_memory_bytes <= memory_bytes else "too large",
    )
