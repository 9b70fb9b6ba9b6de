"""How values are written for people."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dashboard import texts


def test_what_is_missing_is_a_dash() -> None:
    assert {texts.count(None), texts.share(None), texts.minutes(None), texts.moment(None), texts.ago(None)} == {"–"}


def test_numbers_and_times() -> None:
    assert texts.count(1234567) == "1,234,567"
    assert texts.share(0.7873) == "78.7 %"
    assert texts.moment(datetime(2013, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2012-12-31 23:00"
    assert texts.ago(datetime.now(UTC) - timedelta(hours=3)).startswith("3 h 0 min")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"), (-5, "0 s")],
)
def test_durations_have_two_units(seconds: int, text: str) -> None:
    assert texts.duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "no value"),
        (b"", "empty"),
        (b'{"a": 1}', '{"a": 1}'),
        (b"\xff\x00\n", "\\xff\\x00\\n"),
        (b"x" * 300, "x" * 240 + "…"),
    ],
)
def test_bytes_are_shown_whatever_they_are(value: bytes | None, text: str) -> None:
    assert texts.excerpt(value) == text
