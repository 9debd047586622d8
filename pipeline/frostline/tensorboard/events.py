"""TensorBoard event files of a sweep, without TensorFlow.

In: a trial's rows. Out: the bytes of its event file with hyperparameters, status, scalars and raw
samples; and one file for the whole sweep, with the columns of the table of hyperparameters.

TensorBoard's own writers import TensorFlow where it is installed, which a process that schedules
trials must not do. TensorBoard's `RecordWriter` and protocol buffers do not import it, so the files
are written with these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from io import BytesIO
from typing import cast

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from frostline.tensorboard.hparams import (
    HPARAMS,
    SAMPLES,
    SCALARS,
    HParam,
    Row,
    Value,
    hparams_of,
    samples_of,
    scalars_of,
)

_FILE = "events.out.tfevents.frostline"
"""Fixed, so that a retry replaces what an earlier attempt wrote."""

EXPERIMENT_PATH = f"tensorboard/{_FILE}"
"""Of the sweep's own event file, relative to OUT."""

_DOCS = {each.tag: each.doc for each in SCALARS} | {
    SAMPLES["trial"]: "One sample a pair, in milliseconds; the step is the pair's number.",
    SAMPLES["baseline"]: "The baseline in the same pair, in milliseconds.",
}


def events_path(trial_id: str) -> str:
    """Where a trial's event file lies, relative to OUT."""
    return f"tensorboard/{trial_id}/{_FILE}"


def trial_events(row: Row, steps: Sequence[Row]) -> bytes:
    """The event file of a trial, from its row of `trials` and its rows of `steps`.

    A failed trial has no rows of `steps`.
    """
    began_s = cast("datetime", row["started_at"]).timestamp()
    ended_s = began_s + cast("float", row["duration_s"])
    good = row["status"] == "ok"
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=began_s)
    for name, value in hparams_of(row).items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    end = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE, end_time_secs=ended_s
    )
    values = [
        _hparams(
            hparams_metadata.SESSION_START_INFO_TAG,
            plugin_data_pb2.HParamsPluginData(session_start_info=start),
        ),
        *(_scalar(tag, value) for tag, value in scalars_of(row).items()),
        _hparams(
            hparams_metadata.SESSION_END_INFO_TAG,
            plugin_data_pb2.HParamsPluginData(session_end_info=end),
        ),
    ]
    events = [Event(wall_time=ended_s, step=0, summary=Summary(value=values))]
    by_pair: dict[int, list[Summary.Value]] = defaultdict(list)
    for tag, samples in samples_of(steps).items():
        for pair, step_ms in samples:
            by_pair[pair].append(_scalar(tag, step_ms))
    events += [
        Event(wall_time=ended_s, step=pair, summary=Summary(value=shown))
        for pair, shown in sorted(by_pair.items())
    ]
    return _file(began_s, events)


def experiment_events(study: str, rows: Iterable[Row], *, created_s: float) -> bytes:
    """The event file of a sweep: the columns of its table of hyperparameters, and its metrics.

    Args:
        study: the study's name.
        rows: of `trials`, committed and planned ones: a filter of the table offers the values that
            occur in them, and hides other values.
        created_s: now, in seconds since the epoch.
    """
    occurring: dict[str, set[Value]] = {}
    for row in rows:
        for name, value in hparams_of(row).items():
            occurring.setdefault(name, set()).add(value)
    experiment = api_pb2.Experiment(
        name=study,
        description=f"Frostline study {study}: step time by freeze configuration.",
        time_created_secs=created_s,
        hparam_infos=list(_columns(occurring)),
        metric_infos=[
            api_pb2.MetricInfo(
                name=api_pb2.MetricName(tag=each.tag), display_name=each.tag, description=each.doc
            )
            for each in SCALARS
            if each.metric
        ],
    )
    summary = _hparams(
        hparams_metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=experiment)
    )
    return _file(created_s, [Event(wall_time=created_s, summary=Summary(value=[summary]))])


def _columns(occurring: Mapping[str, set[Value]]) -> Iterator[api_pb2.HParamInfo]:
    for each in HPARAMS:
        values = occurring.get(each.name)
        if not values:
            continue
        info = _info(each, differs=len(values) > 1)
        numbers = sorted(value for value in values if not isinstance(value, str))
        if numbers:
            info.domain_interval.min_value, info.domain_interval.max_value = numbers[0], numbers[-1]
        else:
            info.domain_discrete.extend(sorted(map(str, values)))
        yield info


def _info(each: HParam, *, differs: bool) -> api_pb2.HParamInfo:
    return api_pb2.HParamInfo(
        name=each.name,
        display_name=each.name,
        description=each.doc,
        type=api_pb2.DATA_TYPE_FLOAT64 if each.numeric else api_pb2.DATA_TYPE_STRING,
        differs=differs,
    )


def _hparams(tag: str, data: plugin_data_pb2.HParamsPluginData) -> Summary.Value:
    """A summary whose content is in its metadata, as the hparams plugin reads it."""
    metadata: SummaryMetadata = hparams_metadata.create_summary_metadata(data)
    return Summary.Value(tag=tag, metadata=metadata, tensor=hparams_metadata.NULL_TENSOR)


@cache
def _scalar_metadata(tag: str) -> SummaryMetadata:
    return scalar_metadata.create_summary_metadata(display_name=tag, description=_DOCS.get(tag, ""))


def _scalar(tag: str, value: float) -> Summary.Value:
    return Summary.Value(
        tag=tag,
        metadata=_scalar_metadata(tag),
        tensor=TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(), float_val=[value]),
    )


def _file(began_s: float, events: Iterable[Event]) -> bytes:
    sink = BytesIO()
    writer = RecordWriter(sink)
    for event in (Event(wall_time=began_s, file_version="brain.Event:2"), *events):
        writer.write(event.SerializeToString())
    return sink.getvalue()
