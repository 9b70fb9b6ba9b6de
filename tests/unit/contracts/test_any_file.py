"""Whatever a file holds, it is a contract or its error names a line."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.contracts import load_contracts
from sluice.settings import ROOT

LINES = (ROOT / "contracts" / "weather.observed.yaml").read_text().splitlines()
VALUES = (
    *("", "~", "no", "1", "-1", "0.5", ".inf", ".nan", "1e400", "9" * 400, "9" * 5_000, "0x1", "1:30", "é", "\ud7ff"),
    *("2013-01-01", "2013-13-01", "61 * * * *", "x" * 70, "99999999999d", "string", "int32", "event_id", "\t", "\x00"),
    *("[", "]", "{a: 1}", "[a, [b]]", "[" * 50, "&x y", "*x", "!!set {a}", "!!python/name:os", '"', "'a", "|", "? a"),
    *("- a", "a: b: c", "%TAG", "---", "...", "#", "<<: a", "? [a]\n: b", "!!binary x", "!!timestamp x", "!!int x"),
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Returns a contract with up to three damaged lines."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        number, value = draw(st.integers(0, len(lines) - 1)), draw(st.sampled_from(VALUES))
        line = lines[number]
        indent = line[: len(line) - len(line.lstrip())]
        lines[number] = draw(
            st.sampled_from(
                (value, f"{line.split(':')[0]}: {value}", f"{line}\n{line}", f"{indent}{value}: {value}\n{line}", "")
            )
        )
    text = "\n".join(lines)
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


@settings(deadline=None)
@given(text=damaged())
def test_a_damaged_contract_is_still_one_or_names_a_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    path = folder / "weather.observed.yaml"
    path.write_text(text, encoding="utf-8")
    for file in load_contracts(folder).invalid:
        assert re.match(rf"{re.escape(str(path))}: line \d+: \S", file.problem)
        assert "\n" not in str(file.error())
        assert len(file.problem) < 5_000
