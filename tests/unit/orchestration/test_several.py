"""Airflow's commands that run in a single process."""

from airflow.cli import cli_parser

from infra.servers.airflow import SET_UP
from sluice.orchestration.several import split


def test_commands_are_separated_by_then() -> None:
    assert [*split(["db", "migrate", "then", "users", "create", "--role", "Admin"])] == [
        ["db", "migrate"],
        ["users", "create", "--role", "Admin"],
    ]
    assert [*split([])] == []


def test_the_metadata_is_set_up_by_commands_that_airflow_has() -> None:
    parser = cli_parser.get_parser()
    assert [parser.parse_args(command).subcommand for command in split(SET_UP)] == ["migrate", "create"]
