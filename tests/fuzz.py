"""The fuzzer: damaged sweeps, studies and command lines, thousands of them, each from a seed.

    make fuzz                              some thousand inputs
    python tests/fuzz.py --count 5000 --first 0 --jobs 2
    python tests/fuzz.py --first 1234 --count 1 --keep kept      one of them again

Each input runs in one of several worker processes. One that takes more processor time than the
limit, or six times as long by the clock, ends its worker with a traceback of where it was, and is
tried once more in a fresh one. What a process cannot survive is found the same way. Exit code 1
when anything was wrong; each such input is named by its seed.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty, Queue

HERE = Path(__file__).parent
for each in (HERE.parent / "pipeline", HERE.parent, HERE):
    sys.path.insert(0, str(each))

LIMIT_S = 10.0


class Worker:
    """A process that takes seeds and answers with verdicts, one line each."""

    def __init__(self, sound: Path, keep: Path | None, limit_s: float) -> None:
        """Start it."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        keeping = ["--keep", str(keep)] if keep else []
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", str(sound), "--limit", str(limit_s), *keeping],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip

    def ask(self, seed: int) -> dict[str, object] | str:
        """The verdict on a seed; or the process's last words, where it did not survive."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{seed}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._last_words()
        line = self._process.stdout.readline()
        return dict(json.loads(line)) if line else self._last_words()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")[-4_000:]
        return f"the process ended with {code}:\n{said}"


def verdicts(
    seeds: range, *, jobs: int, sound: Path, keep: Path | None, limit_s: float
) -> Iterator[dict[str, object]]:
    """The verdicts on seeds, as they come."""
    todo: Queue[int] = Queue()
    for seed in seeds:
        todo.put(seed)
    found: Queue[dict[str, object]] = Queue()

    def work() -> None:
        worker = Worker(sound, keep, limit_s)
        while True:
            try:
                seed = todo.get_nowait()
            except Empty:
                worker.close()
                return
            answer = worker.ask(seed)
            if isinstance(answer, str):
                worker.close()
                worker = Worker(sound, keep, limit_s)
                answer = worker.ask(seed)
            if isinstance(answer, str):
                worker.close()
                worker = Worker(sound, keep, limit_s)
                answer = {"seed": seed, "kind": "?", "said": "?", "code": None, "told": "",
                          "wrong": answer}  # fmt: skip
            found.put(answer)

    for _ in range(jobs):
        threading.Thread(target=work, daemon=True).start()
    for _ in seeds:
        yield found.get()


def serve(sound: Path, keep: Path | None, limit_s: float) -> None:
    """What a worker does."""
    import fuzz_input

    fuzz_input.import_everything()
    faulthandler.register(signal.SIGPROF, file=sys.__stderr__, chain=True)
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        faulthandler.dump_traceback_later(6 * limit_s, exit=True, file=sys.__stderr__)
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        verdict = fuzz_input.run(int(line), sound, keep=keep)
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        answers.write(json.dumps(asdict(verdict)) + "\n")
        answers.flush()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3_000, help="inputs")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument(
        "--limit", type=float, default=LIMIT_S, help="seconds of processor time for an input"
    )
    parser.add_argument("--keep", type=Path, help="folder for inputs with which something is wrong")
    parser.add_argument("--tell", action="store_true", help="print what each input came to")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    keep = asked.keep.absolute() if asked.keep else None
    if asked.worker:
        serve(asked.worker, keep, asked.limit)
        return 0
    began = time.monotonic()
    codes: Counter[str] = Counter()
    wrong = 0
    seeds = range(asked.first, asked.first + asked.count)
    with tempfile.TemporaryDirectory(prefix="fuzz-sound-") as folder:
        import fuzz_input

        fuzz_input.prepare(Path(folder))
        for number, found in enumerate(
            verdicts(seeds, jobs=asked.jobs, sound=Path(folder), keep=keep, limit_s=asked.limit),
            start=1,
        ):
            codes[f"{found['kind']}: exit code {found['code']}"] += 1
            if asked.tell:
                told = " ".join(str(found["told"]).split())
                print(f"{found['seed']} {found['code']} {found['said']} -> {told}")
            if found["wrong"]:
                wrong += 1
                print(f"\nseed {found['seed']}, {found['said']}\n{found['wrong']}", flush=True)
            if number % 500 == 0:
                print(f"{number} inputs, {wrong} wrong", file=sys.stderr, flush=True)
    for name, count in sorted(codes.items()):
        print(f"{count:6}  {name}")
    print(f"{asked.count} inputs in {time.monotonic() - began:.0f} s, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
