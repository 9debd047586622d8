"""The queries over exported events, as literal SQL.

What counts as an op, and what would count its time twice:

- Accelerator planes: the events of streams (GPU) or of the `XLA Ops` line (TPU). The export leaves
  out the lines that repeat them (`TensorFlow Ops`, `Name Scope`, `Steps`), modules are left out
  here. Where an accelerator has ops, those of the host are left out: they are dispatches of the
  same work, and `framework_op_stats` lists them apart, too.
- Host, graph mode: TensorFlow op events and `Iterator::` events. The `ExecutorState::Process` that
  contains them is not an op. Time of an op inside another on the same thread counts for the inner
  one.
- Host, XLA: events with an `hlo_op`, which the export leaves in `trace_args`, and what goes on of
  them on threads of Eigen's pool after they ended. The TensorFlow op that launched the program and
  waited for it is left out.
- Host, eager: TensorFlow writes no op events, only `EagerLocalExecute: <op type>`.

The input pipeline's threads work ahead of the step, and their events last while they are blocked,
so they make no device busy and end no wait: only the thread on which the step asks for its next
batch does (`tf_data_iterator_get_next`).

Events outside of the traced steps are left out. Events of the input pipeline's threads carry no
step number, so for events without one the time decides.
"""

from __future__ import annotations

from frostline.trace.ops import EXECUTOR_TYPE

# A kernel's annotation, outermost scope first: `scope::scope/op:Type#key=value,...#`. The parts
# between `#` go first, because copies name other ops there.
_ANNOTATION = r"""
regexp_replace(
    regexp_extract(trace_args, '(?:^|,)annotation=(.*?)(?:,(?:context_id|kernel_details'
        || '|memcpy_details|memset_details|level 0|group_id|is_eager|shape|edge_name|from|to)=|$)',
        1),
    '#[^#]*(#|$)', '', 'g')
"""

_ON_DEVICE = "category IN ('device', 'XLA Ops')"

EVENTS = f"""
CREATE TEMP TABLE found AS
WITH accelerated AS (
    SELECT count(*) > 0 AS yes FROM read_parquet($parquet) WHERE {_ON_DEVICE}
), raw AS (
    SELECT device AS plane, category, stream_id, thread_id, start_ns::BIGINT AS start_ns,
        end_ns::BIGINT AS end_ns, self_time_ns::BIGINT AS export_self_ns, step,
        kernel_name, coalesce(trace_args, '') AS trace_args,
        category = 'host' AS host,
        coalesce(tf_op_name, '') AS tf_op_name, coalesce(tf_op_type, '') AS tf_op_type,
        coalesce(hlo_op, '') AS hlo_op, coalesce(hlo_module, '') AS hlo_module,
        coalesce(thread_name, '') AS thread_name
    FROM read_parquet($parquet)
    WHERE CASE WHEN category = 'host'
        THEN NOT (SELECT yes FROM accelerated)
            AND (tf_op_name IS NOT NULL OR kernel_name LIKE 'Iterator::%'
                OR kernel_name LIKE 'EagerLocalExecute: %' OR trace_args LIKE 'hlo_op=%'
                OR trace_args LIKE '%,hlo_op=%')
        ELSE {_ON_DEVICE} END
), annotated AS (
    SELECT raw.*, CASE WHEN NOT host AND tf_op_name = '' AND hlo_op = ''
        THEN regexp_extract({_ANNOTATION}, '(?:.*::)?([^:]+(?::[^:]*)?)(?:::)*$', 1)
        ELSE NULL END AS annotation
    FROM raw
)
SELECT CASE WHEN host THEN '/host:' || upper(split_part(plane, ':', 1))
        ELSE '/device:' || upper(split_part(plane, ':', 1)) || ':' || split_part(plane, ':', 2) END
        AS device,
    CASE WHEN host AND tf_op_name = '' AND kernel_name LIKE 'Iterator::%' THEN kernel_name
        WHEN annotation IS NOT NULL THEN regexp_replace(annotation, ':[^:/]*$', '')
        ELSE tf_op_name END AS op_name,
    CASE WHEN NOT host AND regexp_matches(kernel_name, '^Memcpy') THEN kernel_name
        WHEN host AND tf_op_name = '' AND kernel_name LIKE 'Iterator::%' THEN 'Dataset'
        WHEN host AND tf_op_name = '' AND kernel_name LIKE 'EagerLocalExecute: %'
            THEN substr(kernel_name, length('EagerLocalExecute: ') + 1)
        WHEN annotation IS NOT NULL THEN regexp_extract(annotation, ':([^:/]*)$', 1)
        ELSE tf_op_type END AS op_type,
    CASE WHEN host THEN regexp_extract(trace_args, '(?:^|,)hlo_op=([^,]*)', 1)
        ELSE hlo_op END AS hlo_op,
    CASE WHEN host AND trace_args LIKE '%hlo_op=%'
        THEN regexp_extract(trace_args, '(?:^|,)hlo_module=([^,]*)', 1) || '('
            || regexp_extract(trace_args, '(?:^|,)program_id=(\\d+)', 1) || ')'
        ELSE hlo_module END AS hlo_module,
    kernel_name, host,
    host AND starts_with(thread_name, 'tf_data') AS in_input,
    host AND starts_with(thread_name, 'tf_data')
        AND NOT starts_with(thread_name, 'tf_data_iterator_get_next') AS ahead,
    kernel_name LIKE 'EagerLocalExecute: %' AND tf_op_name = '' AS eager_call,
    coalesce(thread_id, stream_id, 0)::BIGINT AS line, start_ns, end_ns,
    CASE WHEN category = 'XLA Ops' THEN export_self_ns ELSE end_ns - start_ns END AS self_ns,
    step
FROM annotated
"""

