"""The Airflow DAG airport_files: writes one file per airport, with the flights that arrive there on a date."""

import csv
from pathlib import Path

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, Param, task

READER = "warehouse_reader"
AIRPORTS = ("ATL", "LAX", "ORD")
COLUMNS = ("flight_id", "carrier", "flight_number", "origin", "arrival_delay_minutes")

with DAG(
    "airport_files",
    description="writes one file per airport, with the flights that arrive there on a date",
    schedule=None,
    params={
        "date": Param("2013-01-15", type="string", format="date", description="The date of the flights."),
        "folder": Param("files", type="string", description="Where the files are written."),
    },
):

    @task
    def export_all(params=None):
        """Writes the files of all airports."""
        for airport in AIRPORTS:
            rows = PostgresHook(READER).get_records(
                "select flight_id, carrier, flight_number, origin, arrival_delay_minutes from marts.fct_flights"
                f" where flight_date = '{params['date']}' and dest = '{airport}'"
            )
            path = Path(params["folder"]) / params["date"] / f"{airport}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", newline="") as file:
                csv.writer(file).writerows([COLUMNS, *rows])

    export_all()
