"""Commits, loads, reloads, lost connections and compaction in any order: the warehouse is correct after every step."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from sluice.errors import TransientError
from sluice.lake.maintenance import maintain
from sluice.load import load, pipeline, reload
from tests.faults.load_harness import DATES, FIRST_DAY, LoadHarness
from tests.faults.postgres_proxy import COPY_DATA, COPY_DONE, Cut, PostgresProxy
from tests.fixtures.servers import Stream

PARTITIONS = 2
DAYS = [FIRST_DAY + timedelta(days=number) for number in range(DATES)]

_records = st.lists(st.tuples(st.integers(0, DATES - 1), st.booleans()), min_size=1, max_size=12)
_commit = st.dictionaries(st.integers(0, PARTITIONS - 1), _records, min_size=1)
_day = st.sampled_from(DAYS)
_cut = st.tuples(st.sampled_from(["data", "done", "commit"]), st.booleans(), st.integers(0, 6))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), _commit),
        st.tuples(st.just("append"), _commit),
        st.tuples(st.just("load"), st.none()),
        st.tuples(st.just("reload"), _day),
        st.tuples(st.just("cut load"), _cut),
        st.tuples(st.just("cut reload"), st.tuples(_day, _cut)),
        st.tuples(st.just("concurrently"), _day),
        st.tuples(st.just("compact"), st.none()),
    ),
    min_size=4,
    max_size=14,
)


def _make_cut(point: str, forwarded: bool, skip: int) -> Cut:
    points = {
        "data": lambda message: message.type == COPY_DATA,
        "done": lambda message: message.type == COPY_DONE,
        "commit": lambda message: message.is_statement("COMMIT"),
    }
    return Cut(points[point], forwarded, skip)


@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(8, id="8 runs", marks=pytest.mark.essential),
        pytest.param(60, id="60 runs", marks=pytest.mark.thorough),
    ],
)
def test_the_warehouse_is_correct_after_every_step(
    make_stream: Callable[..., Stream],
    say: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    new_seed: int,
    examples: int,
) -> None:
    # A load of a few records then takes several transactions.
    monkeypatch.setattr(pipeline, "GROUP_BYTES", 1_000)
    counts = {"steps": 0, "cuts": 0}

    @seeded(new_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(steps=STEPS)
    def run(steps: list[tuple[str, object]]) -> None:
        harness = LoadHarness(make_stream(partitions=PARTITIONS))
        with PostgresProxy(harness.settings.postgres_port) as proxy:
            for name, argument in steps:
                counts["steps"] += 1
                counts["cuts"] += _step(harness, proxy, name, argument)
                harness.check(complete=False)
        load(harness.settings, harness.contract)
        harness.check()

    run()
    say(
        f"{examples} runs, {counts['steps']} steps, {counts['cuts']} connections cut: "
        "each offset exactly once after every step"
    )


def _step(harness: LoadHarness, proxy: PostgresProxy, name: str, argument: object) -> int:
    """Runs a step; returns how many connections it cut."""
    settings, contract = harness.settings, harness.contract
    match name, argument:
        case "append", dict(commit):
            harness.append(commit)
        case "load", _:
            load(settings, contract)
        case "reload", date() as day:
            reload(settings, contract, day)
        case "cut load", (point, forwarded, skip):
            return _run_through(
                harness, proxy, _make_cut(point, forwarded, skip), lambda through: load(through, contract)
            )
        case "cut reload", (date() as day, (point, forwarded, skip)):
            return _run_through(
                harness, proxy, _make_cut(point, forwarded, skip), lambda through: reload(through, contract, day)
            )
        case "concurrently", date() as day:
            with ThreadPoolExecutor(4) as pool:
                work = [lambda: load(settings, contract), lambda: reload(settings, contract, day)] * 2
                for future in [pool.submit(task) for task in work]:
                    future.result()
        case "compact", _:
            maintain(settings, contract, {})
        case _:
            raise AssertionError((name, argument))
    return 0


def _run_through(harness: LoadHarness, proxy: PostgresProxy, cut: Cut, call: Callable[..., object]) -> int:
    proxy.inject(cut)
    try:
        call(harness.settings.model_copy(update={"postgres_port": proxy.port}))
    except TransientError:
        # The cut may miss a load, which then succeeds; a load that fails must have been cut.
        assert cut.made
    proxy.inject(None)
    return cut.made
