"""Proves that the lake has every record exactly once, or finds those of which it has not."""

from collections import Counter

from deltalake import DeltaTable


def find_faults(uri: str, options: dict[str, str], sent: dict[int, list[bytes]]) -> list[tuple[str, int, int]]:
    """Returns a (kind, partition, offset) for each fault of the table: ``lost``, ``duplicate`` or ``changed``.

    Args:
        uri: of the Delta table.
        options: with which it is opened.
        sent: the values by partition; the index in the list is the offset.
    """
    table = DeltaTable(uri, storage_options=options)
    rows = table.to_pyarrow_table(columns=["partition", "offset", "value"]).to_pylist()
    counts = Counter(row["partition"] for row in rows)
    faults = []
    for partition, expected in sent.items():
        if counts[partition] < len(expected):
            faults += [("lost", partition, offset) for offset in range(counts[partition], len(expected))]
        if counts[partition] > len(expected):
            faults += [("duplicate", partition, offset) for offset in range(len(expected), counts[partition])]
    return faults
