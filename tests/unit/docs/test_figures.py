"""Benchmark figures that pages quote equal those in ``bench/results``.

A comment before a paragraph or a table names the source of its figures: ``<!-- figures: bench/results/load.json -->``.
In a table, the figures of a row have to belong to one contestant, or to one number of dates. Figures of older runs are
marked ``<!-- figures: historical -->``, in decisions alone.
"""

import json
import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.engines.report import figures as engine_figures
from bench.freshness.report import PLACES
from bench.freshness.report import figures as freshness_figures
from infra.install.prerequisites import DISK_GIB, MEMORY_GIB
from sluice.settings import ROOT
from tests.unit.docs.markdown import PAGES, name, prose

RESULTS = tuple(
    f"bench/results/{benchmark}.json" for benchmark in ("sink", "load", "transform", "backfill", "engines", "freshness")
)
HISTORICAL = "historical"

_MARK = re.compile(r"^<!-- figures: (?P<source>\S+) -->\n(?P<text>(?:.+\n?)+)", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w])")
_RATIO = re.compile(r"\b\d+\.\d(?= times\b)")
_NOT_FIGURES = re.compile(r"`[^`]*`|\]\([^)]*\)")
_RATE = re.compile(r"\d[\d,]* (?:events|records)/s")
_OLDER_RUN = re.compile(r"measured (?:once|[^.:]*before)", re.IGNORECASE)

Run = dict[str, Any]


@dataclass(frozen=True)
class Block:
    """A paragraph or a table with its source."""

    page: Path
    source: str
    text: str


@dataclass
class Figures:
    """The figures of one source, as pages write them."""

    rows: list[set[str]] = field(default_factory=list)
    """Those of each contestant, or of each number of dates."""
    common: set[str] = field(default_factory=set)
    """Those of the whole benchmark."""
    ratios: set[str] = field(default_factory=set)
    """How many times as fast one contestant is as another."""
    rates: set[str] = field(default_factory=set)
    """Events per second."""

    @property
    def all(self) -> set[str]:
        """All figures but ratios."""
        return self.common.union(*self.rows)


def blocks(page: Path) -> Iterator[Block]:
    """Yields the marked blocks of a page."""
    for mark in _MARK.finditer(prose(page)):
        yield Block(page, mark["source"], mark["text"])


def wrong_figures(block: Block, figures: Figures) -> list[str]:
    """Returns the figures of a block that its source does not hold; a table row's as one item."""
    lines = block.text.splitlines()
    if not lines[0].startswith("|"):
        text = _NOT_FIGURES.sub("", block.text)
        found = set(_NUMBER.findall(_RATIO.sub("", text))) - figures.all
        return sorted(found | (set(_RATIO.findall(text)) - figures.ratios))
    header, _, *rows = (_NOT_FIGURES.sub("", line) for line in lines)
    faults = sorted(set(_NUMBER.findall(header)) - figures.all)
    return faults + [row for row in rows if not any(set(_NUMBER.findall(row)) <= group for group in figures.rows)]


@cache
def read_figures(source: str) -> Figures:
    """Returns the figures of a file of ``bench/results``."""
    result = json.loads((ROOT / source).read_text())
    if "contestants" in result:
        return _of_contestants(result)
    if "year" in result:
        return _of_backfills(result)
    if "late" in result:
        return _of_transforms(result)
    return _of_freshness(result) if "places" in result["runs"][0] else _of_engines(result)


def _of_contestants(result: Run) -> Figures:
    figures = Figures(
        common={
            f"{result['events']:,}",
            f"{result['bytes'] / result['events']:.0f}",
            *(str(result[name]) for name in ("dates", "partitions", "rounds")),
        }
    )
    rates = {}
    for contestant in result["contestants"]:
        runs = [run for run in result["runs"] if run["contestant"] == contestant["name"]]
        rate = _median(runs, lambda run: run["events"] / (run["seconds"] - run["start_seconds"]))
        rates[contestant["name"]] = rate
        group = {
            f"{runs[0]['events']:,}",
            f"{rate:,.0f}",
            f"{_median(runs, lambda run: run['events'] / run['seconds']):,.0f}",
            f"{_median(runs, lambda run: (run['cpu'] - run['start_cpu']) / run['events'] * 1e6):.2f}",
            f"{_median(runs, lambda run: run['cpu'] / run['events'] * 1e6):.2f}",
            f"{_median(runs, lambda run: run['peak'] / 2**20):,.0f}",
        }
        if "server_cpu" in runs[0]:
            group.add(f"{_median(runs, lambda run: run['server_cpu'] / run['events'] * 1e6):.2f}")
        for guarantee in result.get("guarantees", ()):
            if guarantee["contestant"] == contestant["name"]:
                group |= {f"{guarantee['lost']:,}", f"{guarantee['doubled']:,}"}
        figures.rates.add(f"{rate:,.0f}")
        figures.rows.append(group | set(_NUMBER.findall(contestant["label"])))
    figures.ratios = {f"{one / other:.1f}" for one in rates.values() for other in rates.values() if one > other}
    return figures


