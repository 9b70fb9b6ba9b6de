"""The Airflow DAG airport_files: writes one file per airport, with the flights that arrive there on a date."""

import csv
from pathlib import Path

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG, BaseOperator, Param, task

READER = "warehouse_reader"
COLUMNS = ("flight_id", "carrier", "flight_number", "origin", "arrival_delay_minutes")
FLIGHTS = """
select flight_id, carrier, flight_number, origin, arrival_delay_minutes from marts.fct_flights
where flight_date = %s and dest = %s
order by flight_id"""
DESTINATIONS = "select distinct dest from marts.fct_flights where flight_date = %s order by dest"


class ExportOperator(BaseOperator):
    """Writes the flights to an airport on a date to ``<folder>/<date>/<airport>.csv``; returns their number."""

    template_fields = ("airport", "date", "folder")

    def __init__(self, *, airport, date, folder, **kwargs):
        super().__init__(**kwargs)
        self.airport, self.date, self.folder = airport, date, folder

    def execute(self, context):
        rows = PostgresHook(READER).get_records(FLIGHTS, parameters=(self.date, self.airport))
        path = Path(self.folder) / self.date / f"{self.airport}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *([str(value) for value in row] for row in rows)])
        return len(rows)


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
    def destinations(params=None):
        """Returns the airports of the date's flights."""
        return [airport for (airport,) in PostgresHook(READER).get_records(DESTINATIONS, parameters=(params["date"],))]

    ExportOperator.partial(task_id="export", date="{{ params.date }}", folder="{{ params.folder }}").expand(
        airport=destinations()
    )
