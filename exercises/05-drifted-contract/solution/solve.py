"""Finds the invalid records with the repaired contract, as a replay would."""

import json
from datetime import UTC, datetime

import yaml

from exercises.grading.attempt import Attempt
from sluice.contracts.loader import read_contract
from sluice.contracts.validation import validate_event


def solve(attempt: Attempt) -> None:
    """Writes the answer."""
    contract = read_contract(attempt.folder / "gauges.measured.yaml")
    records = [json.loads(line) for line in attempt.read("quarantine.jsonl").splitlines()]
    invalid = [
        f"{record['partition']}/{record['offset']}"
        for record in records
        if not validate_event(contract, record["value"].encode(), datetime.now(UTC))[0]
    ]
    (attempt.folder / "answer.yaml").write_text(yaml.safe_dump({"invalid": invalid}))
