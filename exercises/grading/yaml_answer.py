"""Answers in YAML: a value for each key."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from exercises.grading.attempt import Attempt, WrongAnswer, yaml_reason

_NUMBER = re.compile(r"[0-9]{1,18}")


def read_yaml(attempt: Attempt, name: str, keys: Mapping[str, type]) -> dict[str, Any]:
    """Returns the values of a learner's YAML file, which has exactly these keys.

    Args:
        attempt: the learner's.
        name: of the file.
        keys: the keys with the types of their values: ``int``, ``str``, or ``object`` for any.

    Raises:
        WrongAnswer: the file is missing, is not YAML, has other keys, or a key has no value or another type.
    """
    try:
        answer = yaml.safe_load(attempt.read(name))
    except yaml.YAMLError as error:
        raise WrongAnswer(f"{name} is not YAML: {yaml_reason(error)}", "write one `key: value` a line") from error
    example = f"{next(iter(keys))}: …"
    if not isinstance(answer, dict) or sorted(map(str, answer)) != sorted(keys):
        raise WrongAnswer(
            f"{name} must have the keys {', '.join(keys)}, and no others",
            f"write each at the start of a line, with a colon and a space after it, for example `{example}`",
        )
    for key in keys:
        if answer[key] is None:
            raise WrongAnswer(f"{name}: {key} is empty", "complete it, and save the file")
    return {key: _typed(f"{name}: {key}", kind, answer[key]) for key, kind in keys.items()}


def _typed(place: str, kind: type, value: Any) -> Any:
    """Returns a value as one of its type: a number may be in quotes, and a text without them may look like a number."""
    if kind is str and not isinstance(value, list | dict):
        return str(value)
    if kind is int and isinstance(value, str) and _NUMBER.fullmatch(value):
        return int(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        expected = "a whole number" if kind is int else "a text"
        raise WrongAnswer(f"{place} is {value!r}, expected {expected}", "write it after the colon, on the same line")
    return value
