"""What is said where a model does not fit into memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frostline.measure.client import MeasureProcess
from frostline.measure.messages import Failed, OpenGroup
from frostline.trial import MeasureSpec, ModelSpec, Setting

pytestmark = pytest.mark.tf

SETTING = Setting(
    batch_size=1400, optimizer="sgd", precision="float32", jit_compile="false", strategy="single"
)


def test_a_baseline_that_does_not_fit_says_so_and_what_to_do(tmp_path: Path) -> None:
    log = tmp_path / "open.log"
    request = OpenGroup(
        model=ModelSpec(
            name="greedy",
            builder="sample_models:larger_than_memory",
            kwargs_json=json.dumps({}),
            loss=None,
            metrics=(),
            data=None,
            search_path=(str(Path(__file__).parent),),
        ),
        setting=SETTING,
        measure=MeasureSpec(
            target_ci=0.5, min_pairs=3, max_pairs=4, profile_steps=2, keep_traces="all", seed=5
        ),
        log_path=str(log),
    )
    with MeasureProcess(cores=(), gpu_ids="", log_path=log) as process:
        failed = process.reply_to(request, deadline_s=120)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.stage) == ("OutOfMemory", "trace")
    assert failed.message.startswith("this machine's memory of ")
    assert "does not hold the model at batch size 1400: lower batch_size under [train]." in (
        failed.message
    )
    assert "OOM when allocating tensor with shape[100000000000000]" in failed.message
    assert "Hint" not in failed.message
    assert "Traceback" in log.read_text(), "the whole error is in the log"


def test_errors_that_mean_that_memory_ran_out() -> None:
    import tensorflow as tf

    from frostline.measure.out_of_memory import is_out_of_memory, out_of_memory_words

    xla = tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: Out of memory while trying")
    assert is_out_of_memory(tf.errors.ResourceExhaustedError(None, None, "no room"))
    assert is_out_of_memory(xla)
    assert is_out_of_memory(MemoryError())
    wrapped = RuntimeError("exception encountered when calling layer")
    wrapped.__cause__ = xla
    assert is_out_of_memory(wrapped)
    assert not is_out_of_memory(tf.errors.InternalError(None, None, "ptxas failed"))
    assert not is_out_of_memory(ValueError("shapes differ"))
    said = out_of_memory_words(xla, SETTING, trial=True)
    assert "batch_size under [train], or freeze from the front. RESOURCE_EXHAUSTED" in said
