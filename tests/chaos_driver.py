"""A sweep's driver in a process of its own, for tests that kill it.

`python chaos_driver.py STUDY --out OUT [--address HOST:PORT] --events FILE [--fake]`: the study is
run as `frostline sweep` would run it; what the driver hears is appended to FILE, one JSON list a
line. With `--fake` models are not built and trials are those of `fake_measure`, without TensorFlow;
planning, scheduling, storing and resuming are the real ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from schedule_kit import FAKE, facts  # noqa: E402

from frostline.__main__ import leave  # noqa: E402
from frostline.errors import FrostlineError  # noqa: E402
from frostline.facts.model_facts import ModelFacts  # noqa: E402
from frostline.results.outcome import TrialOutcome  # noqa: E402
from frostline.study.study import Study, load_study  # noqa: E402
from frostline.sweep.run import run_sweep  # noqa: E402

LAYERS = (*(f"net/dense{number}" for number in range(9)), "net/head")


class Recorder:
    """A listener that writes down what it hears, at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def say(self, *what: object) -> None:
        self._file.write(json.dumps(what) + "\n")

    def on_notice(self, text: str) -> None:
        self.say("notice", text)

    def on_planned(self, labels: dict[str, str], finished: int) -> None:
        self.say("planned", len(labels), finished)

    def on_stage(self, trial_id: str, stage: str) -> None:
        self.say("stage", trial_id, stage)

    def on_outcome(self, outcome: TrialOutcome) -> None:
        self.say("outcome", outcome.trial_id, outcome.status, outcome.attempts)


def fake_facts(study: Study, logs: Path) -> Mapping[str, ModelFacts]:
    """What inspecting the study's models would say, without building them."""
    return {model.name: replace(facts(LAYERS), name=model.name) for model in study.models}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", required=True)
    parser.add_argument("--address")
    parser.add_argument("--events", required=True, type=Path)
    parser.add_argument("--fake", action="store_true")
    asked = parser.parse_args()
    recorder = Recorder(asked.events)
    study = load_study(asked.study, check_builders=not asked.fake)
    fake = {"inspect": fake_facts, "process_module": FAKE} if asked.fake else {}
    try:
        result = run_sweep(study, asked.out, address=asked.address, listener=recorder, **fake)
    except FrostlineError as error:
        recorder.say("error", str(error))
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    recorder.say("result", result.planned, result.ok, result.failed, result.finished_before)
    return result.exit_code


if __name__ == "__main__":
    sys.exit(leave(main()))
