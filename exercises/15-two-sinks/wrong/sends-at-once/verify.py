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
    copies = Counter((row["partition"], row["offset"]) for row in rows)
    values = {(row["partition"], row["offset"]): row["value"] for row in rows}
    faults = []
    # What was sent decides which offsets there must be, and not what is in the table.
    for partition, expected in sent.items():
        for offset, value in enumerate(expected):
            place = (partition, offset)
            if place not in copies:
                faults.append(("lost", *place))
                continue
            if copies[place] > 1:
                faults.append(("duplicate", *place))
            if values[place] != value:
                faults.append(("changed", *place))
    return faults