# The traced steps, by the number that the program gave them.
STEPS = """
CREATE TEMP TABLE steps AS
SELECT regexp_extract(trace_args, '(?:^|,)step_num=(-?\\d+)', 1)::BIGINT AS number,
    min(start_ns)::BIGINT AS opened_ns, max(end_ns)::BIGINT AS closed_ns
FROM read_parquet($parquet)
WHERE category = 'host' AND kernel_name = 'train'
    AND regexp_matches(trace_args, '(?:^|,)step_num=-?\\d+')
GROUP BY ALL
"""

# Events that carry no step's number are of the step that had begun last.
_STEP_OF = """
LEFT JOIN steps AS labelled ON found.step = 'train ' || labelled.number
ASOF LEFT JOIN steps AS begun ON found.start_ns >= begun.opened_ns
"""
KEPT = f"""
CREATE TEMP TABLE kept AS
SELECT found.*,
    CASE WHEN op_name = '' AND hlo_op = '' AND NOT host THEN kernel_name ELSE '' END AS kernel,
    coalesce(labelled.number, begun.number, (SELECT min(number) FROM steps), 0) AS number,
    false AS goes_on
FROM found {_STEP_OF}
WHERE coalesce({{inside}}, false)
"""

# Threads of the host on which some op began before an earlier one had ended.
NESTED_LINES = """
SELECT DISTINCT line FROM (
    SELECT line, start_ns, max(end_ns) OVER (PARTITION BY line ORDER BY start_ns, end_ns DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM kept WHERE host)
WHERE start_ns < before
"""

# Where the host ran the ops, its executor works from before the first op of a step until after the
# last one: it dispatches ops that leave no event, too. Two events without a length mark that.
EXECUTOR = f"""
INSERT INTO kept BY NAME
SELECT '/host:CPU' AS device, '' AS op_name, '{EXECUTOR_TYPE}' AS op_type, '' AS hlo_op,
    '' AS hlo_module, '' AS kernel_name, '' AS kernel, true AS host, false AS in_input,
    false AS ahead, false AS eager_call, -1 AS line, mark AS start_ns, mark AS end_ns, 0 AS self_ns,
    of_step AS number, false AS goes_on
FROM (
    SELECT coalesce(labelled.number, begun.number) AS of_step,
        unnest([min(start_ns), max(end_ns)])::BIGINT AS mark
    FROM read_parquet($parquet) AS found {_STEP_OF}
    WHERE category = 'host' AND kernel_name = 'ExecutorState::Process'
        AND start_ns BETWEEN begun.opened_ns AND begun.closed_ns
    GROUP BY of_step)
WHERE EXISTS (FROM kept) AND NOT EXISTS (FROM kept WHERE NOT host)
"""

# `before`: when the device's work so far had ended, None for its first event.
_ORDER = "ORDER BY start_ns, end_ns DESC, line, op_name, hlo_op, kernel_name"
_GAPS = f"""
SELECT *, max(end_ns) OVER (PARTITION BY device {_ORDER}
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
    row_number() OVER (PARTITION BY device, number {_ORDER}) = 1 AS opens_step
FROM kept WHERE NOT ahead
"""

