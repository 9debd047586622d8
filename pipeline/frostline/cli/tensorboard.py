"""`frostline tensorboard`: TensorBoard on a sweep, on this machine only, until Ctrl-C."""

from __future__ import annotations

import signal
from typing import Annotated

import typer
from rich.text import Text

from frostline.cli.console import err, out
from frostline.cli.documents import AsJson, print_document
from frostline.tensorboard.server import DEFAULT_PORT

_REFRESH_S = 10.0
"""How often runs that the sweep has finished meanwhile are added."""


def tensorboard(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = DEFAULT_PORT,
    as_json: AsJson = False,
) -> None:
    """Show a sweep in TensorBoard, trials and profiles, until Ctrl-C."""
    from pathlib import Path

    from frostline.errors import SweepError
    from frostline.scratch import scratch_folder
    from frostline.store.address import Address
    from frostline.store.sweep import open_sweep
    from frostline.tensorboard.runs import link_runs, run_name
    from frostline.tensorboard.server import TensorBoard, profile_sessions, session_link

    place = Address.parse(sweep)
    if place.is_uri and not place.shown.startswith("file://"):
        raise SweepError(f"{place}: TensorBoard reads local folders; copy the sweep here first")
    opened = open_sweep(place)
    log_dir = Path(opened.out.local_path or "", "tensorboard")
    if not log_dir.is_dir():
        raise SweepError(f"{log_dir} is not there: has the sweep finished a trial?")
    opened.out.files.walk("tensorboard")  # refuses links, which TensorBoard would follow
    names = {row.trial_id: run_name(row) for row in opened.trial_rows()}
    signal.signal(signal.SIGTERM, _ended)
    with scratch_folder(prefix="frostline-tensorboard-") as scratch:
        log, runs = scratch / "tensorboard.log", scratch / "runs"
        runs.mkdir()
        link_runs(log_dir, runs, opened.trial_rows())
        with err().status("starting TensorBoard"):
            server = TensorBoard(runs, port=port, log=log)
        with server:
            sessions = {
                each: session_link(server.port, f"{names[run]}/{each.rpartition('/')[2]}")
                for each in profile_sessions(log_dir)
                if (run := each.partition("/")[0]) in names
            }
            if as_json:
                links = {names[run.partition("/")[0]]: link for run, link in sessions.items()}
                found = {"address": f"http://127.0.0.1:{server.port}/", "profiles": links}
                print_document("tensorboard", {"pid": server.pid, **found})
            else:
                _print(server.port, sessions, names)
            try:
                while server.runs_on(_REFRESH_S):
                    link_runs(log_dir, runs, open_sweep(place).trial_rows())
            except KeyboardInterrupt:
                if not as_json:
                    out().print("TensorBoard ended.")


def _print(port: int, sessions: dict[str, str], names: dict[str, str]) -> None:
    from frostline.tensorboard.server import table_link

    console = out()
    console.print(f"TensorBoard: http://127.0.0.1:{port}/  (Ctrl-C ends it)")
    console.print(Text(f"All trials: {table_link(port)}"), soft_wrap=True)
    if sessions:
        console.print("Profiles:")
    else:
        console.print("No profiles here: the study kept no traces, or none was recorded.")
    for session, link in sessions.items():
        name = names[session.partition("/")[0]]
        console.print(Text(f"  {name}\n    {link}"), soft_wrap=True)


def _ended(*_: object) -> None:
    """SIGTERM ends the server as well."""
    raise SystemExit(128 + signal.SIGTERM)
