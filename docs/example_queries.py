"""Worked SQL queries, as literal data: `docs/tables.md` shows them, and the tests run them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One worked query.

    Attributes:
        title: the question it answers.
        text: what to know about it.
        sql: DuckDB SQL over views named as the tables.
    """

    title: str
    text: str
    sql: str


QUERIES = (
    Query(
        title="Which configurations are measurably faster?",
        text=(
            "The noise floor is recomputed over all controls of the model and setting; a speedup "
            "inside it, or with an interval that contains 1, is left out."
        ),
        sql="""\
WITH floors AS (
    SELECT model, batch_size, optimizer, precision, jit_compile, strategy,
           max(greatest(abs(speedup - 1), (speedup_high - speedup_low) / 2)) AS noise_floor
    FROM trials
    WHERE is_control AND status = 'ok'
    GROUP BY ALL
)
SELECT t.model, t.policy, round(t.frozen_fraction, 3) AS frozen_fraction,
       round(t.speedup, 2) AS speedup, round(t.speedup_low, 2) AS low,
       round(t.speedup_high, 2) AS high, round(f.noise_floor, 3) AS noise_floor
FROM trials AS t
JOIN floors AS f
  ON (t.model, t.batch_size, t.precision, t.jit_compile, t.strategy)
   = (f.model, f.batch_size, f.precision, f.jit_compile, f.strategy)
 AND t.optimizer IS NOT DISTINCT FROM f.optimizer
WHERE t.status = 'ok' AND t.speedup_low > 1 AND t.speedup - 1 > f.noise_floor
ORDER BY t.speedup DESC""",
    ),
    Query(
        title="Where does a baseline's step spend its time, layer by layer?",
        text="Profiled op time of the first control, in which everything trains, in milliseconds.",
        sql="""\
SELECT t.model, l.index, l.layer, l.kind, l.params,
       l.forward_ns / 1e6 AS forward_ms,
       l.activation_gradient_ns / 1e6 AS activation_gradient_ms,
       l.weight_gradient_ns / 1e6 AS weight_gradient_ms
FROM layers AS l
JOIN trials AS t USING (trial_id)
WHERE t.is_control AND t.replicate = 0
ORDER BY t.model, l.index""",
    ),
    Query(
        title="Which ops vanish when a prefix is frozen?",
        text=(
            "Op time by pass and op type, the first control against one configuration, for a study "
            "of one model under one setting; 0 where there is no such op."
        ),
        sql="""\
SELECT o.pass, o.op_type,
       coalesce(sum(o.ns_per_step) FILTER (t.is_control), 0) / 1e6 AS baseline_ms,
       coalesce(sum(o.ns_per_step) FILTER (t.policy = 'prefix:2'), 0) / 1e6 AS frozen_ms
FROM op_costs AS o
JOIN trials AS t USING (trial_id)
WHERE (t.is_control AND t.replicate = 0) OR t.policy = 'prefix:2'
GROUP BY ALL
ORDER BY baseline_ms - frozen_ms DESC, o.pass, o.op_type""",
    ),
    Query(
        title="Does the speedup follow from the raw samples?",
        text=(
            "Samples are kept raw. The speedup is the median over pairs of the baseline's step "
            "time divided by the trial's. In a sandwich the mean of the two baselines is taken."
        ),
        sql="""\
WITH pairs AS (
    SELECT trial_id, pair,
           avg(step_ns) FILTER (arm = 'baseline') AS baseline_ns,
           avg(step_ns) FILTER (arm = 'trial') AS trial_ns
    FROM steps
    WHERE NOT warmup
    GROUP BY ALL
)
SELECT t.policy, t.replicate, count(*) AS pairs,
       round(median(p.baseline_ns / p.trial_ns), 4) AS from_samples,
       round(any_value(t.speedup), 4) AS stored
FROM pairs AS p
JOIN trials AS t USING (trial_id)
GROUP BY ALL
ORDER BY t.policy, t.replicate""",
    ),
    Query(
        title="How good is each predictor, out of sample?",
        text=(
            "Predictions are made from the anchors, so anchors are no evidence. Errors are "
            "relative to the measured speedup; compare them with the noise floor."
        ),
        sql="""\
SELECT predictor, count(*) AS held_out,
       round(avg(abs(predicted_speedup / measured_speedup - 1)), 4) AS mean_error,
       round(max(abs(predicted_speedup / measured_speedup - 1)), 4) AS largest_error,
       round(max(noise_floor), 4) AS noise_floor
FROM predictions
WHERE NOT is_anchor AND measured_speedup IS NOT NULL AND predicted_speedup IS NOT NULL
GROUP BY predictor
ORDER BY mean_error, predictor""",
    ),
)