# XLA on a CPU starts convolutions and products without waiting for them: their events end early,
# and a mark `end: <instruction>` tells when they were found to be done. In a time of a step that no
# event covers, the instruction that was started last and is not done yet runs on other threads.
RUNNING_ON = f"""
INSERT INTO kept BY NAME
WITH gaps AS (
    SELECT device, number, before AS opened, start_ns AS closed FROM ({_GAPS})
    WHERE host AND NOT opens_step AND start_ns > before
), marks AS (
    SELECT substr(kernel_name, length('end: ') + 1) AS name, end_ns::BIGINT AS done_ns
    FROM read_parquet($parquet) WHERE category = 'host' AND starts_with(kernel_name, 'end: ')
), pending AS (
    SELECT kept.*, marks.done_ns
    FROM kept ASOF JOIN marks ON kept.kernel_name = marks.name AND marks.done_ns >= kept.start_ns
    WHERE kept.host AND kept.hlo_op != ''
)
SELECT pending.* EXCLUDE (start_ns, end_ns, self_ns, line, goes_on, done_ns),
    -2 AS line,
    opened AS start_ns, closed AS end_ns, closed - opened AS self_ns, true AS goes_on
FROM gaps JOIN pending ON pending.device = gaps.device AND pending.number = gaps.number
    AND pending.start_ns < opened AND pending.done_ns > opened
QUALIFY row_number() OVER (
    PARTITION BY gaps.device, opened ORDER BY pending.start_ns DESC, pending.kernel_name) = 1
"""

# The idle time before an event is that op's wait; before the first event of a step it is the
# step's own.
WAITS = f"""
CREATE TEMP TABLE waited AS
SELECT * EXCLUDE (before, opens_step),
    CASE WHEN opens_step THEN 0 ELSE greatest(0, start_ns - coalesce(before, start_ns)) END
        AS wait_ns,
    CASE WHEN opens_step THEN greatest(0, start_ns - coalesce(before, start_ns)) ELSE 0 END
        AS between_ns,
    greatest(0, end_ns - greatest(start_ns, coalesce(before, start_ns))) AS busy_ns
FROM ({_GAPS})
UNION ALL BY NAME
SELECT *, 0 AS wait_ns, 0 AS between_ns, 0 AS busy_ns FROM kept WHERE ahead
"""

# Over devices: busy time, the steps' own idle time, and the whole from the first step's start to
# the last one's end. A device's clock is read apart from the host's, so its events may begin
# before the step that the host marked; the window then begins with them.
TIMELINE = """
SELECT sum(busy)::BIGINT,
    sum(between_steps + first - least(first, $opened) + greatest(last, $closed) - last)::BIGINT,
    sum(greatest(last, $closed) - least(first, $opened))::BIGINT
FROM (SELECT sum(busy_ns) AS busy, sum(between_ns) AS between_steps,
        min(start_ns) AS first, max(end_ns) AS last
    FROM waited WHERE NOT ahead GROUP BY device)
"""

# Start of the first event and end of the last one, where no step was marked.
EXTENT = "SELECT min(start_ns), max(end_ns) FROM waited"

KEY = "device, op_name, op_type, hlo_op, hlo_module, kernel, in_input, ahead"

# By op, lists over the steps in which it ran.
BY_STEP = f"""
SELECT {KEY}, list(number), list(calls), list(ns), list(wait), list(short)
FROM (SELECT {KEY}, number, sum(self_ns)::BIGINT AS ns,
        count(*) FILTER (NOT goes_on) AS calls,
        sum(wait_ns)::BIGINT AS wait,
        count(*) FILTER (
            end_ns - start_ns < $short AND NOT goes_on AND op_type != '{EXECUTOR_TYPE}') AS short
    FROM waited GROUP BY ALL)
GROUP BY ALL ORDER BY ALL
"""

# The launching op holds its thread from before the program starts until it has ended.
LAUNCHES_AWAY = """
DELETE FROM found USING (
    SELECT coalesce(thread_id, 0)::BIGINT AS line, start_ns::BIGINT AS start_ns
    FROM read_parquet($parquet)
    WHERE category = 'host' AND kernel_name LIKE '%Executable::Execute%'
) AS launch
WHERE found.host AND found.hlo_op = '' AND found.line = launch.line
    AND launch.start_ns BETWEEN found.start_ns AND found.end_ns
"""
