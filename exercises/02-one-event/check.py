"""Grades where an event is, against the contract, the lake and the warehouse. Each learner has another event."""

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.yaml_answer import read_yaml
from sluice.contracts import load_contracts, topic_names
from sluice.errors import TerminalError
from sluice.lake.reader import LakeReader
from sluice.warehouse.connect import connect

STREAM = "flights.departed"
EVENT = "event.txt"
KEYS = {"topic": str, "partition": int, "offset": int, "file": str, "flight_id": str}


def start(attempt: Attempt) -> None:
    """Picks an event, unless one was picked before."""
    if (attempt.folder / EVENT).exists():
        return
    query = "select event_id from raw.flights_departed order by random() limit 1"
    with connect(attempt.settings, "reader") as connection:
        row = connection.execute(query).fetchone()
    if row is None:
        raise TerminalError("the warehouse has no departures yet", "run `make load`, then try again")
    (attempt.folder / EVENT).write_text(f"{row[0]}\n")


def check(attempt: Attempt) -> None:
    """Compares each key with what the platform has."""
    answer = read_yaml(attempt, "answer.yaml", KEYS)
    event = attempt.read(EVENT).strip()
    query = "select _partition, _offset, flight_id from raw.flights_departed where event_id = %s"
    with connect(attempt.settings, "reader") as connection:
        # Several, if the producer has sent the event more than once.
        records = connection.execute(query, (event,)).fetchall()
    if not records:
        raise WrongAnswer(f"the warehouse has no event {event}", f"`make reset N=2` writes another {EVENT}")
    topic = topic_names(load_contracts(attempt.settings.contracts))[STREAM]
    if answer["topic"] != topic:
        raise WrongAnswer(f"topic: no record of the event is in {answer['topic']}", "see the contract of the stream")
    if not any(answer["partition"] == partition for partition, _, _ in records):
        raise WrongAnswer(f"partition: the event is not in partition {answer['partition']}", "see its row in raw")
    if (answer["partition"], answer["offset"]) not in [(partition, offset) for partition, offset, _ in records]:
        raise WrongAnswer(
            f"offset: the event is not at offset {answer['offset']} of this partition", "see the event's row in raw"
        )
    files = LakeReader(attempt.settings, STREAM).find(answer["partition"], answer["offset"])
    if answer["file"].lstrip("/") not in files:
        raise WrongAnswer("file: that file does not hold the record", "maintenance may have merged it: look again")
    if answer["flight_id"] not in [flight for _, _, flight in records]:
        raise WrongAnswer("flight_id: the event is one of another flight", "see the event's row in raw")
