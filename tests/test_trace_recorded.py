"""Profiles that others recorded on GPUs and TPUs, against what is known of their models."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from frostline.attribute.attribute import attribute
from frostline.attribute.costs import OpCost, device_time, per_step
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import Trace

TRACES = Path(__file__).parents[2] / "shared" / "traces"

pytestmark = [
    pytest.mark.traces,
    pytest.mark.skipif(not TRACES.is_dir(), reason=f"no recorded traces in {TRACES}"),
]
NAMES = [
    "pong-vae-frozen-vgg",
    "pong-vae-plain",
    "pong-vae-eager",
    "tfprofiler-bert-replicas-8xV100",
    "tracelens-jax-te-attn-xla",
    "tracelens-jax-conv-8gpu-xla",
    "xprof-tpu-v6e-psum",
]


@pytest.fixture(scope="module")
def traces() -> Iterator[dict[str, Trace]]:
    with TraceConverter() as converter:
        yield {
            name: converter.convert(
                next((TRACES / name).rglob("*.xplane.pb")), require_steps=False, deadline_s=120
            )
            for name in NAMES
        }


@pytest.fixture(scope="module")
def costs(traces: dict[str, Trace]) -> dict[str, tuple[OpCost, ...]]:
    return {name: attribute(trace, None) for name, trace in traces.items()}


def passes(costs: tuple[OpCost, ...], layer: str) -> set[str]:
    return {cost.pass_ for cost in costs if cost.layer == layer and cost.pass_ != "other"}


@pytest.mark.parametrize("name", NAMES)
def test_every_nanosecond_is_somewhere(traces, costs, name: str):
    trace = traces[name]
    assert trace.total_ns == sum(op.self_ns for op in trace.ops) > 0
    assert 0 < trace.busy_ns <= trace.total_ns
    assert sum(cost.ns_per_step for cost in costs[name]) == per_step(trace.total_ns, trace.steps)
    assert trace.device_ns == trace.busy_ns + trace.wait_ns + trace.between_ns
    device = device_time(trace)
    assert sum(cost.wait_ns_per_step for cost in costs[name]) == device.wait_ns
    whole_ns = per_step(trace.device_ns, trace.steps)
    assert device.busy_ns + device.wait_ns + device.between_ns == whole_ns


def test_frozen_convolutions_pass_gradients_on_and_compute_none(costs):
    frozen = costs["pong-vae-frozen-vgg"]
    convolutions = {
        cost.layer
        for cost in frozen
        if cost.layer and cost.layer.startswith("PerceptualNetwork/") and "conv" in cost.layer
    }
    assert convolutions == {
        f"PerceptualNetwork/block{block}_conv{conv}" for block in (1, 2) for conv in (1, 2)
    }
    for layer in convolutions:
        assert passes(frozen, layer) == {"forward", "activation_gradient"}
    # Not even among what names leave undecided: the kernels are not there.
    gradients = {
        (cost.op_name.rpartition("/")[2].partition("-")[0], cost.pass_)
        for cost in frozen
        if cost.layer in convolutions and "Conv2DBackprop" in cost.op_name
    }
    assert gradients == {("Conv2DBackpropInput", "activation_gradient")}


def test_their_gradients_take_what_the_streams_say(costs):
    """Sums of the kernels annotated `gradient_tape/PerceptualNetwork/...`, in nanoseconds."""
    taken = {
        cost.layer.rpartition("/")[2]: 0
        for cost in costs["pong-vae-frozen-vgg"]
        if (cost.layer or "").startswith("PerceptualNetwork/block")
    }
    for cost in costs["pong-vae-frozen-vgg"]:
        name = (cost.layer or "").rpartition("/")[2]
        if cost.pass_ == "activation_gradient" and name in taken:
            taken[name] += cost.ns_per_step
    assert taken == {
        "block1_conv1": 2_063_016,
        "block1_conv2": 1_516_486,
        "block1_pool": 469_826,
        "block2_conv1": 806_882,
        "block2_conv2": 1_227_525,
        "block2_pool": 236_449,
    }


@pytest.mark.parametrize("name", ["pong-vae-frozen-vgg", "pong-vae-plain"])
def test_the_first_convolution_computes_its_own_gradient_alone(costs, name: str):
    assert passes(costs[name], "Encoder/conv1_enc") == {"forward", "weight_gradient"}
    assert not any("conv1_enc/Conv2D/Conv2DBackpropInput" in cost.op_name for cost in costs[name])


@pytest.mark.parametrize("name", ["pong-vae-frozen-vgg", "pong-vae-plain"])
def test_convolutions_that_train_have_both_gradients(costs, name: str):
    for layer in ("Encoder/conv2_enc", "Decoder/conv2_dec", "Decoder/output"):
        everything = {"forward", "activation_gradient", "weight_gradient"}
        assert passes(costs[name], layer) == everything


def test_without_the_frozen_part_every_layer_with_weights_has_weight_gradients(costs):
    plain = costs["pong-vae-plain"]
    assert not any("PerceptualNetwork" in cost.op_name for cost in plain)
    assert {cost.layer for cost in plain if cost.pass_ == "weight_gradient"} == {
        *(f"Encoder/conv{number}_enc" for number in range(1, 6)),
        *(f"Encoder/{name}" for name in ("bottleneck", "z_mean", "z_log_var")),
        *(f"Decoder/conv{number}_dec" for number in range(1, 6)),
        *(f"Decoder/{name}" for name in ("decoding", "output")),
    }


def test_streams_are_counted_and_the_lines_derived_from_them_are_not(traces):
    """Sums of the `Stream #` lines alone, as the file states them."""
    assert traces["pong-vae-frozen-vgg"].total_ns == 28_956_049
    assert traces["tracelens-jax-te-attn-xla"].total_ns == 12_133_585


def test_an_eager_trace_says_so_and_knows_no_layer(traces, costs):
    assert traces["pong-vae-eager"].eager
    assert any("eagerly" in warning for warning in traces["pong-vae-eager"].warnings)
    assert {cost.layer for cost in costs["pong-vae-eager"]} == {None}
    assert {cost.pass_ for cost in costs["pong-vae-eager"]} == {"other", "input"}
    assert {cost.rule for cost in costs["pong-vae-eager"]} == {"eager", "copy:h2d"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pong-vae-eager"])
def test_other_traces_are_not_taken_for_eager(traces, name: str):
    assert not traces[name].eager


def test_replicas_share_their_layers_and_keep_their_devices(traces, costs):
    name = "tfprofiler-bert-replicas-8xV100"
    layers = {cost.layer for cost in costs[name] if cost.layer}
    assert not any("replica_" in layer for layer in layers)
    dropout = "bert_span_labeler/bert_encoder_1/transformer/layer_5/dropout_1"
    devices = {cost.device for cost in costs[name] if cost.layer == dropout}
    assert devices == {"/device:GPU:4", "/device:GPU:6"}
    assert {op.device for op in traces[name].ops} == {f"/device:GPU:{i}" for i in (1, 4, 6)}
    empty = [f"device plane /device:GPU:{i} is empty" for i in (0, 2, 3, 5, 7)]
    assert list(traces[name].warnings) == empty
    on_1 = [op for op in traces[name].ops if op.device == "/device:GPU:1"]
    assert {op.op_type for op in on_1} == {"MemcpyH2D"}, "a plane with copies alone"
    assert sum(op.calls for op in on_1) == 19
    assert {cost.pass_ for cost in costs[name] if cost.device == "/device:GPU:1"} == {"input"}


def test_kernels_of_xla_are_resolved_through_the_programs_in_the_file(traces):
    trace = traces["tracelens-jax-te-attn-xla"]
    assert sum(op.calls for op in trace.ops) == 150
    assert all(op.shares for op in trace.ops)
    complete = {share.op_name for op in trace.ops for share in op.shares}
    assert all(name.startswith("jit(loss_fn)/") for name in complete)


def test_forward_and_backward_of_jax_are_told_apart_and_no_more_is_claimed(costs):
    for cost in costs["tracelens-jax-te-attn-xla"]:
        backward = "transpose(" in cost.op_name.partition("/")[2]
        assert cost.pass_ == ("other" if backward else "forward")
        assert cost.layer is None
    assert {cost.pass_ for cost in costs["tracelens-jax-te-attn-xla"]} == {"forward", "other"}


def test_each_device_counts_and_events_without_an_op_stay_visible(traces, costs):
    name = "tracelens-jax-conv-8gpu-xla"
    assert {op.device for op in traces[name].ops} == {f"/device:GPU:{i}" for i in range(8)}
    nameless = [cost for cost in costs[name] if cost.rule == "nameless"]
    assert "__amd_rocclr_copyBuffer.kd" in {cost.op_name for cost in nameless}
    assert {cost.pass_ for cost in nameless} == {"other"}


def test_tpu_planes_count_instructions_and_not_the_modules_that_contain_them(traces):
    trace = traces["xprof-tpu-v6e-psum"]
    assert {op.device for op in trace.ops} == {f"/device:TPU:{i}" for i in range(4)}
    assert sum(op.calls for op in trace.ops) == 1504 + 3 * 1503
    assert all(op.hlo_op for op in trace.ops)
    # What an instruction computes stands on the metadata of its events alone.
    assert {op.op_type for op in trace.ops} == {"", "add", "broadcast_in_dim", "reduce_sum"}
    named = {share.op_name.partition("/")[0] for op in trace.ops for share in op.shares}
    assert len(named) > 0
