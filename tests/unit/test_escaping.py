"""No text can move a cursor, forge a line or reverse what is shown; JSON keeps its meaning."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import TerminalError
from sluice.escaping import escape, escape_bytes, escape_json, json_line, shorten

CHARACTERS = st.characters(codec=None) | st.sampled_from("\0\n\r\t\x1b\x7f\x9b\u2028\u202e\u200f\ufeff\ud800\udfff")
TEXTS = st.text(CHARACTERS)


@given(TEXTS)
def test_any_text_is_shown_on_one_printable_line(text: str) -> None:
    shown = escape(text)
    shown.encode()
    assert all(character.isprintable() or character.isspace() for character in shown)
    assert len(shown.splitlines()) <= 1


@given(st.binary())
def test_any_bytes_are_shown_on_one_printable_line(value: bytes) -> None:
    assert len(escape_bytes(value).splitlines()) <= 1


def test_printable_text_is_unchanged() -> None:
    for text in ("", "not JSON: Expecting value at character …", "é 日本 😀", "78.7\xa0%", r"C:\new"):
        assert escape(text) == text


def test_escapes_are_pythons() -> None:
    assert escape("a\nb\x1b[31m\x00\u202e\ud800\x9b") == r"a\nb\x1b[31m\x00\u202e\ud800\x9b"
    assert escape_bytes(b"\xff\x00 a") == r"\xff\x00 a"


@given(st.recursive(st.none() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_json_on_one_line_has_the_same_meaning(value: object) -> None:
    for line in (json_line(value), escape_json(json.dumps(value, indent=1, ensure_ascii=False))):
        assert json.loads(line) == json.loads(json.dumps(value))
        assert escape(line) == line


def test_long_text_is_cut_with_a_mark() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "abc…"


@pytest.mark.parametrize("text", ["a\x1b[31m", "\ud800", "\u202e", "a\0b"])
def test_an_error_is_one_printable_line_whatever_it_quotes(text: str) -> None:
    assert str(TerminalError(f"file {text}", f"rename {text}")).isprintable()
