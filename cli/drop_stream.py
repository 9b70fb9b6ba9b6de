"""The command that drops a stream whose contract was removed.

Arrow and the servers' clients are imported where they are used, so that other commands start without them.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.usage import require
from sluice.contracts import load_contracts
from sluice.contracts.names import table_name
from sluice.errors import TerminalError
from sluice.settings import Settings, load_settings

if TYPE_CHECKING:
    from sluice.removed.remains import Remains


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @app.command("drop-stream")
    def drop_stream(
        stream: Annotated[str, typer.Argument(help="The stream, whose contract was removed.")],
        force: Annotated[bool, typer.Option(help="Skip the confirmation.")] = False,
    ) -> None:
        """Delete the topic, lake table, raw table, quarantine and statistics of a stream without a contract."""
        from sluice.removed.drop import drop, find_dropped

        require(stream, "NAME", "drop-stream")
        settings = load_settings()
        contracts = load_contracts(settings.contracts)
        found = find_dropped(settings, contracts, stream)
        if found is None:
            print(f"nothing to delete: the platform has no stream {stream!r} without a contract")
            return
        print(f"of {stream}, this deletes:")
        for part in found.parts():
            print(f"  {part}")
        if found.topic_use and not found.deletes_topic:
            owner = f"stream {found.topic_stream} has it" if found.topic_stream else "Kafka is external"
            print(f"topic {found.topic} stays: {owner}")
        for line in _readers(settings, found):
            print(line)
        if not force:
            if not sys.stdin.isatty():
                raise TerminalError(
                    f"confirmation required: this deletes {stream} for good",
                    f"run `make drop-stream NAME={stream} FORCE=1`",
                )
            typer.confirm(f"Delete {stream}?", abort=True)
        for change in drop(settings, found, print):
            print(change.text())


def _readers(settings: Settings, found: "Remains") -> list[str]:
    """Returns lines that name what of the dbt project reads the stream's table."""
    from sluice.transform.dbt import Dbt
    from sluice.transform.lineage import readers_of_source

    readers = readers_of_source(Dbt(settings, print).read_manifest_if_any(), table_name(found.stream))
    lines = []
    if readers.run:
        lines.append(
            "dbt reads it in the following, which stay as they are and fail in each transform until you change or"
            f" remove them: {', '.join(readers.run)}"
        )
    if readers.referring:
        lines.append(f"dbt refers to it in the following, which stay as they are: {', '.join(readers.referring)}")
    return lines
