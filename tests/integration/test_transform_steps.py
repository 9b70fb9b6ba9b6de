"""The steps of a transform one by one: what readers see between them, whatever happens there."""

from typing import Any

import pytest

from sluice.errors import TerminalError
from sluice.transform import build, check, plan, publish_built
from sluice.transform.dbt import Dbt
from tests.fixtures.marts import Marts, built, marts

__all__ = ["built", "marts"]


def arguments(marts: Marts, run: str) -> dict[str, Any]:
    """Returns what each step of a run is called with."""
    dbt = Dbt(marts.settings, marts.lines.append)
    return {
        "settings": marts.settings,
        "contracts": marts.raw.contracts,
        "dbt": dbt,
        "run": run,
        "log_line": marts.lines.append,
    }


@pytest.mark.essential
def test_readers_see_nothing_before_the_last_step_and_then_everything(marts: Marts) -> None:
    before = marts.contents()
    marts.load()
    run = arguments(marts, "steps")
    assert plan(**run).due
    outcome = build(**run)
    assert outcome is not None
    assert outcome.tests > 10
    assert check(**run) == outcome
    assert marts.contents() == before
    # Loaded after the plan: the publication neither shows it nor marks it as built.
    later = marts.load()
    assert publish_built(**run) is not None
    assert marts.stale_dates() > 0
    assert marts.query(f"select from marts.fct_flights where flight_date = '{later}'").empty
    # Once more, as a cleared task does.
    published = marts.contents()
    assert publish_built(**run) is not None
    assert marts.contents() == published
    marts.transform()
    marts.assert_correct()


def test_a_build_that_others_have_overtaken_is_not_published(marts: Marts) -> None:
    before = marts.contents()
    marts.load()
    run = arguments(marts, "overtaken")
    plan(**run)
    build(**run)
    # It writes a plan of its own and leaves a part of the tables in staging.
    marts.by_hand("run", "--select", "stg_flights_departed")
    assert check(**run) is None
    assert publish_built(**run) is None
    assert marts.contents() == before
    # A cleared build plans again, and builds everything.
    assert build(**run) is not None
    assert publish_built(**run) is not None
    marts.assert_correct()


def test_a_failed_test_holds_back_its_marts_until_the_check_is_run_again(marts: Marts) -> None:
    marts.load()
    run = arguments(marts, "tested")
    plan(**run)
    query = "select * from {{ ref('dim_carrier') }}"
    with marts.broken("tests/my_test.sql", "", query):
        outcome = build(**run)
        assert outcome is not None
        assert outcome.failure_of_models() is None
        assert "my_test" in str(outcome.failure_of_tests())
        with pytest.raises(TerminalError, match="dim_carrier was not published: my_test failed"):
            publish_built(**run)
        (marts.settings.dbt / "tests/my_test.sql").write_text(f"{query} where false")
        outcome = check(**run, resume=True)
        assert outcome is not None
        assert outcome.failure_of_tests() is None
        assert publish_built(**run) is not None
    marts.transform()
    marts.assert_correct()
