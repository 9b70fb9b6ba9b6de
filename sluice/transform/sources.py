"""Generates dbt's sources from the contracts: every raw table with its columns, descriptions and freshness.

Descriptions are docs blocks, named ``<table>`` and ``<table>__<column>``, so that models can quote them.
"""

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from sluice.contracts import Contract, invalid_contracts
from sluice.errors import TerminalError
from sluice.transform.dbt import Dbt
from sluice.transform.lineage import tables_read
from sluice.warehouse.alterations import DELETED

_QUOTED = re.compile(r"""\bdoc\(\s*['"](\w+)['"]\s*\)""")
_HEADER = "Generated from the contracts: edit those instead. Every transform generates this file again."
_METADATA_COLUMNS = {
    "_event_date": "UTC date of the event time.",
    "_lake_date": "UTC date of the Kafka record's timestamp, by which the lake is partitioned, if it is another one.",
    "_topic_id": "Kafka's id of the topic; a topic that is deleted and created again has a new one.",
    "_partition": "Kafka partition.",
    "_offset": "Kafka offset within the partition.",
    "_timestamp": "The Kafka record's timestamp, UTC.",
    "_loaded_at": "When the row was loaded.",
}
"""Columns of every raw table that are not in its contract: the origin of the row."""


def declare_sources(contracts: Mapping[str, Contract], dbt: Dbt) -> None:
    """Writes the sources for the next dbt command: all that the project's models and descriptions refer to.

    Raises:
        TerminalError: the folder cannot be written.
    """
    tables = tables_read(dbt.read_manifest_if_any())
    write_sources(contracts, dbt.generated, tables, quoted_blocks(dbt.project))


def quoted_blocks(project: Path) -> set[str]:
    """Returns the names of the docs blocks that a project's descriptions quote."""
    found: set[str] = set()
    for path in [*project.glob("**/*.yml"), *project.glob("**/*.yaml")]:
        # What cannot be read, dbt reports.
        with suppress(OSError, UnicodeDecodeError):
            found.update(_QUOTED.findall(path.read_text(encoding="utf-8")))
    return found


def source_files(
    contracts: Mapping[str, Contract], kept_tables: Collection[str] = (), quoted: Collection[str] = ()
) -> dict[str, str]:
    """Returns the files that declare the raw tables to dbt, as texts by file name.

    ``<table>.yml`` declares a table, and ``<table>.md`` has the descriptions; ``reconcile.yml`` declares the
    reconciliation, which reads all tables. A table is stale if nothing was loaded for longer than its contract's
    ``lateness``: events may be that late, so a shorter pause does not indicate a fault.

    Args:
        contracts: the contracts by stream; their order does not matter.
        kept_tables: tables that earlier files declare, and that the reconciliation reads too.
        quoted: the docs blocks that models quote. Those of columns that are in their contract no longer get a text that
            says so: without the block, dbt would refuse the whole project.
    """
    files: dict[str, str] = {}
    for contract in contracts.values():
        descriptions = dict(_descriptions(contract))
        gone = sorted(name for name in quoted if name.startswith(f"{contract.table}__") and name not in descriptions)
        descriptions |= dict.fromkeys(gone, "No column of the contract any more: null in new rows.")
        blocks = [_block(name, text) for name, text in descriptions.items()]
        files[f"{contract.table}.yml"] = _yaml(_source(contract))
        files[f"{contract.table}.md"] = f"<!-- {_HEADER} -->\n\n" + "\n".join(blocks)
    tables = sorted({*kept_tables, *(contract.table for contract in contracts.values())})
    files["reconcile.yml"] = _yaml(_reconcile(tables))
    return files


def _source(contract: Contract) -> dict[str, Any]:
    return {
        "version": 2,
        "sources": [
            {
                "name": "raw",
                "description": "Events as loaded, duplicates included: one row for every valid record in Kafka.",
                "config": {"loaded_at_field": "_loaded_at"},
                "tables": [_table(contract)],
            }
        ],
    }


