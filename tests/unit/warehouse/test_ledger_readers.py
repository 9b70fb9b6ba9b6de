"""The ledger grows for ever: what reads it whole would become slower every day."""

from sluice.settings import ROOT

READERS = {
    "sluice/alerts/checks.py": "the entries of the last hour, by index",
    "sluice/load/transaction.py": "appends entries; looks up those of released records, by index",
}
"""The only modules outside the warehouse's own that name the ledger, and why. All others read `ops.ledger_ends`."""


def test_only_known_modules_read_the_ledger() -> None:
    folders = ("cli", "dags", "dashboard", "dbt", "flights", "infra", "producers", "sluice")
    files = [file for folder in folders for suffix in ("py", "sql") for file in (ROOT / folder).rglob(f"*.{suffix}")]
    assert len(files) > 150
    naming = {str(file.relative_to(ROOT)) for file in files if "ops.loads" in file.read_text()}
    assert {name for name in naming if not name.startswith("sluice/warehouse/")} == set(READERS)
