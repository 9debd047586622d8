"""`frostline tensorboard`: TensorBoard on a sweep, on this machine only, until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from frostline.cli.console import out


def tensorboard(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 6006,
) -> None:
    """Show a sweep in TensorBoard, trials and profiles, until Ctrl-C."""
    from pathlib import Path

    from frostline.errors import SweepError
    from frostline.scratch import scratch_folder
    from frostline.store.address import Address
    from frostline.store.sweep import open_sweep
    from frostline.tensorboard.server import TensorBoard, profile_sessions, session_link, table_link
    from frostline.words import policy_words

    place = Address.parse(sweep)
    if place.is_uri and not place.shown.startswith("file://"):
        raise SweepError(f"{place}: TensorBoard reads local folders; copy the sweep here first")
    opened = open_sweep(place)
    log_dir = Path(opened.out.local_path or "", "tensorboard")
    console = out()
    opened.out.files.walk("tensorboard")  # refuses links, which TensorBoard would follow
    policies = {row.trial_id: policy_words(row) for row in opened.trial_rows()}
    with scratch_folder(prefix="frostline-tensorboard-") as scratch:
        log = scratch / "tensorboard.log"
        with console.status("starting TensorBoard"):
            server = TensorBoard(log_dir, port=port, log=log)
        with server:
            sessions = profile_sessions(log_dir)
            console.print(f"TensorBoard: http://127.0.0.1:{server.port}/  (Ctrl-C ends it)")
            console.print(Text(f"All trials: {table_link(server.port)}"), soft_wrap=True)
            if sessions:
                console.print("Profiles:")
            else:
                console.print("No profiles here: the study kept no traces, or none was recorded.")
            for session in sessions:
                policy = policies.get(session.rpartition("/")[2], "not committed yet")
                line = f"  {policy}\n    {session_link(server.port, session)}"
                console.print(Text(line), soft_wrap=True)
            try:
                server.wait()
            except KeyboardInterrupt:
                console.print("TensorBoard ended.")
