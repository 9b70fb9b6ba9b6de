"""The commands that send events, in a child process: a replay's is restarted if it is killed."""

import signal
import subprocess
import sys
from types import FrameType
from typing import Any

import typer

from sluice.settings import ROOT

ATTEMPTS = 4
"""The first one and three more."""
_PRODUCER = (sys.executable, "-m", "producers")


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    # All options, including --help, go to the producer.
    options: Any = {
        "add_help_option": False,
        "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    }

    @app.command(
        help="Replay a range of dates, --from and --to, with optional fault injection; `--help` lists the options.",
        **options,
    )
    def replay(context: typer.Context) -> None:
        raise typer.Exit(run([*_PRODUCER, "replay", *context.args]))

    @app.command(
        help="Send a --file to the topic of a --stream, with optional fault injection; `--help` lists the options.",
        **options,
    )
    def send(context: typer.Context) -> None:
        # Not restarted: events without an id would count twice.
        raise typer.Exit(run([*_PRODUCER, "send", *context.args], attempts=1))


def run(command: list[str], attempts: int = ATTEMPTS) -> int:
    """Runs a command to completion, and restarts it if it is killed. Forwards SIGINT and SIGTERM to it.

    A restart of a replay duplicates nothing in the marts: the same rows get the same event ids.

    Returns:
        The command's exit code; 128 plus the signal's number, as in a shell, if its last attempt was killed.
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
    for attempt in range(1, attempts + 1):
        # In a process group of its own, so that it gets Ctrl-C once, from here.
        child = subprocess.Popen(command, cwd=ROOT, process_group=0)
        status = child.wait()
        if status >= 0 or forwarded:
            break
        name = signal.Signals(-status).name
        action = "restarting; events sent twice count once" if attempt < attempts else "giving up"
        print(f"the producer was killed by {name}: {action}", file=sys.stderr)
    return status if status >= 0 else 128 - status
