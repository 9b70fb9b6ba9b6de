"""Compares this host's clock with those of the servers, and with the newest events."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import urllib3

from sluice.errors import TransientError
from sluice.lake.bucket import http_pool
from sluice.settings import Settings
from sluice.warehouse import connect

MAX_SKEW = timedelta(minutes=1)
"""Clocks of different hosts may differ by this much."""

_HINT = "keep the clocks of all hosts in step, for example by `timedatectl set-ntp true`"


def clock_skew(settings: Settings) -> dict[str, str]:
    """Returns a description of each clock that differs by more than ``MAX_SKEW``: a server's, or a stream's producers'.

    Raises:
        TransientError, TerminalError: a server is down or rejects a request.
    """
    with connect(settings, "reader") as warehouse:
        before = datetime.now(UTC)
        row = warehouse.execute("select clock_timestamp()").fetchone()
        postgres = _ahead(row[0] if row else None, before)
        ahead = warehouse.execute(
            "select stream, max(watermark - loaded_at) from ops.ledger_ends"
            " where loaded_at > now() - interval '1 hour' and watermark > loaded_at group by 1 order by 1"
        ).fetchall()
    events = {str(stream): lead for stream, lead in ahead if isinstance(lead, timedelta)}
    return skewed({"Postgres": postgres, "MinIO": _ahead(_store_time(settings), datetime.now(UTC))}, events)


def skewed(servers: Mapping[str, timedelta], events: Mapping[str, timedelta]) -> dict[str, str]:
    """Returns a description of each clock that is too far off.

    Args:
        servers: by server, how far its clock is ahead of this host's; negative if it is behind.
        events: by stream, how far its newest event was ahead of Postgres' clock when it was loaded.
    """
    problems = {
        name: f"its clock is {_minutes(abs(ahead))} {_side(ahead)} this host's; {_HINT}"
        for name, ahead in servers.items()
        if abs(ahead) > MAX_SKEW
    }
    return problems | {
        stream: f"events are {_minutes(ahead)} ahead of the clock of the host that loads them; {_HINT}"
        for stream, ahead in events.items()
        if ahead > MAX_SKEW
    }


def _ahead(moment: object, now: datetime) -> timedelta:
    return moment - now if isinstance(moment, datetime) else timedelta(0)


def _store_time(settings: Settings) -> datetime | None:
    """Returns the store's time, in whole seconds: any store states it in every answer."""
    try:
        with http_pool(settings, retries=0) as pool:
            response = pool.request("GET", f"{settings.lake_endpoint}/minio/health/live")
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(
            f"{settings.lake_store}: {type(error).__name__}: {error}", "run `make status` and `make logs S=minio`"
        ) from error
    stated = response.headers.get("Date")
    return parsedate_to_datetime(stated) if stated else None


def _side(ahead: timedelta) -> str:
    return "ahead of" if ahead > timedelta(0) else "behind"


def _minutes(duration: timedelta) -> str:
    return f"{duration / timedelta(minutes=1):,.0f} min"
