"""The command that sends a range of dates: a child process that is started again if something kills it."""

import signal
import subprocess
import sys
from types import FrameType

import typer

from sluice.settings import ROOT

TRIES = 4
"""The first one and three more."""


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    # The options are the producer's own; so is its --help.
    @app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        help="Sends a range of dates: --from and --to, and disturbances; `--help` lists them.",
    )
    def replay(context: typer.Context) -> None:
        raise typer.Exit(run([sys.executable, "-m", "producers", "replay", *context.args]))


def run(command: list[str]) -> int:
    """Runs a command to its end, again if it is killed; signals to stop are handed on to it.

    Doing it again doubles nothing: the same rows give the same event ids.

    Returns:
        Its exit code; 128 and the signal's number when it was killed once too often, as a shell says it.
    """
    forwarded = False
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, _: FrameType | None) -> None:
        nonlocal forwarded
        forwarded = True
        if child is not None:
            child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    status = 0
    for attempt in range(1, TRIES + 1):
        # In a process group of its own: a Ctrl-C reaches it once, through us.
        child = subprocess.Popen(command, cwd=ROOT, process_group=0)
        status = child.wait()
        if status >= 0 or forwarded:
            break
        name = signal.Signals(-status).name
        again = "starting it again; what it sent twice counts once" if attempt < TRIES else "giving up"
        print(f"the producer was killed by {name}: {again}", file=sys.stderr)
    return status if status >= 0 else 128 - status
