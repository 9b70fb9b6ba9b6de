"""Drops a stream whose contract was removed: its topic, its lake table, and everything in the warehouse."""

from collections.abc import Callable, Mapping

import psycopg

from sluice.alerts import Change, clear_alerts_of_removed
from sluice.contracts import Contract, invalid_contracts
from sluice.errors import TerminalError, TransientError
from sluice.kafka.deletion import delete_topic
from sluice.lake.deletion import delete_table
from sluice.removed.remains import Remains, remains, removed_streams
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse import streams as warehouse_streams
from sluice.warehouse.connect import can_provision
from sluice.warehouse.failures import cause, is_transient

_LOCK_TIMEOUT = "60s"
_AGAIN = "run `make drop-stream NAME={stream}` again, which continues"


def find_dropped(settings: Settings, contracts: Mapping[str, Contract], stream: str) -> Remains | None:
    """Returns what dropping a stream deletes; None if the platform has nothing of a stream of that name.

    Raises:
        TerminalError: the stream has a contract, which may be invalid; a view reads its raw table; or only another
            administrator can drop that.
        TransientError: a consumer still reads its topic, or a server is down.
    """
    invalid = {file.stream: file.path for file in invalid_contracts(contracts)}
    if stream in contracts or stream in invalid:
        state = f"has a contract that is not valid, {invalid[stream]}" if stream in invalid else "has a contract"
        raise TerminalError(f"{stream} {state}", f"remove its file and run `make up`, then drop {stream}")
    topic = removed_streams(settings, contracts).get(stream)
    if topic is None:
        return None
    found = remains(settings, contracts, stream, topic)
    if found.views:
        raise TerminalError(
            f"{', '.join(found.views)} {'reads' if len(found.views) == 1 else 'read'} the raw table of {stream}",
            f"drop {' and '.join(found.views)} before",
        )
    if found.readers:
        raise TransientError(
            f"the consumer group {' and '.join(found.readers)} still reads topic {topic}",
            "run `make up`, which restarts the sink, and stop all other consumers of the topic",
        )
    if not can_provision(settings):
        raise TerminalError(
            f"the platform may not drop the raw table of {stream}: the warehouse is external",
            "set SLUICE_WAREHOUSE_ADMIN_PASSWORD for this command, or ask the administrator of the warehouse",
        )
    return found


def drop(settings: Settings, found: Remains, report: Callable[[str], None]) -> list[Change]:
    """Deletes everything that a stream left behind, and clears its alerts. A step that was done before does nothing.

    The warehouse comes last: as long as it knows the stream, an interrupted command can be repeated.

    Args:
        settings: with the passwords of Postgres's superuser, of the loader and of the lake's keeper.
        found: what there is.
        report: receives a line per step.

    Returns:
        The alerts that were cleared.

    Raises:
        TransientError: a server is down.
        TerminalError: a server rejects a request.
    """
    stream = found.stream
    if found.deletes_topic:
        delete_topic(settings, found.topic)
        report(f"deleted topic {found.topic}")
    delete_table(settings, stream)
    report(f"deleted lake table {stream}")
    cleared = clear_alerts_of_removed(settings, [stream])
    try:
        with connect(settings, "postgres") as warehouse:
            warehouse.execute("select set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            warehouse_streams.drop_stream(warehouse, stream)
    except psycopg.Error as error:
        kind = TransientError if is_transient(error) else TerminalError
        raise kind(
            f"dropping {stream} from the warehouse failed: {cause(error)}", _AGAIN.format(stream=stream)
        ) from error
    report(f"deleted the raw table, quarantine, ledger and statistics of {stream}")
    return cleared
