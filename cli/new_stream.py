"""The command that infers a new stream's contract from a sample, with its examples and its staging model.

Arrow is imported where it is used, so that other commands start without it.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from cli.model_files import staging_model
from cli.new_files import write_files
from cli.os_user import os_user
from cli.usage import require
from sluice.contracts import Contract, read_contract
from sluice.contracts.model import MAX_COLUMNS
from sluice.contracts.names import collisions
from sluice.errors import TerminalError
from sluice.escaping import escape
from sluice.settings import ROOT, Settings, load_settings

if TYPE_CHECKING:
    from sluice.contracts.inference import Guess, Inference

_MAX_RECORDS = 50_000
"""Records of a sample that are read."""
_FEWER = "leave out columns that nobody needs"


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""
    app.command()(new_stream)


def new_stream(
    name: Annotated[str, typer.Argument(help="The stream's name, for example quakes.reported.")],
    sample: Annotated[
        str, typer.Option(help="A file of its events: JSON Lines, a JSON list, GeoJSON, CSV or Parquet.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace the files of a stream that exists.")] = False,
) -> None:
    """Infer a stream's contract from a sample, and write it with examples and a staging model."""
    require(name, "NAME", "new-stream")
    require(sample, "SAMPLE", "new-stream")
    settings = load_settings()
    _check_name(name, settings)
    contract, inference, texts = infer_contract(name, Path(sample))
    files = stream_files(settings, contract, inference, texts)
    _check_absent(name, files, force)
    write_files(files)
    _print_report(contract, inference, texts, Path(sample), list(files))


def infer_contract(name: str, sample: Path) -> tuple[Contract, "Inference", list[bytes]]:
    """Returns the contract inferred for a stream, what it was inferred from, and the records of the sample.

    Raises:
        TerminalError: the sample cannot be read, or has records that are not JSON objects.
    """
    from producers.files import open_records
    from sluice.contracts.inference import infer

    records = open_records(sample)
    texts = records.texts(range(min(len(records), _MAX_RECORDS)))
    try:
        inference = infer(
            name,
            [_record(sample, text, number) for number, text in enumerate(texts, 1)],
            os_user(),
            sample.name,
            records.types,
        )
    except ValueError as error:
        raise TerminalError(f"{sample}: {error}", "give a file of JSON objects with fields") from None
    if len(inference.columns) > MAX_COLUMNS:
        raise TerminalError(
            f"{sample}: {len(inference.columns):,} columns, but a contract has at most {MAX_COLUMNS:,}",
            _FEWER,
        )
    return _contract(sample, name, inference.contract), inference, texts


def _contract(sample: Path, name: str, text: str) -> Contract:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            return read_contract(path)
        except TerminalError as error:
            # The file is gone when the message is read.
            problem = error.message.removeprefix(f"{path}: ")
            raise TerminalError(f"{sample}: its contract is not valid: {problem}", _FEWER) from None


def stream_files(
    settings: Settings, contract: Contract, inference: "Inference", texts: list[bytes]
) -> dict[Path, bytes]:
    """Returns the files of a stream by path; the contract, which makes the stream exist, is the last."""
    examples, staging = settings.contracts / "examples", settings.dbt / "models" / "staging"
    valid = next((text for text in texts if not _violation(contract, text)), b"")
    if not valid:
        raise TerminalError(
            f"no record of the sample is valid: {_violation(contract, texts[0])}", "give a sample of valid events"
        )
    return {
        **{staging / name: text.encode() for name, text in staging_model(contract).items()},
        examples / f"{contract.stream}.sample.pass.json": valid + b"\n",
        examples / f"{contract.stream}.invalid.fail.json": _invalid_example(contract, valid) + b"\n",
        settings.contracts / f"{contract.stream}.yaml": inference.contract.encode(),
    }


def _check_name(name: str, settings: Settings) -> None:
    """Raises a TerminalError if a stream cannot have the name."""
    try:
        Contract.model_validate({"stream": name})
    except ValidationError as error:
        if problem := next((details for details in error.errors() if details["loc"] == ("stream",)), None):
            raise TerminalError(
                f"{name!r} cannot be the name of a stream: {problem['msg'].removeprefix('Value error, ')}",
                "give two or more words in lower case with dots between them, such as quakes.reported",
            ) from None
    names = {path.stem for path in settings.contracts.glob("*.yaml")} | {name}
    for stream, other in collisions(names).items():
        if name in (stream, other):
            taken = other if name == stream else stream
            raise TerminalError(f"the tables of {name} would have the names of those of {taken}", "choose another name")


def _check_absent(name: str, files: dict[Path, bytes], force: bool) -> None:
    if not force and (existing := next((path for path in files if path.exists()), None)):
        raise TerminalError(
            f"{existing} exists already", f"choose another name than {name}, or replace it with FORCE=1"
        )


def _record(sample: Path, text: bytes, number: int) -> dict[str, Any]:
    from sluice.contracts.inference import parse_json

    try:
        record = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise TerminalError(f"{sample}: record {number} is invalid JSON: {error}", "fix or remove it") from None
    if not isinstance(record, dict):
        raise TerminalError(f"{sample}: record {number} is not an object", "give a file of JSON objects")
    return record


def _violation(contract: Contract, text: bytes) -> str:
    from sluice.contracts.validation import validate_event

    return validate_event(contract, text, datetime.now(UTC))[1]


def _invalid_example(contract: Contract, valid: bytes) -> bytes:
    """Returns an event without its time, its id, or another required value, or if none is required, not an object."""
    from producers.contract_violations import contract_violations

    violations = contract_violations(contract)
    nulls = {violation.column: violation for violation in violations if violation.kind == "null"}
    found = [nulls[name] for name in (contract.event_time, *contract.id_columns, *nulls) if name in nulls]
    invalid = (violation.apply(valid) for violation in (*found, *violations))
    # The violations of the whole event apply to any.
    return next(event for event in invalid if event is not None)


def _print_report(
    contract: Contract, inference: "Inference", texts: list[bytes], sample: Path, paths: list[Path]
) -> None:
    stream, count = contract.stream, len(texts)
    violations = [violation for text in texts if (violation := _violation(contract, text))]
    valid = count - len(violations)
    print(f"{stream}: {len(contract.columns)} columns from {count:,} records of {sample.name}, {valid:,} of them valid")
    if violations:
        print(f"  the first that is not: {escape(violations[0])}")
    for path in paths:
        print(f"  wrote {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")
    print("guessed, please check:")
    guesses = [
        ("event_time", _guess(inference.event_time)),
        ("id", _guess(inference.id) or "none found: duplicates are not removed"),
        ("key", _guess(inference.key) or "none found: records are spread over the partitions"),
        *(
            (column.name, f"{column.typing.type}: {column.typing.why}")
            for column in inference.columns
            if column.typing.why
        ),
    ]
    width = max(len(name) for name, _ in guesses)
    for name, guess in guesses:
        print(f"  {name:<{width}}  {guess}")
    if inference.omitted:
        print(f"left out, because a contract cannot name them: {', '.join(map(escape, inference.omitted))}")
    print("to be decided: event_time, id, lateness, owner, limits (in comments), and descriptions")
    print(f"then: make up; make send STREAM={stream} FILE=…; make load")


def _guess(guess: "Guess") -> str:
    return guess.name + (f"; could also be {', '.join(guess.others)}" if guess.others else "")
