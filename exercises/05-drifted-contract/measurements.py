"""Messages of river gauges: of the old firmware, of every step to the new one, and invalid ones."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

VIENNA = ZoneInfo("Europe/Vienna")
CHANGES = ("decimals", "ice", "station", "fahrenheit", "local time", "serviced")
"""What the steps to the new firmware changed."""

_FIRST = datetime(2013, 1, 1, 6, tzinfo=UTC)


def old(random: Random) -> dict[str, Any]:
    """Returns a message of the old firmware."""
    # From 6 to 18 o'clock on any day of the year: clocks change at night.
    moment = _FIRST + timedelta(days=random.randrange(365), minutes=random.randrange(720))
    fields: dict[str, Any] = {
        "reading_id": f"r{random.randrange(10**12):012}",
        "measured_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "level_cm": random.randrange(1500),
        "status": random.choice(["normal", "high", "flood"]),
        "gauge": f"G{random.choice('ADM')}{random.randrange(1000):03}",
        "temperature_c": round(random.uniform(-5, 40), 1),
    }
    if random.random() < 0.1:
        del fields["temperature_c"]
    return fields


def new(random: Random, changes: set[str] | None = None) -> dict[str, Any]:
    """Returns a message of a new firmware, by default with any of its changes, at least one."""
    fields = old(random)
    changes = changes or set(random.sample(CHANGES, random.randint(1, len(CHANGES))))
    if "decimals" in changes:
        fields["level_cm"] = round(random.randrange(1500) + random.randrange(1, 10) / 10, 1)
    if "ice" in changes:
        fields["status"] = "ice"
    if "station" in changes:
        fields["station"] = {"id": fields.pop("gauge"), "river": random.choice(["Enns", "Inn", "Mur"])}
    if "fahrenheit" in changes:
        fields.pop("temperature_c", None)
        # Some of them could be degrees Celsius.
        fields["temperature_f"] = round(random.uniform(23, 104), 1)
    if "local time" in changes:
        moment = datetime.fromisoformat(fields["measured_at"].replace("Z", "+00:00"))
        fields["measured_at"] = moment.astimezone(VIENNA).strftime("%Y-%m-%dT%H:%M:%S")
    if "serviced" in changes:
        fields["serviced"] = 1_293_840_000_000 + random.randrange(10**10)
    return fields


def at_limits(random: Random) -> list[dict[str, Any]]:
    """Returns valid messages with each limit of the measured values."""
    old_limits = [{"level_cm": 0}, {"level_cm": 1500}, {"temperature_c": -5}, {"temperature_c": 40}]
    new_limits = [{"temperature_f": 23}, {"temperature_f": 104}]
    return [old(random) | limit for limit in old_limits] + [new(random, {"fahrenheit"}) | limit for limit in new_limits]


def invalid(random: Random) -> dict[str, bytes]:
    """Returns a message of each kind that no version allows, by kind."""

    def message(*without: str, **changes: Any) -> bytes:
        fields = random.choice([old, new])(random) | changes
        return json.dumps({name: value for name, value in fields.items() if name not in without}).encode()

    text = message()
    return {
        "the level is negative": message(level_cm=-random.randrange(1, 100)),
        "the level is above 1500 cm": message(level_cm=1500.5 + random.randrange(1000)),
        "the level is not a number": message(level_cm=f"{random.randrange(1500)} cm"),
        "the status does not exist": message(status=random.choice(["ok", "FLOOD", "icy", ""])),
        "there is no status": message("status"),
        "there is no gauge": message("gauge", "station"),
        "the station has no id": message("gauge", station={"river": "Inn"}),
        "the id of the station is not one of a gauge": message("gauge", station={"id": f"g{random.randrange(10)}"}),
        "the time is not a timestamp": message(measured_at="31.01.2013 10:15"),
        "there is no time": message("measured_at"),
        "the temperature is above 104 °F": message(temperature_f=104.1 + random.randrange(100)),
        "the temperature is below 23 °F": message(temperature_f=22.9 - random.randrange(100)),
        "the temperature is above 40 °C": message(temperature_c=40.1 + random.randrange(100)),
        "the temperature is below -5 °C": message(temperature_c=-5.1 - random.randrange(100)),
        "invalid JSON": text[: random.randrange(1, len(text))],
    }


def row(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the raw table should have of a valid message."""
    moment = datetime.fromisoformat(fields["measured_at"].replace("Z", "+00:00"))
    serviced = fields.get("serviced")
    return {
        "reading_id": fields["reading_id"],
        "measured_at": (moment if moment.tzinfo else moment.replace(tzinfo=VIENNA)).astimezone(UTC),
        "level_cm": fields["level_cm"],
        "status": fields["status"],
        "gauge": fields["gauge"] if "gauge" in fields else fields["station"]["id"],
        "temperature_c": fields.get("temperature_c"),
        "temperature_f": fields.get("temperature_f"),
        "serviced_at": serviced and datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=serviced),
    }
