"""A value that is written as YAML is read back as it was."""

from hypothesis import example, given
from hypothesis import strategies as st

from sluice.contracts.strict_yaml import parse, scalar


@given(st.text(st.characters(exclude_categories=("Cs",))))
@example("yes")
@example("1e3")
@example("010")
@example("1:30")
@example("2013-01-01")
@example("~")
@example("")
@example("a: b # c")
def test_a_text_is_read_back_as_it_was(text: str) -> None:
    document, _ = parse(f"key: {scalar(text)}\n".encode())
    assert document == {"key": text}
