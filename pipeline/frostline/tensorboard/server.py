"""TensorBoard on a sweep: finds the profile sessions, starts the server, builds the links.

In: the local folder `OUT/tensorboard`. Out: a running child process that ends with this one and
listens on 127.0.0.1 only, because TensorBoard has no passwords and a profile names the model's
layers. Refuses a folder that does not exist. TensorBoard follows links and writes beside the
profiles that it shows: the caller checks that OUT has none; those of `runs` lead to OUT.

A session needs no event file: the profile plugin lists `<run>/plugins/profile/<session>` for every
folder below the log directory, under the name `<run>/<session>`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from frostline.errors import FrostlineError, SweepError, UsageError
from frostline.launch import command
from frostline.tensorboard.process import PARENT

HOST = "127.0.0.1"
DEFAULT_PORT = 6006
"""Where it listens unless told otherwise, and where the links of a report lead."""
START_DEADLINE_S = 90
"""TensorBoard imports TensorFlow, which takes up to 16 s without `.pyc` files."""

_LAST_LINES = 5
_ASKED_TO_END = (0, -signal.SIGINT, -signal.SIGTERM)

_IN_USE = re.compile(r"already in use|could not bind", re.IGNORECASE)
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


def profile_sessions(log_dir: Path) -> tuple[str, ...]:
    """Names of the profile sessions below a log directory, as the plugin lists them."""
    traces = log_dir.glob("*/plugins/profile/*/*.xplane.pb")
    folders = {trace.parent for trace in traces}
    return tuple(sorted(f"{each.parents[2].name}/{each.name}" for each in folders))


def table_link(port: int) -> str:
    """Address of the table of hyperparameters: every trial, and parallel coordinates."""
    return f"http://{HOST}:{port}/#hparams"


def session_link(port: int, session: str) -> str:
    """Address of a session's overview page."""
    return f"http://{HOST}:{port}/?run={quote(session)}&tag=overview_page#profile"


class TensorBoard:
    """A TensorBoard server as a child process; a context manager that ends it.

    Attributes:
        port: where it listens on 127.0.0.1.
    """

    def __init__(self, log_dir: Path, *, port: int = 0, log: Path) -> None:
        """Start it and wait until it answers.

        Args:
            log_dir: local folder with event files and profiles, without links.
            port: 0 takes a free one.
            log: file that takes what it prints; temporary files of TensorBoard lie beside it.

        Raises:
            SweepError: there is no such folder.
            UsageError: the port is in use.
            FrostlineError: it ended, or did not listen within `START_DEADLINE_S`.
        """
        if not log_dir.is_dir():
            raise SweepError(f"{log_dir} is not there: has the sweep finished a trial?")
        self._log = log
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                command(
                    "frostline.tensorboard.process", "--logdir", str(log_dir),
                    "--host", HOST, "--port", str(port), "--reload_multifile", "true",
                ),
                stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                # It makes a folder that all users of the machine share, with mode 777.
                env=os.environ | {PARENT: str(os.getpid()), "TMPDIR": str(log.parent)},
            )  # fmt: skip
        try:
            self.port = self._wait_for_port(port)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the server."""
        return self._process.pid

    def runs_on(self, seconds: float) -> bool:
        """Wait so long: whether it runs still; False at once where it was asked to end.

        Raises:
            FrostlineError: it ended by itself.
        """
        try:
            ended = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        if ended not in _ASKED_TO_END:
            raise FrostlineError(f"TensorBoard ended by itself, code {ended}{self._last_words()}")
        return False

    def close(self) -> None:
        """End the server."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait_for_port(self, port: int) -> int:
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            said = self._log.read_text(errors="replace")
            if found := _ADDRESS.search(said):
                return int(found[1])
            if self._process.poll() is not None:
                if _IN_USE.search(said):
                    raise UsageError(
                        f"port {port} is in use: pass --port with another one, or --port 0 for one "
                        "that is free"
                    )
                raise FrostlineError(f"TensorBoard ended{self._last_words()}")
            time.sleep(0.1)
        raise FrostlineError(
            f"TensorBoard did not listen within {START_DEADLINE_S} s{self._last_words()}"
        )

    def _last_words(self) -> str:
        """What it said last, for a message; callers remove the log when this has failed."""
        said = self._log.read_text(errors="replace")
        lines = [line for line in said.splitlines() if line.strip()][-_LAST_LINES:]
        return ":\n  " + "\n  ".join(lines) if lines else " without a word"
