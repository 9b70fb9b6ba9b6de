"""The Airflow DAG station: fetches the readings of a weather station every hour."""

import json
from datetime import timedelta
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from airflow.sdk import DAG, BaseOperator, Param
from airflow.sdk.exceptions import AirflowFailException


class FetchOperator(BaseOperator):
    """Returns the JSON document at a URL."""

    template_fields = ("url",)

    def __init__(self, *, url, **kwargs):
        super().__init__(**kwargs)
        self.url = url

    def execute(self, context):
        try:
            with urlopen(self.url) as response:
                return json.load(response)
        except HTTPError as error:
            raise RuntimeError(f"the station answers {error.code}") from error
        except URLError as error:
            raise AirflowFailException(f"the station is down: {error.reason}") from error


with DAG(
    "station",
    description="fetches the readings of a weather station",
    schedule="5 * * * *",
    catchup=False,
    params={"url": Param("http://station.invalid/readings", type="string", description="Where the readings are.")},
):
    FetchOperator(
        task_id="fetch",
        url="{{ params.url }}",
        retries=10,
        retry_delay=timedelta(minutes=30),
    )
