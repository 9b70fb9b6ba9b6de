"""How much each metric of a soak may grow per hour, and why."""

from tests.soak.slopes import Bound

BOUNDS = (
    Bound("memory MiB/all processes", 400, "the sum of all, with those that come and go"),
    Bound("memory MiB/postgres", 150, "pages of the shared buffers (256 MiB) count once they are used"),
    Bound("memory MiB/kafka", 150, "the heap grows to its limit of 512 MiB as it is used"),
    Bound("memory MiB/minio", 150, "Go's heap grows to its limit of 512 MiB as it is used"),
    Bound("memory MiB/*", 48, "nothing is kept; allocators fragment"),
    Bound("open files/kafka", 60, "each partition has a segment per GiB, with three open files"),
    Bound("open files/*", 10, "nothing is kept open"),
    Bound("processes/*", 4, "tasks come and go"),
    Bound("connections/*", 4, "connections come and go"),
    Bound("size MiB/airflow metadata", 60, "30 days of runs are kept"),
    Bound("size MiB/ops", 60, "a ledger row per load and partition"),
    Bound("log entries/*", 1_000, "a commit every ten seconds for each sink, kept for 30 days"),
    Bound("files/*", 6_000, "a file per commit and date until it is compacted; replaced files are kept for a week"),
)
