"""Runs the DAG against a station with faults, and compares how often the task was tried and how it ended."""

import json
import socket
from itertools import pairwise
from pathlib import Path
from random import Random
from secrets import token_hex

from exercises.catalogue import load_program
from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.dag_results import TaskRun
from exercises.grading.dag_sandbox import DagSandbox, dag_sandbox

api = load_program(Path(__file__).parent / "station_api.py")

DAG, TASK = "station", "fetch"
HOPELESS = (400, 401, 403, 405, 406, 409, 410, 414, 422, 451)
UNUSUAL_HOPELESS = (430, 440, 460, 494, 495, 499)
"""Those of some servers, which are in no list of HTTP's own."""
UNUSUAL_PASSING = (520, 521, 522, 523, 527)
QUICK, LATE = 1.0, 3.5
"""Seconds after which a response is complete: well within the limit of 3 for a try, and beyond it."""
SECONDS = 9.0
"""The longest time that a try may take with Airflow's own work, which on a busy machine takes seconds as well."""
TABLE = "the table on the exercise's page says what a retry can help"
FIRST_WAIT, LONGEST_WAIT, LEAST, MOST = 120.0, 600.0, 600.0, 3600.0


def check(attempt: Attempt) -> None:
    """Checks hopeless errors, passing ones, a station that stays down, and one that is slow."""
    random = Random(token_hex())  # noqa: S311 - no secret
    readings = {"readings": [{"celsius": random.randint(-20, 40)} for _ in range(3)]}
    good = api.document(json.dumps(readings).encode())
    attempt.program("station.py")
    attempt.tell("starting an Airflow for the check")
    with dag_sandbox(attempt, "station.py") as airflow, api.station() as station:
        if TASK not in airflow.dag(DAG).tasks:
            raise WrongAnswer(f"the DAG {DAG} has no task {TASK}", "keep the id of the task")

        def expect(what: str, answers: list[object], tries: int, state: str, hint: str = TABLE) -> TaskRun:
            attempt.tell(f"the station answers with {what}")
            station.plan(*answers)
            run = _run(airflow, station.url)
            _compare(what, run, station.requests, tries, state, hint)
            return run

        for code in (404, random.choice(HOPELESS), random.choice(UNUSUAL_HOPELESS)):
            expect(f"status {code}", [api.status(code)], 1, "failed")
        expect("status 200 and a page that is not JSON", [api.page], 1, "failed")
        pairs = (random.sample(codes, 2) for codes in ((429, 408), (425, 500), (501, random.choice(UNUSUAL_PASSING))))
        for what, faults in (
            *(("status {} and then {}".format(*pair), [api.status(code) for code in pair]) for pair in pairs),
            ("a connection that is cut twice", random.sample([api.cut, api.close], 2)),
        ):
            run = expect(f"{what}, and then the readings", [*faults, good], 3, "success")
            if run.value != readings:
                raise WrongAnswer(f"the task returns {run.value}, expected {readings}", "return the document as it is")
        code = random.choice(HOPELESS)
        expect(f"status 503 and then {code}", [api.status(503), api.status(code)], 2, "failed")
        attempt.tell("the station is down")
        _check_waits(_run_without_station(airflow))
        hint = "which timeout covers the whole try, and how long is it?"
        expect(f"readings that are complete after {QUICK:.0f} second", [api.slow(readings, QUICK)], 1, "success", hint)
        what = f"a response that comes byte by byte, and is complete after {LATE} seconds; then the readings"
        expect(what, [api.slow(readings, LATE), good], 2, "success", hint)
        for what, fault in (("never comes", api.hang), ("comes byte by byte", api.drip)):
            run = expect(f"a response that {what}, and then the readings", [fault, good], 2, "success")
            if run.seconds[0] > SECONDS:
                raise WrongAnswer(
                    f"a try whose response {what} takes {run.seconds[0]:.0f} seconds, expected at most 3",
                    "which timeout covers the whole try?",
                )


def _run(airflow: DagSandbox, url: str) -> TaskRun:
    (run,) = airflow.run(DAG, {"url": url}).of(TASK)
    return run


def _run_without_station(airflow: DagSandbox) -> TaskRun:
    with socket.socket() as reserved:
        # Bound, but not listening: a connection is refused.
        reserved.bind(("127.0.0.1", 0))
        run = _run(airflow, f"http://127.0.0.1:{reserved.getsockname()[1]}/readings")
    if run.tries == 1:
        raise WrongAnswer("a connection is refused: the task is tried once", "the station may be starting")
    return run


def _compare(what: str, run: TaskRun, requests: int, tries: int, state: str, hint: str) -> None:
    if (run.tries, run.state) != (tries, state):
        raise WrongAnswer(
            f"{what}: the task was tried {_times(run.tries)}, expected {_times(tries)}; {run.error or run.state}", hint
        )
    if requests != tries:
        raise WrongAnswer(
            f"{what}: {_times(tries)} tried, but {requests} requests sent",
            "leave the retries to Airflow, one request per try",
        )


def _check_waits(run: TaskRun) -> None:
    waits = run.waits
    shown = ", ".join(f"{wait:.0f}" for wait in waits)
    problem = ""
    if waits[0] > FIRST_WAIT:
        problem = f"the first is expected to be at most {FIRST_WAIT:.0f}"
    elif any(later < earlier for earlier, later in pairwise(waits)) or waits[-1] <= waits[0]:
        problem = "they are expected to grow"
    elif max(waits) > LONGEST_WAIT:
        problem = f"each is expected to be at most {LONGEST_WAIT:.0f}"
    elif not LEAST <= sum(waits) <= MOST:
        problem = f"together they are expected to be {LEAST:.0f} to {MOST:.0f}, and are {sum(waits):.0f}"
    if problem:
        raise WrongAnswer(
            f"the station stays down: Airflow waits {shown} seconds; {problem}",
            "the waits follow from the arguments of the task",
        )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
