"""The range of event dates that a backfill accepts."""

from datetime import UTC, date, datetime

import pytest

from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.orchestration.history import event_range, history, reprocess_scope
from sluice.settings import ROOT

CONTRACTS = load_contracts(ROOT / "contracts").values()


def test_a_range_includes_both_ends_and_may_be_one_date() -> None:
    assert event_range(CONTRACTS, "2013-01-01", "2014-01-01") == (date(2013, 1, 1), date(2014, 1, 1))
    assert event_range(CONTRACTS, "2013-05-06", "2013-05-06") == (date(2013, 5, 6), date(2013, 5, 6))


def test_the_contracts_limit_the_range() -> None:
    assert history(CONTRACTS) == (date(2013, 1, 1), date(2014, 1, 1))
    ongoing = next(iter(CONTRACTS)).model_copy(update={"history": None})
    assert history([*CONTRACTS, ongoing]) == (date(1970, 1, 1), None)
    today = datetime.now(UTC).date().isoformat()
    assert event_range([*CONTRACTS, ongoing], "1999-12-31", today) == (date(1999, 12, 31), date.fromisoformat(today))
    with pytest.raises(TerminalError, match="choose from 1970-01-01 on"):
        event_range([ongoing], "1969-12-31", today)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2013-02-30", "2013-03-01", ("FROM=2013-02-30", "is not a date")),
        ("2013-02-01", "soon", ("TO=soon", "is not a date")),
        ("2012-12-31", "2013-03-01", ("FROM=2012-12-31", "2013-01-01 to 2014-01-01")),
        ("2013-02-01", "2014-01-02", ("TO=2014-01-02", "outside")),
        ("2013-02-02", "2013-02-01", ("FROM=2013-02-02", "after TO=2013-02-01")),
    ],
)
def test_an_invalid_range_is_an_error_of_one_line_that_names_the_end(
    first: str, last: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(TerminalError) as caught:
        event_range(CONTRACTS, first, last)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_an_unknown_scope_is_an_error() -> None:
    assert reprocess_scope("marts") == "marts"
    with pytest.raises(TerminalError, match="WHAT=most is unknown"):
        reprocess_scope("most")
