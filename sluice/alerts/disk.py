"""Checks the free space of the disk that holds the platform's data."""

import shutil

from sluice.settings import Settings

MIN_FREE_BYTES = 2 << 30
"""Below it, Kafka, MinIO and Postgres may soon refuse to write; a load of a year needs less than a third."""


def low_disk(settings: Settings) -> dict[str, str]:
    """Returns a description of the problem if the disk of the platform's home folder is nearly full."""
    free = shutil.disk_usage(settings.home).free
    if free >= MIN_FREE_BYTES:
        return {}
    minimum = MIN_FREE_BYTES / 2**30
    return {
        str(settings.home): f"less than {minimum:.0f} GiB free; delete files, or move the folder to a larger disk"
        " (SLUICE_HOME)"
    }
