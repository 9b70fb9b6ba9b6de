"""Values formatted for display."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from markupsafe import Markup

from dashboard import formatting


def test_a_missing_value_is_a_dash() -> None:
    assert {
        formatting.count(None),
        formatting.percent(None),
        formatting.decimal(None),
        formatting.delay(None),
        formatting.timestamp(None),
        formatting.duration(None),
        formatting.ago(None),
    } == {"–"}


def test_numbers_and_times() -> None:
    assert formatting.count(1234567) == "1,234,567"
    assert formatting.percent(0.7873) == "78.7 %"
    assert formatting.decimal(1234.56) == "1,234.6"
    assert formatting.timestamp(datetime(2013, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2012-12-31 23:00"
    assert formatting.ago(datetime.now(UTC) - timedelta(hours=3)).startswith("3 h ago")


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0"), (47.4, "47"), (99.9, "100"), (583.0, "600"), (617.0, "600"), (3_240.0, "3,000")]
)
def test_a_measured_number_is_rounded_so_that_it_does_not_flicker(value: float, text: str) -> None:
    assert formatting.rounded(value) == text


def test_a_duration_can_be_shown_in_one_unit() -> None:
    assert formatting.about(timedelta(hours=7, minutes=59)) == "7 h"


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(12.54, "12.5 min"), (0.0, "0.0 min"), (-0.04, "0.0 min"), (-2.1, "2.1 min early"), (1234.5, "1,234.5 min")],
)
def test_a_negative_delay_is_early(minutes: float, text: str) -> None:
    assert formatting.delay(minutes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"), (-5, "0 s")],
)
def test_durations_have_two_units(seconds: int, text: str) -> None:
    assert formatting.duration(timedelta(seconds=seconds)) == text


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
def test_any_bytes_can_be_shown(value: bytes | None, text: str) -> None:
    assert formatting.excerpt(value) == text


@pytest.mark.parametrize("text", ["infinity", "0044-03-15 00:00:00+00 BC", "10000-01-01 00:00:00+00"])
def test_a_time_that_python_does_not_have_is_shown_as_postgres_writes_it(text: str) -> None:
    assert formatting.timestamp(text) == formatting.ago(text) == text


def test_a_year_has_four_digits() -> None:
    assert formatting.timestamp(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01 00:00"


def test_what_a_template_prints_is_printable_and_of_limited_length() -> None:
    assert formatting.printable("a\u202eb\x1b\n") == r"a\u202eb\x1b\n"
    assert formatting.printable("x" * 5_000) == "x" * formatting.MAX_TEXT + "…"
    # What templates have already rendered, and what is not text, stays as it is.
    assert formatting.printable(Markup("<p>\n</p>")) == "<p>\n</p>"
    assert formatting.printable(3) == 3
