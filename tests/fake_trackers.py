"""Stand-ins for tracking libraries, with as much of them as an export uses.

The tests of exports run on these, and on the real libraries where they are installed.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace


class MlflowException(Exception):
    pass


class Pages(list):
    token = None


class Client:
    """MLflow's client; every database lives as long as the test's process."""

    stores: dict[str, dict] = {}  # noqa: RUF012
    left = 1_000
    """How many runs still fit."""

    def __init__(self, tracking_uri: str) -> None:
        if not tracking_uri.startswith("sqlite:///"):
            raise MlflowException(f"no such store: {tracking_uri}")
        self.store = self.stores.setdefault(tracking_uri, {"experiments": {}, "runs": []})

    def get_experiment_by_name(self, name: str):
        found = self.store["experiments"].get(name)
        return found and SimpleNamespace(experiment_id=found)

    def create_experiment(self, name: str, artifact_location: str | None) -> str:
        return self.store["experiments"].setdefault(name, "1")

    def set_experiment_tag(self, experiment: str, key: str, value: str) -> None:
        assert value

    def search_runs(self, experiments: list[str], max_results: int, page_token: str | None):
        return Pages(self.store["runs"])

    def create_run(self, experiment: str, start_time: int, tags: dict, run_name: str):
        if self.left == 0:
            raise MlflowException("the disk is full")
        Client.left = self.left - 1
        made = SimpleNamespace(
            info=SimpleNamespace(run_id=len(self.store["runs"])),
            data=SimpleNamespace(tags=dict(tags)),
        )
        self.store["runs"].append(made)
        return made

    def log_batch(self, run_id: int, metrics: list, params: list) -> None:
        assert all(isinstance(value, float) for _, value, _, _ in metrics)
        assert all(isinstance(value, str) for _, value in params)

    def set_terminated(self, run_id: int, status: str, end_time: int) -> None:
        assert status in ("FINISHED", "FAILED")

    def set_tag(self, run_id: int, key: str, value: str) -> None:
        self.store["runs"][run_id].data.tags[key] = value


def modules(name: str) -> dict[str, ModuleType]:
    """The modules of `mlflow` or `wandb`, by name."""
    if name == "mlflow":
        entities = {"Metric": lambda *parts: parts, "Param": lambda *parts: parts}
        return {
            "mlflow": _module("mlflow", MlflowClient=Client),
            "mlflow.exceptions": _module("mlflow.exceptions", MlflowException=MlflowException),
            "mlflow.entities": _module("mlflow.entities", **entities),
        }
    return {
        "wandb": _module("wandb", init=_init, Settings=lambda **options: options, Error=OSError)
    }


def _init(**options: object) -> SimpleNamespace:
    assert options["mode"] == "offline"
    return SimpleNamespace(summary={}, finish=lambda exit_code: None)


def _module(name: str, **content: object) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(content)
    return made
