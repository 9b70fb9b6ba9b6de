"""Answers in YAML: a value for each key."""

from collections.abc import Sequence
from typing import Any

import yaml

from exercises.grading.attempt import Attempt, WrongAnswer


def read_yaml(attempt: Attempt, name: str, keys: Sequence[str]) -> dict[str, Any]:
    """Returns the values of a learner's YAML file, which has exactly these keys.

    Raises:
        WrongAnswer: the file is missing, is not YAML, has other keys, or has a key without a value.
    """
    try:
        answer = yaml.safe_load(attempt.read(name))
    except yaml.YAMLError as error:
        raise WrongAnswer(f"{name} is not YAML: {_reason(error)}", "write one `key: value` a line") from error
    if not isinstance(answer, dict) or sorted(map(str, answer)) != sorted(keys):
        raise WrongAnswer(
            f"{name} must have the keys {', '.join(keys)}, and no others",
            f"write each at the start of a line, with a colon and a space after it, for example `{keys[0]}: …`",
        )
    for key in keys:
        if answer[key] is None:
            raise WrongAnswer(f"{name}: {key} is empty", "complete it, and save the file")
    return answer


def _reason(error: yaml.YAMLError) -> str:
    """Returns what is wrong and where, on one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())
