"""Each promise once, on the platform that the README launches. The end-to-end tests cover each in depth."""

import ipaddress
import re

import psutil

from infra.processes import processes
from tests.fixtures import truth
from tests.fixtures.platform import Running

JANUARY = ("2013-01-01", "2013-01-31")
TABLES = ("fct_flights", "agg_carrier_daily", "agg_airport_hourly")


def test_the_marts_show_january_row_by_row(platform: Running) -> None:
    truth.assert_marts(platform.query, *JANUARY)


def test_the_marts_are_correct_after_a_replay_with_faults(platform: Running) -> None:
    days = ("2013-08-01", "2013-08-01")
    before = _quarantined(platform)
    faults = ["--late", "0.05", "--duplicates", "0.05", "--corrupt", "0.01", "--invalid", "0.01", "--seed", "3"]
    sent = platform.sluice("replay", "--from", days[0], "--to", days[1], *faults).stdout
    injected = {kind: int(count) for count, kind in re.findall(r"(\d+) (late|duplicate|corrupt|invalid)", sent)}
    platform.sluice("load")
    platform.sluice("transform")
    truth.assert_marts(platform.query, *days)
    assert min(injected.values()) > 0
    assert _quarantined(platform) - before == injected["corrupt"] + injected["invalid"]
    assert "everything agrees" in platform.sluice("reconcile", "--wait").stdout


def test_a_backfill_of_correct_dates_changes_nothing(platform: Running) -> None:
    before = [platform.checksum(table) for table in TABLES]
    output = platform.sluice("backfill", "--from", "2013-01-10", "--to", "2013-01-11").stdout
    assert "nothing changed on these dates: the checksums of" in output
    assert "reconcile: lake and warehouse agree" in output
    assert len(re.findall(r"^2013-01-1[01]  unchanged ", output, re.MULTILINE)) == 2
    kept = platform.query("select holds, proof from ops.backfills order by seq desc limit 1").iloc[0]
    assert kept["holds"]
    assert kept["proof"] in output
    assert [platform.checksum(table) for table in TABLES] == before


def test_the_lake_alone_is_enough_to_rebuild_the_warehouse(platform: Running) -> None:
    before = [platform.checksum(table) for table in TABLES]
    assert "the marts are identical" in platform.sluice("rebuild-warehouse", "--force").stdout
    assert [platform.checksum(table) for table in TABLES] == before


def test_a_manual_dbt_run_publishes_a_plan_of_its_own(platform: Running) -> None:
    before = [platform.checksum(table) for table in TABLES]
    platform.sluice("dbt", "build", "--selector", "transform", "--full-refresh")
    assert [platform.checksum(table) for table in TABLES] == before


def test_every_service_is_healthy_and_on_loopback_only(platform: Running) -> None:
    pids = {process.pid for process, _ in processes.owned(platform.settings.home)}
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid in pids
    }
    assert len(listening) >= 6
    assert not [
        address for address in listening if not ipaddress.ip_address(address[0].removeprefix("::ffff:")).is_loopback
    ]


def test_no_log_has_a_secret(platform: Running) -> None:
    assert platform.file.stat().st_mode & 0o777 == 0o600
    secrets = re.findall(r"_(?:PASSWORD|KEY|SECRET)=(\S+)", platform.file.read_text())
    assert len(secrets) > 8
    logs = [path for path in (platform.settings.home / "logs").rglob("*") if path.is_file()]
    logs += [path for path in (platform.settings.home / "airflow").rglob("*.log") if path.is_file()]
    assert logs
    for path in logs:
        text = path.read_text(errors="replace")
        assert not [path for secret in secrets if secret in text], path


def test_a_second_up_changes_nothing(platform: Running) -> None:
    before = {service.name: service.pid for service in platform.services().status()}
    platform.sluice("up", "--no-live")
    assert {service.name: service.pid for service in platform.services().status()} == before


def _quarantined(platform: Running) -> int:
    return int(platform.query("select count(*) from raw.quarantine").iloc[0, 0])
