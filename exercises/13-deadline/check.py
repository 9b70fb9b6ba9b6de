"""Creates runs of days to come, reads when Airflow says that they are due, and receives the alerts."""

import json
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from random import Random
from secrets import token_hex
from time import sleep
from typing import Any

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.dag_sandbox import DagSandbox, dag_sandbox
from exercises.grading.http_server import http_server, send

FILE, DAG, TASK, SCHEDULE = "morning_report.py", "morning_report", "report", "0 6 * * *"
READY, DONE = "ready by 07:30", "done in 20 minutes"
IN_TIME = timedelta(minutes=90)
QUEUE_TIME = timedelta(minutes=20)
LATE_SECONDS = 10.0
"""Far more than the five that the callback may wait: a busy machine may read the answer seconds after it has come."""


def check(attempt: Attempt) -> None:
    """Checks runs that are queued early, late and by hand, and a webhook that refuses the message."""
    attempt.program(FILE)
    random = Random(token_hex())  # noqa: S311 - no secret
    attempt.tell("starting an Airflow for the check")
    with http_server(webhook := Webhook()) as url:
        connections = {"alert_webhook": {"conn_type": "generic", "host": f"{url}/{token_hex(4)}"}}
        with dag_sandbox(attempt, FILE, connections) as airflow:
            _check_dag(airflow)
            grader = Grader(airflow, webhook)
            attempt.tell("creating runs, and letting their deadlines pass")
            six = datetime(2031, 1, 1, 6, tzinfo=UTC) + timedelta(days=random.randrange(3000))
            grader.compare(six, six + timedelta(seconds=random.randrange(1, 60)))
            six += timedelta(days=random.randrange(1, 30))
            grader.compare(six, six + timedelta(hours=2, minutes=random.randrange(60)))
            six += timedelta(days=random.randrange(1, 30))
            # A webhook may say more than that all is well.
            webhook.status = 202
            grader.compare(None, six + timedelta(hours=random.randrange(3, 17), minutes=random.randrange(60)))
            for status in (400, 503):
                webhook.status = status
                grader.expect_failure(six + timedelta(days=1), f"answers {status}")
            webhook.status, webhook.seconds = 200, LATE_SECONDS
            attempt.tell("the webhook is slow")
            hint = "how long does the callback wait for an answer?"
            grader.expect_failure(six + timedelta(days=1), f"answers after {LATE_SECONDS} seconds", hint)


class Webhook:
    """Collects the messages that are posted to it."""

    def __init__(self) -> None:
        self.status = 200
        self.seconds = 0.0
        """How long an answer takes."""
        self.bodies: list[bytes] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers a request."""
        self.bodies.append(handler.rfile.read(int(handler.headers.get("Content-Length", 0))))
        sleep(self.seconds)
        send(handler, self.status, b"{}")

    def take(self) -> list[bytes]:
        """Returns the bodies since the last call."""
        taken, self.bodies = self.bodies, []
        return taken


class Grader:
    """Compares the deadlines of one run and their messages with the promises."""

    def __init__(self, airflow: DagSandbox, webhook: Webhook) -> None:
        self._airflow = airflow
        self._webhook = webhook

    def compare(self, logical_date: datetime | None, queued_at: datetime) -> None:
        """Creates a run, by hand if it has no logical date."""
        what = f"a run {f'of {_shown(logical_date)}' if logical_date else 'by hand'}, queued at {_shown(queued_at)},"
        run_id, deadlines = self._airflow.deadlines(DAG, logical_date, queued_at)
        expected = [(queued_at + QUEUE_TIME, DONE)]
        if logical_date:
            expected.append((logical_date + IN_TIME, READY))
        expected.sort()
        due = [deadline.due for deadline in deadlines]
        if due != [time for time, _ in expected]:
            raise WrongAnswer(
                f"{what} is due at {_all(due)}, expected {_all([time for time, _ in expected])}",
                "what is each deadline measured from, and does this run have it?",
            )
        for deadline in deadlines:
            if deadline.error:
                raise WrongAnswer(
                    f"{what} is late: the callback fails: {deadline.error}", "where does it run, and what is it given?"
                )
        bodies = self._webhook.take()
        if len(bodies) != len(expected):
            raise WrongAnswer(
                f"{what} misses {len(expected)} deadlines: the webhook received {len(bodies)} messages",
                "one message for each deadline",
            )
        for body, (time, promise) in zip(bodies, expected, strict=True):
            self._compare_message(body, {"dag_id": DAG, "run_id": run_id, "promise": promise, "deadline": time})

    def expect_failure(
        self, queued_at: datetime, what: str, hint: str = "how does the callback notice that the message was refused?"
    ) -> None:
        """Creates a run whose alert the webhook does not take."""
        _, deadlines = self._airflow.deadlines(DAG, None, queued_at)
        if not all(deadline.error for deadline in deadlines):
            raise WrongAnswer(f"the webhook {what}, and Airflow records the callback as successful", hint)

    def _compare_message(self, body: bytes, expected: dict[str, Any]) -> None:
        try:
            message = dict(json.loads(body))
        except (TypeError, ValueError):
            raise WrongAnswer(f"the message is {body[:200]!r}, expected a JSON object", "see the page") from None
        for field, value in expected.items():
            if _value(message.get(field)) != value:
                correct = value.isoformat() if isinstance(value, datetime) else value
                raise WrongAnswer(
                    f"the message has {field} {message.get(field)!r}, expected {correct!r}",
                    "the table on the exercise's page names the fields",
                )
        text = str(message.get("text"))
        for field in expected:
            if str(message[field]) not in text:
                raise WrongAnswer(f"the message's text has no {field}: {text!r}", "people read only the text")


def _check_dag(airflow: DagSandbox) -> None:
    dag = airflow.dag(DAG)
    if dag.schedule != SCHEDULE or set(dag.tasks) != {TASK}:
        raise WrongAnswer(
            f"the DAG has the schedule {dag.schedule!r} and the tasks {sorted(dag.tasks)}", "both stay as they were"
        )


def _value(found: object) -> object:
    """Returns a time for a text that is one."""
    try:
        return datetime.fromisoformat(str(found))
    except ValueError:
        return found


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _all(times: list[datetime]) -> str:
    return " and ".join(map(_shown, times)) or "no time"