def _of_transforms(result: Run) -> Figures:
    figures = Figures(common={str(run["months"]) for run in result["runs"]} | {str(result["rounds"])})
    for touched in {run["touched"] for run in result["runs"]}:
        group = {str(touched)}
        for months in {run["months"] for run in result["runs"]}:
            runs = [run for run in result["runs"] if (run["months"], run["touched"]) == (months, touched)]
            for measure, form in (("seconds", ".2f"), ("dbt_cpu", ".2f"), ("postgres_cpu", ".2f")):
                group |= {format(_median(runs, lambda run, of=measure: run[of]), form)} if runs else set()
        figures.rows.append(group)
    for late in result["late"]:
        rebuilt = sum(run["staging_rows"] for run in late["runs"])
        figures.common |= {str(late["days"]), f"{late['events']:,}", f"{rebuilt / late['events']:.1f}", f"{rebuilt:,}"}
    return figures


def _of_backfills(result: Run) -> Figures:
    year = result["year"]
    figures = Figures(common={f"{year['flights']:,}", f"{year['seconds']:.0f}"})
    for run in (*result["lengths"], *result["stages"]):
        dates = run["dates"]
        group = {str(dates), f"{run['seconds']:.0f}", f"{run['cpu']:.0f}"}
        group |= {f"{run['seconds'] / dates:.2f}", f"{run['cpu'] / dates:.2f}"}
        figures.rows.append(group | ({str(run["months"])} if "months" in run else set()))
    figures.rows += [{f"{part['seconds']:.0f}", f"{part['cpu']:.0f}"} for part in year["parts"].values()]
    return figures


def _of_engines(result: Run) -> Figures:
    """Of a row, the figures belong to one step with one number of copies."""
    figures = Figures()
    for copies, step in sorted({(run["copies"], run["step"]) for run in result["runs"]}):
        runs = [run for run in result["runs"] if (run["copies"], run["step"]) == (copies, step)]
        quoted = {figure for run in runs for figure in engine_figures(run)}
        figures.rows.append({str(copies), f"{runs[0]['events']:,}"} | quoted)
        figures.ratios |= {f"{one['cpu'] / other['cpu']:.1f}" for one in runs for other in runs}
        figures.ratios |= {f"{one['seconds'] / other['seconds']:.1f}" for one in runs for other in runs}
    return figures


def _of_freshness(result: Run) -> Figures:
    figures = Figures(common={f"{run['minutes']:g}" for run in result["runs"]})
    for run in result["runs"]:
        figures.common |= {f"{run['rate']:,}", f"{run['cores']:.2f}"}
        for place in PLACES:
            figures.rows.append({f"{run['rate']:,}", *freshness_figures(run, place)})
    return figures


def _median(runs: Iterable[Run], measure: Callable[[Run], float]) -> float:
    return statistics.median(measure(run) for run in runs)


BLOCKS = [block for page in PAGES for block in blocks(page)]
CURRENT = [block for block in BLOCKS if block.source != HISTORICAL]


@pytest.mark.parametrize("block", CURRENT, ids=[f"{name(block.page)}-{block.source}" for block in CURRENT])
def test_quoted_figures_are_those_of_their_source(block: Block) -> None:
    assert block.source in RESULTS
    assert _NUMBER.search(block.text), "a marked block quotes figures"
    assert wrong_figures(block, read_figures(block.source)) == []


def test_every_benchmark_is_quoted() -> None:
    assert {block.source for block in CURRENT} == set(RESULTS)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_rates_are_quoted_in_marked_blocks_only(page: Path) -> None:
    text = _MARK.sub("", prose(page))
    rates = set().union(*(read_figures(source).rates for source in RESULTS))
    # Short rates are also other numbers.
    measured = {rate for rate in rates if "," in rate} & set(_NUMBER.findall(text))
    assert measured | set(_RATE.findall(text)) == set()


def test_figures_of_older_runs_are_in_decisions_that_say_so() -> None:
    for block in BLOCKS:
        if block.source == HISTORICAL:
            assert block.page.parent.name == "decisions", name(block.page)
            assert _OLDER_RUN.search(" ".join(prose(block.page).split())), name(block.page)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{rate} events/s in 4 partitions", []),
        ("12,345 events/s", ["12,345"]),
        ("99.9 times as fast", ["99.9"]),
        ("| | events/s |\n| --- | --- |\n| a | {rate} |\n| b | {rate} | {other} |\n", ["| b | {rate} | {other} |"]),
    ],
)
def test_a_figure_that_its_source_does_not_hold_is_found(text: str, wrong: list[str]) -> None:
    source = RESULTS[0]
    rate, other = sorted(read_figures(source).rates)[:2]
    block = Block(ROOT / "page.md", source, text.format(rate=rate, other=other))
    assert wrong_figures(block, read_figures(source)) == [fault.format(rate=rate, other=other) for fault in wrong]


def test_required_memory_and_disk_are_those_that_doctor_checks() -> None:
    quoted: dict[str, set[float]] = {"memory": set(), "disk": set()}
    for page in PAGES:
        if page.parent.name != "decisions":
            for amount, kind in re.findall(r"(\d+) GiB of (memory|disk)", " ".join(prose(page).split())):
                quoted[kind].add(float(amount))
    assert quoted == {"memory": {MEMORY_GIB}, "disk": {DISK_GIB}}
