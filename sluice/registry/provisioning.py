"""Compares contracts with the schemas that are registered for their topics, when streams are provisioned."""

from collections.abc import Iterable

from sluice.contracts import Contract
from sluice.errors import SluiceError
from sluice.registry.client import SchemaNotFoundError, SchemaRegistry
from sluice.registry.compatibility import check_compatibility
from sluice.settings import Settings


def schema_warnings(settings: Settings, contracts: Iterable[Contract]) -> list[str]:
    """Returns a line for each column that no event of its topic's newest schema can fill.

    A registry that is down is a line as well: it keeps no stream from being provisioned. A topic without a schema is
    new; JSON with schema ids needs no registry, and is compared only if there is one.
    """
    warnings = []
    for contract in contracts:
        if contract.format == "avro" or (contract.format == "json-registry" and settings.schema_registry_url):
            warnings += _warnings(settings, contract)
    return warnings


def _warnings(settings: Settings, contract: Contract) -> list[str]:
    subject = f"{contract.topic_name}-value"
    try:
        with SchemaRegistry(settings) as registry:
            problems = check_compatibility(contract, registry.latest(subject), registry.referred)
    except SchemaNotFoundError:
        return []
    except SluiceError as error:
        return [f"{contract.stream}: not compared with its registered schema: {error}"]
    return [f"{contract.stream}: the schema {subject} does not fit the contract: {problem}" for problem in problems]