def _reconcile(tables: list[str]) -> dict[str, Any]:
    return {
        "version": 2,
        "exposures": [
            {
                "name": "reconcile",
                "type": "application",
                "description": "Compares Kafka's offsets, the lake's commits, the raw rows and the quarantine.",
                "owner": {"name": "platform"},
                "depends_on": [f"source('raw', '{table}')" for table in tables],
            }
        ],
    }


def _yaml(document: dict[str, Any]) -> str:
    return f"# {_HEADER}\n" + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def write_sources(
    contracts: Mapping[str, Contract],
    folder: Path,
    read_tables: Collection[str] = (),
    quoted: Collection[str] = (),
) -> None:
    """Writes the files of ``source_files`` to a folder, which is created if it is missing, and removes all others.

    The files of a stream whose contract has become invalid stay as they are: its table and the models that read it are
    still there. So do those of a stream whose contract was removed, as long as anything in the project reads its table:
    a source that is not declared would fail the whole project, and a table that is missing fails only what reads it.
    For the same reason, its descriptions stay as long as another description quotes them.

    An unchanged file is not written. A changed one is replaced atomically, so that a dbt process that runs at the same
    time reads the old text or the new one.

    Args:
        contracts: the contracts by stream.
        folder: of the files.
        read_tables: the raw tables that the project reads.
        quoted: as in ``source_files``.

    Raises:
        TerminalError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = {path.stem for path in folder.glob("*.yml")}
        invalid = {file.table for file in invalid_contracts(contracts)} & present
        files = source_files(contracts, invalid, quoted)
        kept = invalid | set(read_tables)
        for name, text in files.items():
            _replace(folder / name, text)
        for path in folder.iterdir():
            if path.name in files or path.stem in kept or (path.suffix == ".md" and _is_quoted(path.stem, quoted)):
                continue
            path.unlink()
    except OSError as error:
        raise TerminalError(
            f"{folder}: dbt's sources cannot be written: {error.strerror}", "make the folder writable"
        ) from error


def _is_quoted(table: str, quoted: Collection[str]) -> bool:
    return any(name == table or name.startswith(f"{table}__") for name in quoted)


def _replace(path: Path, text: str) -> None:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".draft")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(draft).replace(path)


def _table(contract: Contract) -> dict[str, Any]:
    names = [column.name for column in contract.columns] + list(_metadata_columns(contract))
    return {
        "name": contract.table,
        "description": _quote(contract.table),
        "config": {
            "meta": {
                "stream": contract.stream,
                "owner": contract.owner,
                "id": list(contract.id_columns),
                "keep": contract.keep,
                **({"deletes": contract.deletes} if contract.deletes else {}),
            },
            "freshness": {"warn_after": _period(contract.lateness)},
        },
        "columns": [{"name": name, "description": _quote(f"{contract.table}__{name}")} for name in names],
    }


def _metadata_columns(contract: Contract) -> dict[str, str]:
    deleted = {DELETED: "Whether the record deletes the events of its key."} if contract.deletes else {}
    return deleted | _METADATA_COLUMNS


def _descriptions(contract: Contract) -> Iterator[tuple[str, str]]:
    yield contract.table, contract.description
    for column in contract.columns:
        yield f"{contract.table}__{column.name}", column.description + (f" Unit: {column.unit}." if column.unit else "")
    for name, description in _metadata_columns(contract).items():
        yield f"{contract.table}__{name}", description


def _quote(block: str) -> str:
    return f"{{{{ doc('{block}') }}}}"


def _block(name: str, text: str) -> str:
    # dbt would read a brace in a description as the start of a Jinja tag.
    return f"{{% docs {name} %}}\n{text.replace('{', '&#123;')}\n{{% enddocs %}}\n"


def _period(length: timedelta) -> dict[str, Any]:
    return {"count": max(1, round(length / timedelta(minutes=1))), "period": "minute"}
