"""A stream without an end is changed, backfilled up to today, removed and dropped, with commands as people use them."""

import json
from datetime import UTC, datetime, timedelta

from sluice.contracts import load_contracts
from tests.fixtures.platform import Running
from tests.fixtures.servers import CONTRACT, Stream

NAME = "test.sensors"


def test_a_stream_without_an_end_is_backfilled_up_to_today_and_dropped_once_its_contract_is_removed(
    platform: Running,
) -> None:
    path = platform.settings.contracts / f"{NAME}.yaml"
    text = CONTRACT.format(stream=NAME, partitions=1)
    path.write_text(text)
    platform.sluice("up", "--no-live")
    stream = Stream(platform.settings, load_contracts(platform.settings.contracts)[NAME], platform.file)
    today = datetime.now(UTC).date()
    dates = [today - timedelta(days=1), today]
    for number, day in enumerate(dates):
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        event = {"event_id": str(number), "sensor": "a", "read_at": moment.isoformat(), "reading": 7, "unit": "K"}
        stream.send([json.dumps(event).encode()], int(moment.timestamp() * 1000))
    platform.sluice("load", "--stream", NAME)

    path.write_text(f"{text}  - {{name: unit, type: string, description: Unit of the value.}}\n")
    launched = platform.sluice("up", "--no-live").stdout
    assert "raw.test_sensors: unit: added; null in earlier rows until `make backfill` reloads their dates" in launched
    units = "select unit from raw.test_sensors order by event_id"
    assert list(platform.query(units)["unit"]) == [None, None]
    output = platform.sluice("backfill", "--from", "", "--to", "", "--stream", NAME).stdout
    assert f"{dates[0]} to {today}: FROM or TO is missing, so the dates that the warehouse has are taken" in output
    assert "2 of 2 dates changed" in output
    assert list(platform.query(units)["unit"]) == ["K", "K"]

    path.unlink()
    assert f"removed contract: {NAME} is no longer loaded; it leaves topic" in platform.sluice("status").stdout
    early = platform.sluice("drop-stream", "--force", "--", NAME, check=False)
    assert f"still reads topic {NAME}. Hint: run `make up`" in early.stderr
    assert f"removed contract: {NAME}" in platform.sluice("up", "--no-live").stdout
    dropped = platform.sluice("drop-stream", "--force", "--", NAME).stdout
    assert "raw.test_sensors (2 rows" in dropped
    assert "removed contract" not in platform.sluice("status").stdout
    assert platform.sluice("reconcile").returncode == 0
