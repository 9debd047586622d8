"""Runs to MLflow: an experiment for a study, a run for each trial.

In: runs, and where MLflow keeps them: a folder, in which a SQLite database is made, or the tracking
URI of a server. Out: how many runs were written. A run that is there already is left alone. The
library is imported on use, and told to send no usage data. Refuses (`UsageError`) to go on without
it, and a place that it cannot use.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frostline.errors import StorageError, UsageError
from frostline.exporting.tracking import TrackedRun, metric_facts
from frostline.store.storage_errors import storage_errors

DATABASE = "mlflow.db"
_INSTALL = "MLflow is not installed: `pip install mlflow-skinny sqlalchemy alembic`"
_KEY = "frostline.key"
_PAGE = 1_000


def tracking_uri(place: str) -> str:
    """What MLflow calls a place: a URI as it is, a folder as its database."""
    return place if "://" in place else f"sqlite:///{Path(place).expanduser().resolve() / DATABASE}"


def to_mlflow(runs: Sequence[TrackedRun], *, study: str, shown: str, place: str) -> int:
    """Write runs that are not there yet.

    Args:
        runs: of one sweep.
        study: the experiment's name.
        shown: the sweep's OUT, as a tag.
        place: a folder, or a tracking URI (`http://127.0.0.1:5000`).

    Returns:
        How many were written.

    Raises:
        UsageError: MLflow is not installed, or what it keeps a database with.
        StorageError: it cannot use the place; with its message.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():  # its own dependencies warn each other
        warnings.simplefilter("ignore")
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise UsageError(_INSTALL) from error
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        if "://" not in place:
            with storage_errors("write", place):
                Path(place).expanduser().mkdir(parents=True, exist_ok=True)
        try:
            client = MlflowClient(tracking_uri=tracking_uri(place))
            experiment = _experiment(client, study, place)
            there = _there(client, experiment)
            new = [run for run in runs if run.key not in there]
            for run in new:
                _write(client, experiment, run, shown)
        except ImportError as error:  # what keeps its database is imported when it is opened
            raise UsageError(_INSTALL) from error
        except MlflowException as error:
            said = str(error).strip().splitlines()[0]
            raise StorageError(
                f"MLflow cannot use {place}: {said}; choose another --out"
            ) from error
    return len(new)


def _experiment(client: Any, study: str, place: str) -> str:
    found = client.get_experiment_by_name(study)
    if found is not None:
        return str(found.experiment_id)
    artifacts = None
    if "://" not in place:
        artifacts = (Path(place).expanduser().resolve() / "artifacts").as_uri()
    made = client.create_experiment(study, artifact_location=artifacts)
    client.set_experiment_tag(made, "mlflow.note.content", _note(study))
    return str(made)


def _note(study: str) -> str:
    lines = [
        f"Trials of the Frostline study {study}: one run for each freeze configuration.",
        "",
        "| metric | unit | meaning |",
        "|---|---|---|",
        *(f"| {name} | {unit} | {doc} |" for name, unit, doc in metric_facts()),
    ]
    return "\n".join(lines)


def _there(client: Any, experiment: str) -> set[str]:
    """Keys of the runs that are in the experiment."""
    found: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], max_results=_PAGE, page_token=token)
        found |= {run.data.tags[_KEY] for run in page if _KEY in run.data.tags}
        token = page.token
        if not token:
            return found


def _write(client: Any, experiment: str, run: TrackedRun, shown: str) -> None:
    from mlflow.entities import Metric, Param

    started_ms, ended_ms = round(1e3 * run.started_s), round(1e3 * run.ended_s)
    about = {"frostline.out": shown, "frostline.group": run.group}
    tags = about | {f"frostline.{name}": value for name, value in run.tags.items()}
    made = client.create_run(experiment, start_time=started_ms, tags=tags, run_name=run.name)
    client.log_batch(
        made.info.run_id,
        metrics=[Metric(name, value, ended_ms, 0) for name, value in run.metrics.items()],
        params=[Param(name, value) for name, value in run.parameters.items()],
    )
    client.set_terminated(made.info.run_id, "FINISHED" if run.ok else "FAILED", end_time=ended_ms)
    client.set_tag(made.info.run_id, _KEY, run.key)  # last: what was cut short is written again
