"""The Airflow DAG station: fetches the readings of a weather station every hour."""

import json
from datetime import timedelta
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import urlopen

from airflow.sdk import DAG, BaseOperator, Param
from airflow.sdk.exceptions import AirflowFailException

PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


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
            if error.code in PASSING or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            raise AirflowFailException(f"the station answers {error.code}: correct the URL") from error
        except ValueError as error:
            raise AirflowFailException(f"the station does not answer JSON ({error}): correct the URL") from error


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
        # 30 seconds to one minute, one to two, two to four, four to eight, eight to ten: 15 to 25 minutes.
        retries=5,
        retry_delay=timedelta(seconds=30),
        retry_exponential_backoff=2.0,
        max_retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(seconds=10),
    )
