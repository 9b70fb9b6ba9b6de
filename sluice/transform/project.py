"""The dbt project as it was last built: whether its files have changed since, and what that means for the marts."""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sluice.transform.archive import differing_files, project_files, unpack
from sluice.transform.dbt import Dbt
from sluice.transform.lineage import Node, builds_part, descendants
from sluice.transform.stale import Connection, postgres_errors

Manifest = Mapping[str, Any]
"""dbt's description of a project."""

_MODEL_FOLDERS = ("models", "snapshots", "analyses")
_PROPERTIES = (".yml", ".yaml")
_TABLE_CONFIGS = ("materialized", "rebuild", "unique_key", "indexes", "unlogged")
"""The configuration that dbt applies only when it builds a whole table."""
_CONTRACT = ("id", "keep", "deletes")
"""What the contract of a raw table says of all its rows at once: which of them count."""

_SEED_CONFIGS = ("column_types", "delimiter", "quote_columns")
"""The configuration by which dbt reads a seed's file."""
_VARIABLES = "vars"
"""The key of a description's variables. dbt's own has none."""
_VARIABLE = re.compile(r"""\bvar(?:\.has_var)?\(\s*(?:(['"])(.+?)\1)?""")
"""A call that reads a variable, whose name is known if it is a literal."""


@dataclass(frozen=True)
class Changes:
    """What the changes of a project mean for models that rebuild only stale rows, by dbt's ids."""

    whole: frozenset[str] = frozenset()
    """Models to rebuild whole: the configuration of their tables has changed, or the id in the contract of a raw table,
    or they are built from such a model. Models with other columns are not among them; dbt finds those when it builds
    them."""
    new_rule: frozenset[str] = frozenset()
    """Other models whose rule has changed: their SQL, that of a model or macro that they are built from, a variable
    that one of these reads, or a seed that they are built from."""


def description(dbt: Dbt) -> dict[str, Any]:
    """Returns dbt's description of the project, as of its last invocation, with what dbt leaves out: the variables of
    ``dbt_project.yml``, and the checksums of large seeds, instead of which it has their paths."""
    manifest = dbt.read_manifest()
    for node in manifest["nodes"].values():
        if node["resource_type"] == "seed" and node["checksum"]["name"] == "path":
            file = dbt.project / node["root_path"] / node["original_file_path"]
            # A seed that was removed meanwhile is one of the next transform's changes.
            with suppress(OSError):
                node["checksum"] = {"name": "sha256", "checksum": hashlib.sha256(file.read_bytes()).hexdigest()}
    manifest[_VARIABLES] = _variables(dbt.project / "dbt_project.yml")
    return manifest


def project_digest(dbt: Dbt) -> str:
    """Returns a digest of the files of a project and of the sources that are derived from the contracts."""
    return _digest(
        (file.relative_to(folder), file.read_bytes())
        for folder in (dbt.project, dbt.generated)
        for file in project_files(folder)
    )


def built_digest(connection: Connection) -> str | None:
    """Returns the digest of the project that was last built; None for a new warehouse."""
    with postgres_errors():
        row = connection.execute("select digest from staging.transform_project").fetchone()
    return str(row[0]) if row else None


def seeds_digest(dbt: Dbt) -> str:
    """Returns a digest of the files that seeds and their tests may depend on: everything but models and their like.

    A YAML file among the models counts if it mentions seeds.
    """
    files = ((file.relative_to(dbt.project), file.read_bytes()) for file in project_files(dbt.project))
    return _digest((path, data) for path, data in files if _may_concern_seeds(path, data))


def built_seeds(connection: Connection) -> str | None:
    """Returns the digest of the files from which the seeds in the warehouse were built; None if that is not certain."""
    with postgres_errors():
        row = connection.execute("select digest from staging.transform_seeds").fetchone()
    return str(row[0]) if row else None


def record_seeds(connection: Connection, digest: str | None) -> None:
    """Records the files from which the seeds were built; None before that, so that a crash leaves no record."""
    with postgres_errors(), connection.transaction():
        connection.execute("delete from staging.transform_seeds")
        if digest is not None:
            connection.execute("insert into staging.transform_seeds (digest) values (%s)", (digest,))


def built_manifest(connection: Connection) -> Manifest | None:
    """Returns the description of the project that was last built; None for a new warehouse."""
    with postgres_errors():
        row = connection.execute("select manifest from staging.transform_project").fetchone()
    return json.loads(str(row[0])) if row else None


