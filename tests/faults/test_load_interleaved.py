"""Commits, loads, reloads, cut connections and compaction in any order: after each step the warehouse is right."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.errors import TransientError
from sluice.lake.maintenance import maintain
from sluice.load import load, pipeline, reload
from tests.faults.landed import DATES, FIRST_DAY, Landed
from tests.faults.postgres_proxy import COPY_DATA, COPY_DONE, Cut, PostgresProxy
from tests.servers import Stream

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
        st.tuples(st.just("all at once"), _day),
        st.tuples(st.just("compact"), st.none()),
    ),
    min_size=4,
    max_size=14,
)


def _made(kind: str, forwarded: bool, skip: int) -> Cut:
    kinds = {
        "data": lambda message: message.type == COPY_DATA,
        "done": lambda message: message.type == COPY_DONE,
        "commit": lambda message: message.says("COMMIT"),
    }
    return Cut(kinds[kind], forwarded, skip)


@pytest.mark.parametrize(
    "examples", [pytest.param(8, id="8 runs"), pytest.param(60, id="60 runs", marks=pytest.mark.thorough)]
)
def test_any_order_of_steps(
    make_stream: Callable[..., Stream], say: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    # So that a load of a few records has several transactions.
    monkeypatch.setattr(pipeline, "GROUP_BYTES", 1_000)
    made = {"steps": 0, "cuts": 0}

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(steps=STEPS)
    def run(steps: list[tuple[str, object]]) -> None:
        landed = Landed(make_stream(partitions=PARTITIONS))
        with PostgresProxy(landed.settings.postgres_port) as proxy:
            for name, argument in steps:
                made["steps"] += 1
                made["cuts"] += _step(landed, proxy, name, argument)
                landed.check(whole=False)
        load(landed.settings, landed.contract)
        landed.check()

    run()
    say(f"{examples} runs, {made['steps']} steps, {made['cuts']} connections cut: each offset once after each step")


def _step(landed: Landed, proxy: PostgresProxy, name: str, argument: object) -> int:
    """Takes a step; returns how many connections it cut."""
    here, contract = landed.settings, landed.contract
    match name, argument:
        case "append", dict(commit):
            landed.append(commit)
        case "load", _:
            load(here, contract)
        case "reload", date() as day:
            reload(here, contract, day)
        case "cut load", (kind, forwarded, skip):
            return _through(landed, proxy, _made(kind, forwarded, skip), lambda to: load(to, contract))
        case "cut reload", (date() as day, (kind, forwarded, skip)):
            return _through(landed, proxy, _made(kind, forwarded, skip), lambda to: reload(to, contract, day))
        case "all at once", date() as day:
            with ThreadPoolExecutor(4) as pool:
                work = [lambda: load(here, contract), lambda: reload(here, contract, day)] * 2
                for done in [pool.submit(each) for each in work]:
                    done.result()
        case "compact", _:
            maintain(here, contract, {})
        case _:
            raise AssertionError((name, argument))
    return 0


def _through(landed: Landed, proxy: PostgresProxy, cut: Cut, call: Callable[..., object]) -> int:
    proxy.inject(cut)
    try:
        call(landed.settings.model_copy(update={"postgres_port": proxy.port}))
    except TransientError:
        # It may have come too early or too late to be cut, but nothing else may fail.
        assert cut.made
    proxy.inject(None)
    return cut.made
