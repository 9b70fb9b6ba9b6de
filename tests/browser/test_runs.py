"""The page about runs in a browser: Airflow's runs, the logs of failed tasks, the proofs of backfills."""

import re
from typing import LiteralString

import pytest
from playwright.sync_api import expect
from psycopg.errors import InsufficientPrivilege

from sluice.warehouse import connect
from tests.fixtures.browser import Open, chart, table
from tests.fixtures.platform import Running


def test_runs_shows_those_of_airflow_with_failures_first(open_page: Open, platform: Running) -> None:
    page = open_page("/runs")
    with connect(platform.settings, "reader", "airflow") as airflow:
        states = dict(airflow.execute("select run_id || dag_id, state from dag_run").fetchall())
        failed = airflow.execute(
            "select count(*) from task_instance join dag_run using (dag_id, run_id)"
            " where dag_run.state = 'failed' and task_instance.state = 'failed'"
        ).fetchone()
    assert len(chart(page, "#runs-chart")["times"]) <= len(states)
    shown = table(page, "#runs table")
    assert len(shown) > 3
    assert shown[1].tolist() == sorted(shown[1], key=lambda state: state != "failed")
    links = page.locator("#runs tbody th a")
    assert f":{platform.settings.airflow_port}/dags/" in str(links.first.get_attribute("href"))
    assert failed is not None
    assert page.locator("#failures tbody tr").count() == min(int(str(failed[0])), 25)


def test_a_failed_task_leads_to_its_log(open_page: Open, platform: Running) -> None:
    with connect(platform.settings, "postgres", "airflow") as airflow:
        # The latest transform, as if it had failed. Airflow does not look at runs that have ended.
        run = airflow.execute(
            "select run_id from dag_run where dag_id = 'transform' and state = 'success'"
            " order by start_date desc limit 1"
        ).fetchone()
        assert run is not None
        airflow.execute("update dag_run set state = 'failed' where dag_id = 'transform' and run_id = %s", run)
        airflow.execute("update task_instance set state = 'failed' where dag_id = 'transform' and run_id = %s", run)
    try:
        page = open_page("/runs")
        row = page.locator("#failures tbody tr", has_text="transform").first
        href = str(row.get_by_role("link").get_attribute("href"))
        assert re.search(
            rf":{platform.settings.airflow_port}/dags/transform/runs/[^/]+/tasks/\w+\?try_number=\d+$", href
        )
        expect(page.locator("#runs tbody tr").first).to_have_class("bad")
        first = open_page("/")
        expect(first.locator("#problems")).to_contain_text("run of transform failed", ignore_case=True)
        expect(first.locator('[data-node="transform"]')).to_have_class(re.compile(r"\bbad\b"))
    finally:
        with connect(platform.settings, "postgres", "airflow") as airflow:
            airflow.execute("update dag_run set state = 'success' where dag_id = 'transform' and run_id = %s", run)
            airflow.execute(
                "update task_instance set state = 'success' where dag_id = 'transform' and run_id = %s", run
            )


def test_a_backfill_is_shown_with_its_proof(open_page: Open, platform: Running) -> None:
    with connect(platform.settings, "loader") as loader:
        loader.execute(
            "insert into ops.backfills (first_date, last_date, streams, what, holds, proof) values"
            " ('2013-01-01', '2013-01-02', '{flights.departed}', 'all', true, 'nothing changed on these dates')"
        )
    try:
        page = open_page("/runs")
        backfill = page.locator("#backfills details").first
        expect(backfill.locator("summary")).to_contain_text("2013-01-01 to 2013-01-02: all of flights.departed")
        expect(backfill.locator(".pill")).to_have_text("proved")
        backfill.locator("summary").click()
        expect(backfill.locator("pre")).to_contain_text("nothing changed on these dates")
    finally:
        with connect(platform.settings, "loader") as loader:
            loader.execute("delete from ops.backfills where proof = 'nothing changed on these dates'")


@pytest.mark.parametrize("query", ["select conf from dag_run", "select * from connection", "delete from dag_run"])
def test_the_reader_sees_only_the_runs_of_airflow(platform: Running, query: LiteralString) -> None:
    with connect(platform.settings, "reader", "airflow") as airflow, pytest.raises(InsufficientPrivilege):
        airflow.execute(query)