def record_built(connection: Connection, digest: str, manifest: Manifest, files: bytes) -> None:
    """Records that a project was built, and keeps its files.

    Args:
        connection: of the transformer.
        digest: as ``project_digest`` returned it before dbt read the files.
        manifest: the description of the project.
        files: as ``pack`` returned them when dbt had read them.
    """
    with postgres_errors(), connection.transaction():
        connection.execute("delete from staging.transform_project")
        connection.execute(
            "insert into staging.transform_project (digest, manifest, files) values (%s, %s, %s)",
            (digest, json.dumps(manifest), files),
        )


@contextmanager
def last_built(connection: Connection, dbt: Dbt) -> Iterator[list[str] | None]:
    """Lets dbt read the project as it was last built, instead of the project as it is now.

    Args:
        connection: of the transformer.
        dbt: runs the commands.

    Yields:
        The files that have changed since; None if the warehouse has no such project.
    """
    with postgres_errors():
        row = connection.execute("select files from staging.transform_project").fetchone()
    if row is None or not isinstance(row[0], bytes):
        yield None
        return
    folder = dbt.home / "last-built"
    unpack(row[0], folder)
    current, dbt.project = dbt.project, folder
    try:
        yield differing_files(current, folder)
    finally:
        dbt.project = current


def find_changes(old: Manifest, new: Manifest) -> Changes:
    """Compares two descriptions of a project: the one that was last built, and the one that is built now."""
    if _VARIABLES not in old:
        # Of an earlier version, which did not keep them.
        old = {**old, _VARIABLES: new.get(_VARIABLES)}
    models = {name: node for name, node in new["nodes"].items() if node["resource_type"] == "model"}
    seeds = {name for name, node in new["nodes"].items() if node["resource_type"] == "seed"}
    known = models.keys() & old["nodes"].keys()
    tables = {name for name in known if builds_part(models[name])}
    whole = descendants(new, {name for name in tables if _config(old, name) != _config(new, name)}) & models.keys()
    rules = {name for name in known if _rule(old, name) != _rule(new, name)}
    rules |= {name for name in seeds & old["nodes"].keys() if _seed(old, name) != _seed(new, name)}
    affected = descendants(new, rules) & tables
    return Changes(frozenset(whole), frozenset(affected - whole))


def _digest(files: Iterable[tuple[Path, bytes]]) -> str:
    content = hashlib.sha256()
    for path, data in files:
        content.update(f"{path}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return content.hexdigest()


def _may_concern_seeds(path: Path, data: bytes) -> bool:
    if path.parts[0] not in _MODEL_FOLDERS or path.suffix == ".csv":
        return True
    return path.suffix in _PROPERTIES and b"seeds" in data


def _config(manifest: Manifest, name: str) -> list[Any]:
    node = manifest["nodes"][name]
    read = [manifest["sources"][source] for source in node["depends_on"]["nodes"] if source in manifest["sources"]]
    contracts = [source["config"].get("meta", {}).get(key) for source in read for key in _CONTRACT]
    return [*(node["config"].get(config) for config in _TABLE_CONFIGS), *contracts]


def _rule(manifest: Manifest, name: str) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Returns a digest of a model's file, the macros that it calls, directly or not, and the variables of both."""
    node: Node = manifest["nodes"][name]
    macros: dict[str, str] = {}
    pending = list(node["depends_on"].get("macros", ()))
    while pending:
        macro = pending.pop()
        if macro not in macros and macro in manifest["macros"]:
            macros[macro] = manifest["macros"][macro]["macro_sql"]
            pending += manifest["macros"][macro]["depends_on"]["macros"]
    read = {match[2] for code in (node["raw_code"], *macros.values()) for match in _VARIABLE.finditer(code)}
    return node["checksum"]["checksum"], macros, _values(manifest.get(_VARIABLES) or {}, read)


def _values(variables: Mapping[str, Any], names: Collection[str | None]) -> dict[str, Any]:
    """Returns the variables of these names, also those that are for one package; all if a name is not known."""
    if None in names:
        return dict(variables)
    values = {name: value for name, value in variables.items() if name in names}
    for scope, value in variables.items():
        if isinstance(value, Mapping):
            values.update({f"{scope}.{name}": value[name] for name in value if name in names})
    return values


def _variables(file: Path) -> dict[str, Any]:
    """Returns the variables of a ``dbt_project.yml`` as JSON has them; none if it cannot be read, which dbt reports."""
    with suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        variables = document.get("vars") if isinstance(document, Mapping) else None
        if isinstance(variables, Mapping):
            return dict(json.loads(json.dumps(variables, default=str)))
    return {}


def _seed(manifest: Manifest, name: str) -> list[Any]:
    node = manifest["nodes"][name]
    return [node["checksum"]["checksum"], *(node["config"].get(config) for config in _SEED_CONFIGS)]
