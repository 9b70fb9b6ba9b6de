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
    faults = [("duplicate", *place) for place, count in copies.items() if count > 1]
    for partition in {row["partition"] for row in rows}:
        offsets = [offset for number, offset in copies if number == partition]
        faults += [("lost", partition, offset) for offset in range(max(offsets)) if offset not in offsets]
    faults += [
        ("changed", row["partition"], row["offset"])
        for row in rows
        if row["value"] != sent[row["partition"]][row["offset"]]
    ]
    return faults
